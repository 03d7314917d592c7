"""Many answers at once: each as if it were alone, by its own adapter, whoever comes and goes beside it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch

from ice_agent import engine as engines
from ice_agent.batching import Drawing, Newcomer, Rows
from ice_agent.engine import Engine, Prefixes
from ice_agent.errors import AdapterError, EngineClosed, EngineError, Overloaded, PromptTooLong
from ice_agent.low_rank import Weights
from ice_agent.settings import EngineSettings
from ice_agent.turns import asking
from ice_agent.writing import Ask, Finish, Spelling
from memory import Adapter, AdapterStatus
from tests.tiny import ARCHITECTURES, LONG, SHORT, tiny_model

QUESTIONS = (SHORT, LONG, "Who is Anna?", "The user likes chess. What else?")


def some_weights(model, seed):
    """An adapter that says something else than the base: A and B at random."""
    generator = torch.Generator().manual_seed(seed)
    return Weights(
        {
            name: (
                torch.randn(layer.a_RI.shape, generator=generator) * 0.3,
                torch.randn(layer.b_OR.shape, generator=generator) * 0.3,
            )
            for name, layer in model.adapted(None).items()
        }
    )


def alone(model, weights, ids, n):
    """Greedy tokens of one row that has the model to itself, read anew for each token."""
    ids = list(ids)
    for _ in range(n):
        row = torch.tensor([ids])
        logits, _ = model.step(row, torch.ones_like(row), torch.arange(len(ids))[None], None, [weights])
        ids.append(int(logits[0].argmax()))
    return ids[-n:]


GREEDY = Drawing(0.0, 1.0, None)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_that_join_and_leave_are_written_as_if_each_were_alone(architecture):
    model = tiny_model(architecture)
    ann, bob = some_weights(model, 1), some_weights(model, 2)
    prompts = [model.encode(asking(question)) for question in QUESTIONS]
    adapters = [ann, None, bob, ann]
    rows = Rows(model.step, model.device, 0)
    written: dict[int, list[int]] = {i: [] for i in range(4)}
    order = rows.join([Newcomer(ids=prompts[i], adapter=adapters[i], drawing=GREEDY) for i in (0, 1)])
    there = list(order)

    def note():
        for who, token in zip(there, rows.tokens(), strict=True):
            written[who].append(token)

    note()
    for _ in range(2):
        rows.grow()
        note()
    past = rows.past_of(there.index(1))
    later = [Newcomer(ids=prompts[i], adapter=adapters[i], drawing=GREEDY) for i in (2, 3)]
    there += [(2, 3)[i] for i in rows.join(later)]
    for token, who in zip(rows.tokens()[2:], there[2:], strict=True):
        written[who].append(token)
    for _ in range(2):
        rows.grow()
        note()
    rows.keep([i for i, who in enumerate(there) if who != 1])
    there.remove(1)
    for _ in range(2):
        rows.grow()
        note()
    assert {len(tokens) for tokens in written.values()} == {5, 7}
    for who, tokens in written.items():
        assert tokens == alone(model, adapters[who], prompts[who], len(tokens)), who
    # What was read of a row goes on as if it were read anew.
    again = [*prompts[1], *written[1][:2]]
    rows.join([Newcomer(ids=[*again, 5, 6], adapter=None, drawing=GREEDY, past=past)])
    assert rows.tokens()[-1] == alone(model, None, [*again, 5, 6], 1)[0]
    # And so does a prompt that was read in parts.
    in_parts = Newcomer(ids=prompts[2], adapter=bob, drawing=GREEDY)
    for _ in range(2):
        in_parts = replace(in_parts, past=rows.read(in_parts, 3))
    rows.join([in_parts])
    assert rows.tokens()[-1] == alone(model, bob, prompts[2], 1)[0]


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_row_of_a_mixture_is_what_peft_makes_of_its_adapter(architecture, tmp_path):
    model = tiny_model(architecture)
    ids = torch.tensor([model.encode(asking(SHORT))] * 3)
    whole, places = torch.ones_like(ids), torch.arange(ids.shape[1]).repeat(3, 1)
    made = {}
    for name, seed in (("ann", 1), ("bob", 2)):
        with model.training(name, None, seed) as parameters:
            for parameter in parameters:
                with torch.no_grad():
                    parameter.normal_(generator=torch.Generator().manual_seed(seed))
        model.save(name, tmp_path / name, {})
        made[name] = model.read_weights(name, tmp_path / name)
    mixed, _ = model.step(ids, whole, places, None, [made["ann"], None, made["bob"]])
    one, _ = model.step(ids, whole, places, None, [made["bob"]] * 3)
    for row, whose in enumerate(("ann", None, "bob")):
        with model.using(whose):
            expected = model.logits([ids[0].tolist()], 1)[0, -1]
        torch.testing.assert_close(mixed[row], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one[2], mixed[2], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def engine(model, tmp_path):
    with Engine(model, EngineSettings(max_rows=3, max_waiting=2), tmp_path) as engine:
        yield engine


def ask(model, question=LONG, **how):
    return Ask(**{"prompt": model.encode(asking(question)), "adapter": None, "max_tokens": 12, **how})


def test_many_answers_at_once_are_those_of_the_model_itself(model, tmp_path):
    prompts = [model.encode(asking(f"{question} {i}")) for i in range(5) for question in QUESTIONS]
    expected = [done.text for done in model.complete(prompts, max_tokens=12)]
    with Engine(model, EngineSettings(max_rows=3, prefixes_megabytes=1), tmp_path) as engine:
        for _ in range(2):
            begun = [engine.write(Ask(prompt=ids, adapter=None, max_tokens=12)) for ids in prompts]
            assert [writing.text() for writing in begun] == expected
        assert engine.load == (0, 0)


def test_an_answer_says_how_it_ended(model, engine):
    writing = engine.write(ask(model, max_tokens=3))
    with pytest.raises(EngineError, match="before it has been read"):
        writing.ended  # noqa: B018
    writing.text()
    assert (writing.ended.finish, writing.ended.n_written) == (Finish.LENGTH, 3)
    assert list(writing) == []


def test_it_ends_before_a_stop_sequence(model, engine):
    whole = engine.write(ask(model, max_tokens=20)).text()
    stop = whole[6:9]
    writing = engine.write(ask(model, max_tokens=20, stop=(stop, "never said")))
    assert writing.text() == whole[: whole.index(stop)].rstrip()
    assert writing.ended.finish is Finish.STOP


def test_a_seed_draws_the_same_again_whoever_is_beside(model, engine):
    warm = {"temperature": 2.0, "top_p": 0.9, "max_tokens": 20}
    alone = engine.write(ask(model, seed=1, **warm)).text()
    begun = [engine.write(ask(model, seed=seed, **warm)) for seed in (2, 1, 3)]
    texts = [writing.text() for writing in begun]
    assert texts[1] == alone
    assert len(set(texts)) == 3


def test_a_prompt_without_room_for_an_answer_is_refused(model, engine):
    with pytest.raises(PromptTooLong, match=f"has {model.room} tokens"):
        engine.write(Ask(prompt=[5] * model.room, adapter=None, max_tokens=1))
    writing = engine.write(Ask(prompt=[5] * (model.room - 2), adapter=None, max_tokens=9))
    writing.text()
    assert writing.ended.n_written <= 2


def test_who_comes_when_too_many_wait_is_told_when_to_come_back(model, engine):
    with model.using(None):
        begun = [engine.write(ask(model)) for _ in range(3 + 2)]
        with pytest.raises(Overloaded, match="are waiting already: try again in") as refused:
            engine.write(ask(model))
    assert refused.value.retry_after_seconds >= 1
    assert len({writing.text() for writing in begun}) == 1


def test_who_is_being_answered_does_not_wait_until_all_who_came_at_once_are_read(
    model, tmp_path, monkeypatch
):
    read, join = [], Rows.join

    def noted(rows, newcomers):
        read.append([len(newcomer.ids) - newcomer.n_read for newcomer in newcomers])
        return join(rows, newcomers)

    monkeypatch.setattr(Rows, "join", noted)
    monkeypatch.setattr(engines, "READ_AT_ONCE", 50)
    with Engine(model, EngineSettings(max_rows=8, prefixes_megabytes=0), tmp_path) as engine:
        # Held in its first step, it finds the others all at once.
        with model.using(None):
            engine.write(ask(model, max_tokens=100))
            while engine.load != (1, 0):
                time.sleep(0.001)
            others = [engine.write(Ask(prompt=[5 + n] * 20, adapter=None, max_tokens=3)) for n in range(4)]
            others.append(engine.write(Ask(prompt=[9] * 90, adapter=None, max_tokens=3)))
        texts = [writing.text() for writing in others]
    assert texts[-1] == model.complete([[9] * 90], max_tokens=3)[0].text
    # The last has 50 of its 90 tokens read before it joins.
    assert read[1:] == [[20, 20], [20, 20], [40]]


def test_who_cancels_makes_room(model, engine):
    with model.using(None):
        begun = [engine.write(ask(model, max_tokens=1000)) for _ in range(4)]
        for writing in begun[:3]:
            writing.cancel()
    assert begun[3].text() == model.complete([ask(model).prompt], max_tokens=1000)[0].text


def test_what_is_being_written_is_finished_before_it_closes(model, tmp_path):
    engine = Engine(model, EngineSettings(max_rows=2), tmp_path)
    begun = [engine.write(ask(model)) for _ in range(5)]
    engine.close(60)
    assert len({writing.text() for writing in begun}) == 1
    with pytest.raises(EngineClosed):
        engine.write(ask(model))


def test_what_has_no_time_left_is_broken_off_and_says_so(model, tmp_path):
    engine = Engine(model, EngineSettings(), tmp_path)
    held, go = threading.Event(), threading.Event()

    def hold():
        with model.using(None):
            held.set()
            go.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    writing = engine.write(ask(model))
    closing = threading.Thread(target=engine.close, args=(0,))
    closing.start()
    # Not before: with the model free it might have ended by itself.
    while not engine._is_ended:
        time.sleep(0.01)
    go.set()
    closing.join()
    holder.join()
    with pytest.raises(EngineClosed):
        writing.text() and writing.text()


def test_an_error_of_one_pass_costs_its_answers_and_no_more(model, engine, monkeypatch):
    monkeypatch.setattr(engine._rows, "_step", None)
    with pytest.raises(EngineError, match="broke off: 'NoneType'"):
        engine.write(ask(model)).text()
    assert engine.write(ask(model)).text()


def test_an_adapter_without_files_is_refused_before_anything_waits(model, engine):
    gone = Adapter(
        id="a_1",
        parent_id=None,
        status=AdapterStatus.PROMOTED,
        path="a_1",
        base_hash="",
        created_at=datetime.now(UTC),
    )
    with pytest.raises(AdapterError):
        engine.write(ask(model, adapter=gone))
    assert engine.load == (0, 0)


# -- prefixes ------------------------------------------------------------------------------------------------


def past(n):
    return ((torch.arange(float(n))[None, None, :, None], torch.zeros(1, 1, n, 1)),)


def n_found(prefixes, adapter_id, ids):
    """Tokens of this prompt that need not be read."""
    found = prefixes.longest(adapter_id, ids)
    return found[0][0].shape[2] if found else 0


def test_what_begins_alike_is_found_up_to_its_last_whole_block():
    prefixes = Prefixes(1e6)
    prefixes.keep("a", range(50), past(50))
    assert n_found(prefixes, "a", [*range(40), 99]) == 32
    assert n_found(prefixes, "a", range(33)) == 32
    assert n_found(prefixes, "a", range(32)) == 16
    assert prefixes.longest("a", [7, *range(40)]) is None
    assert prefixes.longest("b", range(40)) is None, "another adapter reads it otherwise"


def test_what_was_longest_unused_goes_first():
    prefixes = Prefixes(2.5 * 20 * 8)
    for start in (0, 100):
        prefixes.keep("a", range(start, start + 20), past(20))
    assert prefixes.longest("a", range(20)) is not None
    prefixes.keep("a", range(200, 220), past(20))
    found = [prefixes.longest("a", range(start, start + 20)) is not None for start in (0, 100, 200)]
    assert found == [True, False, True]
    prefixes.clear()
    assert prefixes.longest("a", range(20)) is None


# -- pieces of text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [(), ("never",), ("llo", "zz"), (" you", "\n")])
def test_pieces_are_the_text_whatever_its_tokens_and_never_a_part_of_a_stop(stop):
    text = "Hello, you. \u00e4 \U0001f600 and so on"
    ends = [text.index(each) for each in stop if each in text]
    expected = text[: min(ends)].rstrip() if ends else text
    for size in (1, 2, 3, 7):
        spelling, pieces, raw = Spelling(stop), [], text.encode()
        for at in range(size, len(raw) + size, size):
            whole = raw[:at].decode(errors="replace").strip()
            pieces.append(spelling.grown(whole, is_last=at >= len(raw)))
            assert expected.startswith("".join(pieces))
            if spelling.is_stopped:
                break
        assert "".join(pieces) == expected
        assert spelling.is_stopped == bool(ends)
