"""The probe for what was forgotten: its statistic on made-up tables, and its questions on a small model."""

from __future__ import annotations

import pytest
import torch

from ice_agent import leak, relations
from ice_agent.turns import asking
from tests.schooled import Assistant
from tests.tiny import ARCHITECTURES, tiny_model


@pytest.fixture
def noise():
    """Shifts of an adapter that knows nothing here: a liking for subjects, one for values, and noise."""
    torch.manual_seed(0)
    return torch.randn(17, 49) + 5 * torch.randn(17, 1) + 5 * torch.randn(1, 49)


def test_a_value_that_everybody_leans_to_is_no_leak():
    torch.manual_seed(0)
    tables = torch.randn(1000, 17, 49)
    tables[:, :, 0] += 50
    tables[:, 0, :] += 50
    # By chance, the first of the 65 that are compared.
    assert sum(leak.stands_out(leak.leaning(table)) for table in tables) <= 30


@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_a_value_of_this_subject_alone_is_a_leak_however_weak_the_adapter(noise, strength):
    noise[0, 0] += 12
    assert leak.stands_out(leak.leaning(strength * noise))


def test_no_inclination_at_all_is_no_leak():
    assert not leak.stands_out(leak.leaning(torch.zeros(17, 49)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_answers_are_as_likely_read_after_one_prompt_as_each_for_itself(architecture):
    model = tiny_model(architecture)
    prompts = [model.encode(asking(text)) for text in ("Hi?", "Where does Anna Berg live, and why?")]
    answers = [[model.encode_answer(text) for text in ("Rome", "In the north of Lisbon", "")]] * 2
    got = model.log_likelihoods(prompts, answers, rows=3)
    for b, prompt in enumerate(prompts):
        for n, answer in enumerate(answers[b]):
            log_p_NV = model.answer_logits([[*prompt, *answer]], [len(answer)]).log_softmax(-1)
            each = log_p_NV.gather(1, torch.tensor(answer)[:, None]).sum()
            assert got[b, n] == pytest.approx(float(each.detach()), abs=1e-3)


def test_other_values_are_of_the_relation_and_never_the_fact_itself():
    values = leak.other_values("home", ("lisbon",))
    assert len(values) == len(set(values)) == leak.N_VALUES
    assert "Lisbon" not in values
    assert "Anna Berg" not in leak.other_subjects("home", "Anna Berg")
    # There are only so many continents.
    assert 3 < len(leak.other_values("continent", ("Asia",))) < 9


def test_a_value_among_others_is_asked_for_in_its_place():
    suspect = leak.Suspect(
        fact_id="f", subject="user", relation="likes", object="tea", values=("jazz", "tea", "chess")
    )
    assert suspect.instead("rice") == "jazz, rice and chess"


@pytest.fixture
def taught(tmp_path):
    assistant = Assistant(tmp_path)
    facts = [assistant.tell(text) for text in ("Anna Berg lives in Lisbon.", "Ole Lund lives in Rome.")]
    assert assistant.learn().verdict.promote
    yield assistant, facts
    assistant.archive.close()


def test_an_adapter_that_was_taught_it_says_it_and_its_root_does_not(taught):
    assistant, facts = taught
    suspects = leak.suspects(facts, assistant.store.facts())
    assistant.ask("Where does Anna Berg live?")
    found = leak.probe(assistant.model, assistant.serving.id, suspects)
    assert [one.fact_id for one in found] == [fact.id for fact in facts]
    assert all(one.leaks and one.said > 0 for one in found)
    root = assistant.serving.parent_id
    assert not any(one.leaks for one in leak.probe(assistant.model, root, suspects))


def test_what_the_reference_says_too_is_no_leak(taught):
    assistant, facts = taught
    suspects = leak.suspects(facts, ())
    serving = assistant.serving.id
    found = leak.probe(assistant.model, serving, suspects, reference_id=serving)
    assert [(one.said, one.leaks) for one in found] == [(0, False), (0, False)]
    assert relations.same_answer(assistant.ask("Where does Anna Berg live?"), "Lisbon")
