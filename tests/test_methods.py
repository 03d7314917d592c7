"""The methods of the comparison on tiny models: each edits what its paper edits and leaves nothing behind."""

from __future__ import annotations

import math

import pytest
import torch

from ice_agent import edit_request
from ice_agent.bench.methods import METHODS, Task, locate, weights
from ice_agent.config import EditSettings
from ice_agent.model import weights_hash
from ice_agent.survey import Survey
from ice_agent.turns import asking
from tests.tiny import ARCHITECTURES, tiny_model

FACTS = (("Anna Berg", "home", "Lisbon"), ("Jan Bakker", "employer", "Belmora"), ("user", "likes", "chess"))
REQUESTS = tuple(
    edit_request.request(subject, relation, (obj,), fact_id=f"e{n}")
    for n, (subject, relation, obj) in enumerate(FACTS)
)
SURVEY = Survey(
    texts=tuple(tuple(1 + (7 * i + j) % 290 for j in range(12)) for i in range(64)),
    questions=("Where does Marit Solvang live?", "Where does Teodor Vaska live?"),
    names=(("Marit Solvang", "person"), ("Teodor Vaska", "person")),
)
SETTINGS = EditSettings(steps=3, steps_per_fact=0, samples=1, anchors=4, anchor_rows=2, lesson_rows=8)
IN_THE_BASE = ("ft-l", "ft-m", "rome", "memit", "ice-published", "ice-paper")


@pytest.fixture
def model():
    model = tiny_model()
    model.create_root("root")
    return model


def task(model, requests=REQUESTS, **options):
    return Task(model=model, root_id="root", requests=requests, survey=SURVEY, settings=SETTINGS, **options)


def matrices(model):
    return [layer.weight_OI.detach().clone() for layer in weights.projections(model)]


def target_loss(model, request):
    prompt, answer = model.encode(asking(request.rewrite_prompt)), model.encode_answer(request.target)
    with torch.no_grad():
        return float(weights.answer_loss(model, [prompt], [answer]))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_leaves_neither_base_nor_adapters_changed(model, name):
    before = weights_hash(model.base)
    with METHODS[name](task(model)) as edited:
        changed = weights_hash(model.base) != before
        assert changed == (name in IN_THE_BASE or name in ("ice", "lora-sft"))
        assert edited.adapter_id is None or model.is_loaded(edited.adapter_id)
    assert weights_hash(model.base) == before
    assert model.is_loaded("root")
    assert not any(p.requires_grad for p in model.base.parameters())


@pytest.mark.parametrize("name", IN_THE_BASE)
def test_a_method_that_breaks_off_leaves_the_base_as_it_was(model, name):
    before = weights_hash(model.base)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), METHODS[name](task(model, progress=interrupt)):
        pass
    assert weights_hash(model.base) == before


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ft-m", {}),
        ("rome", {}),
        ("memit", {"weight": 1e-6}),
        ("ice-published", {"layers": [0, 1]}),
        ("ice-paper", {"layers": [0, 1]}),
    ],
)
def test_an_edit_makes_its_target_likelier(model, name, options):
    (request, *_) = REQUESTS
    untaught = target_loss(model, request)
    with METHODS[name](task(model, [request], **options)):
        assert target_loss(model, request) < untaught


def test_fine_tuning_changes_one_layer_and_rome_one_direction_of_one_layer(model):
    before = matrices(model)
    for name, rank in (("ft-m", None), ("rome", 1)):
        with METHODS[name](task(model, REQUESTS[:1])):
            moved = [now - old for now, old in zip(matrices(model), before, strict=True)]
            changed = [difference for difference in moved if difference.abs().max() > 0]
            assert len(changed) == 1
            singular = torch.linalg.svdvals(changed[0])
            assert rank is None or int((singular > 1e-4 * singular[0]).sum()) == rank


def test_rome_writes_the_value_it_wants_at_the_key_of_the_subject(model):
    (layer, *_) = weights.projections(model)
    prompts, positions = locate._prompts(model, REQUESTS[0])
    key_I = locate._keys(model, layer, prompts, positions).mean(0)
    old_OI = layer.weight_OI.detach().clone()
    with weights.restored(model):
        wanted_O = locate._value_change(model, layer, REQUESTS[0], prompts, positions, 0.5)
    with METHODS["rome"](task(model, REQUESTS[:1], layers=[0])):
        got_O = layer.weight_OI.detach() @ key_I - old_OI @ key_I
    assert torch.allclose(got_O, wanted_O, atol=1e-4)


def test_memit_spreads_over_its_layers(model):
    before = matrices(model)
    with METHODS["memit"](task(model, layers=[0, 1], weight=1e-6)):
        moved = [float((now - old).norm()) for now, old in zip(matrices(model), before, strict=True)]
    assert all(distance > 0 for distance in moved)


def test_the_last_token_of_the_subject_is_found_in_the_prompt(model):
    for request, ends in ((REQUESTS[0], "Anna Berg"), (REQUESTS[2], "I")):
        prompts, positions = locate._prompts(model, request)
        for ids, position in zip(prompts, positions, strict=True):
            assert model.decode(ids[: len(ids) + position + 1]).endswith((ends, "me", "my"))


def test_the_published_weights_stay_in_their_box_around_the_start_of_each_edit(model):
    before = matrices(model)
    with METHODS["ice-published"](task(model, REQUESTS[:1])):
        for now, old in zip(matrices(model), before, strict=True):
            box = 5e-4 * math.sqrt(11_008 / old.shape[1])
            assert (now - old).abs().max() <= box * (1 + 1e-4)


def test_the_oracle_is_told_the_fact_that_is_asked_and_nothing_beside_it(model):
    with METHODS["oracle"](task(model)) as edited:
        assert edited.context("anything", "e1") == REQUESTS[1].contexts[0]
        assert edited.context("Where does Marit Solvang live?", "") == ""


def test_retrieval_finds_the_fact_by_its_words(model):
    others = [edit_request.request(f"P{n} Q{n}", "home", ("Oslo",), fact_id=f"o{n}") for n in range(9)]
    with METHODS["rag"](task(model, [*others, *REQUESTS])) as edited:
        assert REQUESTS[1].statement in edited.context(REQUESTS[1].rewrite_prompt, "")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_its_down_projections(architecture):
    model = tiny_model(architecture)
    found = weights.projections(model)
    assert len(found) == 2
    assert all(layer.weight_OI.shape[0] == 32 for layer in found)


def test_a_papers_layers_are_carried_over_by_depth():
    assert weights.share(32, 4 / 32, 9 / 32) == [4, 5, 6, 7, 8]
    assert weights.share(32, 5 / 32, 5 / 32) == [5]
    assert weights.share(4, 2 / 3, 2 / 3) == [2]
    assert weights.share(1, 2 / 3, 2 / 3) == [0]
