"""The methods of the comparison on tiny models: each edits what its paper edits and leaves nothing behind."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from ice_agent import edit_request
from ice_agent.bench.methods import (
    ABLATED,
    METHODS,
    Task,
    fine_tuning,
    locate,
    paper,
    published,
    weights,
)
from ice_agent.digest import weights_hash
from ice_agent.errors import ModelError
from ice_agent.settings import EditSettings
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
CACHE = Path()
"""Of covariances; a folder of its own for each test."""
IN_THE_BASE = ("ft-l", "ft-m", "rome", "memit", "ice-published", "ice-paper", *ABLATED)


@pytest.fixture
def model():
    model = tiny_model()
    model.create_root("root")
    return model


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.CACHE", tmp_path)


@pytest.fixture
def few_steps(monkeypatch):
    """Of the methods that take many, for what does not depend on learning."""
    for module in (fine_tuning, paper, published):
        monkeypatch.setattr(module, "STEPS", 3)


def task(model, requests=REQUESTS, settings=SETTINGS, **options):
    usual = {"parent_id": "root", "candidate_id": "candidate", "texts": SURVEY.anchored_texts}
    return Task(
        model=model, root_id="root", requests=requests, survey=SURVEY, settings=settings, cache_dir=CACHE,
        **usual | options,
    )  # fmt: skip


@contextmanager
def edited(model, name, *of, **options):
    """A method as a run calls it: whatever it does to the base is put back."""
    with weights.restored(model):
        yield METHODS[name](task(model, *of, **options))


def matrices(model):
    return [layer.weight_OI.detach().clone() for layer in weights.projections(model)]


def target_loss(model, request):
    prompt, answer = model.encode(asking(request.rewrite_prompt)), model.encode_answer(request.target)
    with torch.no_grad():
        return float(weights.answer_loss(model, [prompt], [answer]))


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", METHODS)
def test_a_method_changes_the_base_or_adds_an_adapter_and_the_base_can_be_put_back(model, name):
    before, bare = weights_hash(model.base), [m.detach().clone() for m in matrices(model)]
    with edited(model, name) as done:
        changed = any(not torch.equal(now, old) for now, old in zip(matrices(model), bare, strict=True))
        assert changed == (name in IN_THE_BASE)
        assert (done.adapter_id == "candidate") == (name in ("ice", "ice-rebuilt", "lora-sft"))
        assert done.adapter_id is None or model.is_loaded(done.adapter_id)
    model.forget("candidate")
    assert weights_hash(model.base) == before
    assert not any(p.requires_grad for p in model.base.parameters())


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", IN_THE_BASE)
def test_a_method_that_breaks_off_leaves_the_base_as_it_was(model, name):
    before = weights_hash(model.base)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), edited(model, name, progress=interrupt):
        pass
    assert weights_hash(model.base) == before
    assert not any(p.requires_grad for p in model.base.parameters())


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", IN_THE_BASE)
def test_a_method_that_edits_the_base_goes_on_from_the_base_as_it_stands(model, name):
    first, second = REQUESTS[:1], REQUESTS[1:2]
    with weights.restored(model):
        METHODS[name](task(model, first))
        once = matrices(model)
        METHODS[name](task(model, second, learned=first))
        twice = matrices(model)
    assert any(not torch.equal(now, old) for now, old in zip(twice, once, strict=True))


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
    with edited(model, name, [request], **options):
        assert target_loss(model, request) < untaught


def test_fine_tuning_is_held_by_nothing(model):
    """It is the baseline without anchors and curvature, whatever ours is set to."""
    adapters = []
    for weight in (0.0, 1e6):
        held = dict.fromkeys(("anchor_weight", "curvature_weight", "curvature_weight_learned"), weight)
        with edited(model, "lora-sft", settings=SETTINGS.model_copy(update=held)):
            adapters.append(model.tensors("candidate"))
        model.forget("candidate")
    free, held = adapters
    assert all(torch.equal(free[name], held[name]) for name in free)


def test_a_rebuild_teaches_the_root_everything_whenever_enough_was_learned(model, monkeypatch):
    monkeypatch.setattr("ice_agent.bench.methods.ours.REBUILT_EACH", 3)
    first, second = REQUESTS[:1], REQUESTS[1:]

    def tensors(name, **of):
        METHODS[name](task(model, **{"candidate_id": "made"} | of))
        made = model.tensors("made")
        model.forget("made")
        return made

    METHODS["ice-rebuilt"](task(model, first, candidate_id="first"))
    not_yet = {"parent_id": "first", "requests": REQUESTS[1:2], "learned": first}
    assert all(
        map(torch.equal, tensors("ice-rebuilt", **not_yet).values(), tensors("ice", **not_yet).values())
    )
    rebuilt = tensors("ice-rebuilt", parent_id="first", requests=second, learned=first).values()
    assert all(map(torch.equal, rebuilt, tensors("ice").values()))
    assert not any(map(torch.equal, rebuilt, model.tensors("first").values()))


def test_fine_tuning_changes_one_layer_and_rome_one_direction_of_one_layer(model):
    before = matrices(model)
    for name, rank in (("ft-m", None), ("rome", 1)):
        with edited(model, name, REQUESTS[:1]):
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
    with edited(model, "rome", REQUESTS[:1], layers=[0]):
        got_O = layer.weight_OI.detach() @ key_I - old_OI @ key_I
    assert torch.allclose(got_O, wanted_O, atol=1e-4)


def test_memit_spreads_over_its_layers(model):
    before = matrices(model)
    with edited(model, "memit", layers=[0, 1], weight=1e-6):
        moved = [float((now - old).norm()) for now, old in zip(matrices(model), before, strict=True)]
    assert all(distance > 0 for distance in moved)


def test_the_last_token_of_the_subject_is_found_in_the_prompt(model):
    for request, ends in ((REQUESTS[0], "Anna Berg"), (REQUESTS[2], "I")):
        prompts, positions = locate._prompts(model, request)
        for ids, position in zip(prompts, positions, strict=True):
            assert model.decode(ids[: len(ids) + position + 1]).endswith((ends, "me", "my"))


def test_the_published_weights_stay_in_their_box_around_the_start_of_each_edit(model):
    before = matrices(model)
    with edited(model, "ice-published", REQUESTS[:1]):
        for now, old in zip(matrices(model), before, strict=True):
            box = 5e-4 * math.sqrt(11_008 / old.shape[1])
            assert (now - old).abs().max() <= box * (1 + 1e-4)


def test_the_oracle_is_told_the_fact_that_is_asked_and_nothing_beside_it(model):
    with edited(model, "oracle") as done:
        assert done.context("anything", "e1") == REQUESTS[1].contexts[0]
        assert done.context("Where does Marit Solvang live?", "") == ""


def test_retrieval_finds_the_fact_by_its_words(model):
    others = [edit_request.request(f"P{n} Q{n}", "home", ("Oslo",), fact_id=f"o{n}") for n in range(9)]
    with edited(model, "rag", [*others, *REQUESTS]) as done:
        assert REQUESTS[1].statement in done.context(REQUESTS[1].rewrite_prompt, "")


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


# -- covariances ---------------------------------------------------------------------------------------------


def test_a_covariance_is_the_second_moment_of_the_layers_keys(model):
    layer = weights.projections(model)[1]
    rows = [list(ids) for ids in SURVEY.anchored_texts]
    keys_NI = torch.cat(
        [locate._seen(model, layer.module, [ids], lambda inputs, _: inputs)[0] for ids in rows]
    )
    moment_II = keys_NI.T @ keys_NI / len(keys_NI)
    found_II = locate._covariance(task(model), 1)
    ridge = 1e-4 * moment_II.trace() / len(moment_II)
    assert torch.allclose(found_II, moment_II + ridge * torch.eye(len(moment_II)), atol=1e-5)


def test_a_covariance_is_taken_once_of_the_untaught_base_and_told_apart_by_its_texts(model):
    first = locate._covariance(task(model), 0)
    with torch.no_grad(), weights.restored(model):
        weights.projections(model)[0].parameter.mul_(2.0)
        assert torch.equal(locate._covariance(task(model, learned=REQUESTS), 0), first)
    other = locate._covariance(task(model, texts=[[1, 2, 3, 4]]), 0)
    assert not torch.allclose(other, first)
    with pytest.raises(ModelError, match="was edited before"):
        locate._covariance(task(model, texts=[[5, 6, 7]], learned=REQUESTS), 0)


# -- the paper's method without one of its parts -------------------------------------------------------------


def samples(model, name, monkeypatch):
    """What the paper's method and its ablations train on, step by step, and the prompts they sample under."""
    prompts: list[str] = []
    seen: list[list[tuple[int, ...]]] = []
    complete, loss = model.complete, weights.answer_loss

    def completing(asked, **options):
        prompts.extend(model.decode(ids) for ids in asked)
        return complete(asked, **options)

    def losing(model, bare, answers):
        seen.append([tuple(answer) for answer in answers])
        return loss(model, bare, answers)

    monkeypatch.setattr(model, "complete", completing)
    monkeypatch.setattr("ice_agent.bench.methods.paper.answer_loss", losing)
    with edited(model, name, REQUESTS[:1]):
        pass
    return prompts, seen


@pytest.mark.usefixtures("few_steps")
def test_dynamic_targets_are_sampled_at_each_step_and_static_ones_once(model, monkeypatch):
    _, dynamic = samples(model, "ice-paper", monkeypatch)
    assert len({tuple(step) for step in dynamic}) > 1
    _, static = samples(model, "ice-paper-static", monkeypatch)
    assert len(static) > 1
    assert len({tuple(step) for step in static}) == 1


@pytest.mark.usefixtures("few_steps")
def test_without_context_nothing_states_the_fact_and_unconditioned_nothing_gives_the_target(
    model, monkeypatch
):
    statement, target = REQUESTS[0].statement, REQUESTS[0].target
    told, answers = samples(model, "ice-paper", monkeypatch)
    assert all(statement.split()[-1].rstrip(".") in prompt for prompt in told)
    goal = tuple(model.encode_answer(target)[:-1])
    assert all(answer[: len(goal)] == goal for step in answers for answer in step)
    untold, answers = samples(model, "ice-paper-without-context", monkeypatch)
    assert not any("lives" in prompt for prompt in untold)
    assert all(answer[: len(goal)] == goal for step in answers for answer in step)
    _, answers = samples(model, "ice-paper-unconditioned", monkeypatch)
    assert not all(answer[: len(goal)] == goal for step in answers for answer in step)
