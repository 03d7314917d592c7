"""The quadratic form that holds an update between its anchors: against what it stands for, on tiny models."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from ice_agent import curvature, ice, lessons
from ice_agent.curvature import measure
from ice_agent.lessons import Row
from tests.editing import FACTS, SETTINGS, answerable, divergences, edit
from tests.tiny import ARCHITECTURES, tiny_model

ROWS = [
    Row(ids=tuple(int(i) for i in torch.randint(7, 300, (n,), generator=torch.Generator().manual_seed(n))),
        n_answer=1 + n // 2)
    for n in range(4, 40)
]  # fmt: skip


def silent(*_):
    pass


@pytest.fixture
def model():
    return rooted(tiny_model())


def rooted(model):
    model.create_root("root")
    return model


def moved(model, name="moved", size=1e-4, seed=0):
    """An adapter that moves every layer a little, at random."""
    model._add(name, {}, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.adapted(name).values():
            layer.b_OR.copy_(size * torch.randn(layer.b_OR.shape, generator=generator))
    return name


def true_kl(model, adapter_id, rows, since="root"):
    """KL from one adapter to another at every answer token, averaged."""
    with model.using(since):
        rows = lessons.with_teachers(model, rows, 300, silent, "")
    return float(torch.cat(divergences(model, adapter_id, rows)).double().mean())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_small_update_drifts_as_far_as_its_curvature_says(architecture):
    model = rooted(tiny_model(architecture))
    said = measure(model, "root", ROWS, 0, silent)
    names = [moved(model, f"moved-{seed}", 1e-3, seed) for seed in range(4)]
    estimated = sum(float(said.drift(model.adapted(name))) for name in names)
    measured = sum(true_kl(model, name, ROWS) for name in names)
    assert 0.7 < estimated / measured < 1.4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_from_a_parent_a_small_step_drifts_as_far_as_the_parents_curvature_says(architecture):
    model = rooted(tiny_model(architecture))
    parent = model.adapted(moved(model, "parent", 0.05))
    said = measure(model, "parent", ROWS, 0, silent)
    estimated = kl = 0.0
    for seed in range(1, 5):
        step = model.adapted(moved(model, f"step-{seed}", 1e-3, seed))
        with torch.no_grad():
            for name, layer in step.items():
                layer.a_RI.copy_(parent[name].a_RI)
                layer.b_OR.add_(parent[name].b_OR)
        estimated += float(said.drift(step, since=parent))
        kl += true_kl(model, f"step-{seed}", ROWS, since="parent")
    assert 0.7 < estimated / kl < 1.4
    assert float(said.drift(parent, since=parent)) == pytest.approx(0.0, abs=1e-6)


def test_a_model_in_half_precision_has_nearly_the_same_curvature():
    full, half = (rooted(tiny_model(dtype=dtype)) for dtype in (torch.float32, torch.bfloat16))
    estimates = [
        float(measure(model, "root", ROWS, 0, silent).drift(model.adapted(moved(model))))
        for model in (full, half)
    ]
    assert estimates[1] == pytest.approx(estimates[0], rel=0.2)


def test_twice_as_far_drifts_four_times_as_much_and_the_root_not_at_all(model):
    said = measure(model, "root", ROWS, 0, silent)
    near = float(said.drift(model.adapted(moved(model, "near", 1e-3))))
    far = float(said.drift(model.adapted(moved(model, "far", 2e-3))))
    assert far == pytest.approx(4 * near, rel=1e-4)
    assert float(said.drift(model.adapted("root"))) == 0.0


def test_what_is_padded_counts_for_nothing(model, monkeypatch):
    # In full precision: in half of it, rounding differs with the shape of a chunk.
    monkeypatch.setattr("ice_agent.model.mixed_precision", lambda device: nullcontext())
    together = measure(model, "root", ROWS, 0, silent)
    monkeypatch.setattr(lessons, "MAX_CHUNK_TOKENS", 1)
    alone = measure(model, "root", ROWS, 0, silent)
    for name, (inputs, _) in together.moments.items():
        again = alone.moments[name][0]
        assert torch.allclose(second_moment(inputs), second_moment(again), rtol=1e-3, atol=1e-4)


def second_moment(moment):
    return moment.between(torch.eye(len(moment.rest_D)))


def test_the_model_is_left_as_it_was(model):
    before = model.logits([[1, 8, 9, 10]], 4)
    measure(model, "root", ROWS, 0, silent)
    hooked = [m for m in model.base.modules() if m._forward_hooks or m._backward_hooks]
    assert not hooked
    assert not any(p.requires_grad or p.grad is not None for p in model.base.parameters())
    after = model.logits([[1, 8, 9, 10]], 4)
    assert torch.equal(before, after)
    assert not after.requires_grad


def test_the_same_seed_gives_the_same_curvature(model):
    first, second = (measure(model, "root", ROWS, 3, silent) for _ in range(2))
    for name, pair in first.moments.items():
        for here, there in zip(pair, second.moments[name], strict=True):
            assert torch.equal(here.factor_DK, there.factor_DK)
            assert torch.equal(here.rest_D, there.rest_D)


# -- moments -------------------------------------------------------------------------------------------------


def summed(vectors, directions, monkeypatch):
    monkeypatch.setattr(curvature, "DIRECTIONS", directions)
    total = curvature._Sum(vectors.shape[1], torch.Generator().manual_seed(0))
    for part in vectors.split(7):
        total.add(part)
    return total.mean(len(vectors))


def test_few_directions_are_kept_exactly(monkeypatch):
    vectors_ND = torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    exact = vectors_ND.T @ vectors_ND / 50
    assert torch.allclose(second_moment(summed(vectors_ND, 12, monkeypatch)), exact, atol=1e-5)


def test_of_many_directions_the_strong_ones_are_kept_and_no_mean_square_is_lost(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    strength_D = 0.5 ** torch.arange(24)
    turned_DD = torch.linalg.qr(torch.randn(24, 24, generator=generator))[0]
    vectors_ND = torch.randn(400, 24, generator=generator) * strength_D @ turned_DD
    exact = vectors_ND.T @ vectors_ND / 400
    kept = second_moment(summed(vectors_ND, 8, monkeypatch))
    assert (kept - exact).norm() < 0.01 * exact.norm()
    assert torch.allclose(kept.diagonal(), exact.diagonal(), rtol=1e-3)


def test_no_direction_is_free_where_only_few_are_kept_apart(monkeypatch):
    """An update would find it: what a sketch does not see must still cost something."""
    vectors_ND = torch.randn(400, 24, generator=torch.Generator().manual_seed(0))
    kept = second_moment(summed(vectors_ND, 4, monkeypatch))
    assert torch.linalg.eigvalsh(kept)[0] > 0.1


def test_what_never_moved_costs_nothing(monkeypatch):
    kept = second_moment(summed(torch.zeros(10, 6), 6, monkeypatch))
    assert torch.equal(kept, torch.zeros(6, 6))


# -- in an edit ----------------------------------------------------------------------------------------------


def test_an_edit_held_by_curvature_moves_the_root_less_between_its_anchors(model):
    requests = [answerable(model, *FACTS[0])]
    moves = {}
    for name, weight in (("free", 0.0), ("held", 100.0)):
        settings = SETTINGS.model_copy(update={"curvature_weight": weight, "steps": 10, "clip": 1.0})
        edit(model, requests, candidate=name, settings=settings)
        moves[name] = true_kl(model, name, ROWS)
    assert moves["held"] < 0.5 * moves["free"]


def test_a_second_edit_held_by_its_parents_curvature_moves_less_of_what_was_learned(model, monkeypatch):
    off = {"curvature_weight": 0.0, "curvature_weight_learned": 0.0}
    quick = SETTINGS.model_copy(update={**off, "steps": 10, "clip": 1.0})
    edit(model, [answerable(model, *FACTS[0])], candidate="first", settings=quick)
    # Of the parent alone: what the root's curvature holds is told above.
    monkeypatch.setattr(ice, "make_anchors", lambda *_: ([], []))
    monkeypatch.setattr(ice, "recalled", lambda *_: ([], ROWS))
    moves = {}
    for name, weight in (("free", 0.0), ("held", 300.0)):
        settings = quick.model_copy(update={"curvature_weight_learned": weight})
        edit(model, [answerable(model, *FACTS[1])], candidate=name, parent="first", settings=settings)
        moves[name] = true_kl(model, name, ROWS, since="first")
    assert moves["held"] < 0.5 * moves["free"]


def test_what_weighs_nothing_is_not_measured(model, monkeypatch):
    measured = []

    def noting(model, root_id, rows, *rest):
        measured.append(len(rows))
        return measure(model, root_id, rows, *rest)

    monkeypatch.setattr(ice, "measure", noting)
    for name, weight in (("free", 0.0), ("held", 1.0)):
        settings = SETTINGS.model_copy(update={"curvature_weight": weight, "curvature_rows": 5})
        edit(model, [answerable(model, *FACTS[0])], candidate=name, settings=settings)
    assert measured == [5], "and of a parent that has learned nothing there is nothing to hold"
