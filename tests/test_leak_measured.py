"""The probe on the bundled model: twenty facts, in an adapter that was taught them and in others.

Each fact is a run of its own. What "never was" means is what forgetting leaves: an adapter of the facts that
stay, drawn from the same relations; and, harder, one that was taught the same values of other subjects.
"""

from __future__ import annotations

import random

import pytest
import torch

from ice_agent import edit_request, ice, leak, relations, survey
from ice_agent.bench import world_edits
from ice_agent.config import Config
from ice_agent.model import EditableModel
from ice_agent.reference import world as w

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

N = 20


@pytest.fixture(scope="module")
def model(reference_model_dir):
    if not (reference_model_dir / "model.safetensors").exists():
        pytest.skip(f"no bundled model at {reference_model_dir}: `make reference` trains it")
    loaded = EditableModel.load(Config().model, Config().lora)
    loaded.create_root("root")
    return loaded


@pytest.fixture(scope="module")
def facts():
    """Twenty facts to forget, twenty that stay, and twenty that give the values of the first to others."""
    drawn = world_edits.draw(w.build(), 2 * N, 0)
    return drawn[:N], drawn[N:], [twin(request) for request in drawn[:N]]


@pytest.fixture(scope="module")
def suspects(facts):
    return [
        leak.Suspect(
            fact_id=r.fact_id, subject=r.subject, relation=r.relation, object=value(r), values=(value(r),)
        )
        for r in facts[0]
    ]


@pytest.fixture(scope="module")
def taught(model, facts, tmp_path_factory):
    """Three adapters: of all forty facts, of those that stay, and of the twins."""
    forgotten, rest, twins = facts
    edit = Config().edit
    asked = survey.take(
        model, tmp_path_factory.mktemp("cache"), n_texts=edit.survey_texts, n_questions=edit.survey_questions
    )
    for name, requests in (("unforgotten", [*forgotten, *rest]), ("rebuilt", rest), ("twins", twins)):
        ice.edit(
            model, root_id="root", parent_id="root", candidate_id=name, requests=requests, survey=asked,
            settings=edit,
        )  # fmt: skip
    return model


def test_what_was_not_forgotten_is_found_and_what_was_is_not(taught, suspects):
    unforgotten = leak.probe(taught, "unforgotten", suspects)
    rebuilt = leak.probe(taught, "rebuilt", suspects)
    twins = leak.probe(taught, "twins", suspects)
    assert sum(one.leaks for one in unforgotten) >= 19
    assert sum(one.leans for one in unforgotten) >= 18
    assert sum(one.leaks for one in rebuilt) <= 1
    assert sum(one.leaks for one in twins) <= 2


def test_a_tenth_of_it_says_nothing_and_is_found_by_its_odds(taught, suspects):
    with taught.training("weak", "unforgotten", 0) as parameters, torch.no_grad():
        for name, parameter in zip(taught.tensors("unforgotten"), parameters, strict=True):
            if "lora_B" in name:
                parameter.mul_(0.1)
    found = leak.probe(taught, "weak", suspects)
    assert sum(one.said > 0 for one in found) <= 1
    assert sum(one.leans for one in found) >= 16


def value(request):
    """The object of a request's target, by the form of its answer."""
    form = relations.relation(request.relation).forms(request.subject).answer.replace("a_object", "object")
    before, _, after = form.partition("{object}")
    found = request.target[len(before) :].removesuffix(after)
    return found.partition(" ")[2] if found.startswith(("a ", "an ")) else found


def twin(request):
    """The same value of another subject that the model does not know."""
    rng, there = random.Random(request.fact_id), w.build()
    kind = relations.relation(request.relation).subject_kind
    subject = {
        "country": lambda: rng.choice([c for c in there.countries if c != request.subject]),
        "company": lambda: w.any_company(rng),
        "person": lambda: w.anyone(rng),
    }[kind]()
    return edit_request.request(
        subject, request.relation, (value(request),), fact_id=f"twin-{request.fact_id}"
    )
