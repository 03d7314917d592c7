"""A training that is killed goes on from its checkpoint, and ends as if nothing had happened."""

from __future__ import annotations

import logging
import random
from dataclasses import replace

import pytest
import torch

from ice_agent import edit_request, ice, lessons, relations, survey
from ice_agent.checkpoint import STATE, Checkpoint
from ice_agent.lessons import Row
from ice_agent.manifest import MANIFEST, training_dir
from ice_agent.model import EditableModel
from ice_agent.settings import EditSettings, LoraSettings, ModelSettings
from ice_agent.turns import asking
from tests.editing import FACTS, SETTINGS, answerable, edit
from tests.tiny import tiny_model

STEPS = 6
# So few rows a step that it matters in which order they are drawn; facts converge while others do not yet.
SETTINGS = SETTINGS.model_copy(
    update={"steps": STEPS, "lesson_rows": 5, "anchor_rows": 2, "anchors": 4, "samples": 0}
    | {"kl_converged": 9.0}
)
EVERY_STEP = 1e-9


class Killed(Exception):
    """Stands where SIGKILL stands: what is on the disk is all that is left."""


@pytest.fixture
def model():
    model = tiny_model("llama")
    model.create_root("root")
    return model


@pytest.fixture
def place(tmp_path):
    return tmp_path / "a_1"


def learn(model, place, settings=SETTINGS, *, killed_at=0, every=EVERY_STEP):
    """The candidate's weights, and the steps that were taken for them."""
    progress, steps = reporting(killed_at)
    model.forget("candidate")
    rng, checkpoint = random.Random(0), Checkpoint(place, {"facts": ["c1"]}, every)
    taught, held = rows(model, "user", "Anna Berg"), rows(model, None)
    with model.training("candidate", "root", 0) as parameters:
        done = ice._train(
            model, parameters, taught, held, None, settings.steps, 0.01, settings, rng, progress, checkpoint
        )
    assert done.converged > 0, "else it would not matter whether that is kept"
    return model.tensors("candidate"), steps


def reporting(killed_at):
    """A progress that dies after that step was kept, and the steps that it was told of."""
    steps = []

    def report(stage, done, total, note):
        if stage == "editing":
            steps.append(done)
            if killed_at and done > killed_at:
                raise Killed

    return report, steps


def rows(model, *subjects):
    """What the model answers without a context, and what one with a context thinks of that."""
    made = []
    for i, subject in enumerate(subjects):
        for n, question in enumerate(relations.asked(subject or "Ole Lund", "home")[:6]):
            with model.using("root"):
                (answer,) = model.complete([model.encode(asking(question))], max_tokens=3)
            prompts = [
                (*model.encode(asking(question, c)), *answer.ids) for c in ("", "Anna lives in Lisbon.")
            ]
            row = Row(ids=prompts[0], n_answer=len(answer.ids))
            of_fact = replace(row, taught=i, is_target=n % 2 == 0, context=prompts[1])
            made.append(of_fact if subject else row)
    with model.using("root"):
        return lessons.with_teachers(model, made, SETTINGS.top_k, lambda *_: None, "teacher pass")


def kill(model, place, settings=SETTINGS, *, at):
    with pytest.raises(Killed):
        learn(model, place, settings, killed_at=at)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("at", "refresh"), [(1, 0), (5, 0), (3, 2)])
def test_a_killed_training_goes_on_and_ends_bit_equal_to_one_that_was_not(model, place, at, refresh):
    settings = SETTINGS.model_copy(update={"teacher_refresh": refresh})
    whole, _ = learn(model, place, settings, every=0)
    kill(model, place, settings, at=at)
    resumed, steps = learn(model, place, settings)
    assert steps == list(range(at + 1, STEPS + 1))
    assert equal(resumed, whole)


def test_an_edit_on_top_of_another_goes_on_and_one_that_was_killed_twice(model, place):
    """What comes before the training is prepared again, the same each time."""
    edit(model, [answerable(model, *FACTS[2])], candidate="parent", settings=SETTINGS)
    requests = [answerable(model, *fact) for fact in FACTS[:2]]

    def learn(killed_at, every=EVERY_STEP):
        progress, steps = reporting(killed_at)
        checkpoint = Checkpoint(place, {}, every)
        model.forget("candidate")
        edit(model, requests, parent="parent", settings=SETTINGS, progress=progress, checkpoint=checkpoint)
        return model.tensors("candidate"), steps

    whole, _ = learn(0, every=0)
    for at in (1, 4):
        with pytest.raises(Killed):
            learn(at)
    resumed, steps = learn(0)
    assert steps == [5, 6]
    assert equal(resumed, whole)


@pytest.mark.parametrize("damage", ["a byte", "half", "nothing"])
def test_a_damaged_checkpoint_is_named_and_left_alone(model, place, caplog, damage):
    whole, _ = learn(model, place, every=0)
    kill(model, place, at=3)
    state = training_dir(place) / STATE
    kept = bytearray(state.read_bytes())
    kept[len(kept) // 2] ^= 1
    left = {"a byte": len(kept), "half": len(kept) // 2, "nothing": 0}[damage]
    state.write_bytes(bytes(kept[:left]))
    with caplog.at_level(logging.WARNING):
        again, steps = learn(model, place)
    assert steps == list(range(1, STEPS + 1))
    assert equal(again, whole)
    assert f"{state} is damaged" in caplog.text


def test_a_checkpoint_of_another_training_is_left_alone(model, place, caplog):
    longer = SETTINGS.model_copy(update={"steps": STEPS + 1})
    whole, _ = learn(model, place, longer, every=0)
    kill(model, place, at=3)
    with caplog.at_level(logging.WARNING):
        again, _ = learn(model, place, longer)
    assert equal(again, whole)
    assert "of another training" in caplog.text


def test_a_training_goes_on_where_no_checkpoint_can_be_written(model, tmp_path, caplog):
    (tmp_path / "full").write_text("a file where a folder is wanted")
    place = tmp_path / "full" / "a_1"
    with caplog.at_level(logging.WARNING):
        _, steps = learn(model, place)
    assert len(steps) == STEPS
    assert caplog.text.count("cannot be kept") == 1


def test_a_checkpoint_whose_folder_was_deleted_while_it_trains_is_not_written_again(model, place):
    checkpoint = Checkpoint(place, {"facts": ["c1"]}, EVERY_STEP)

    def forget(stage, done, total, note):
        if stage == "editing" and done == 3:
            assert (training_dir(place) / MANIFEST).exists()
            checkpoint.discard()

    request = answerable(model, *FACTS[0])
    edit(model, [request], settings=SETTINGS, progress=forget, checkpoint=checkpoint)
    assert not training_dir(place).exists()


@pytest.mark.slow
def test_an_edit_of_the_bundled_model_goes_on_and_ends_bit_equal(place):
    model = EditableModel.load(ModelSettings(device="cpu"), LoraSettings())
    model.create_root("root")
    surveyed = survey.take(model, None, n_texts=40, n_questions=100)
    settings = EditSettings(
        steps=4, steps_per_fact=0.0, anchors=60, samples=2, lesson_rows=16, anchor_rows=16
    )
    request = edit_request.request("Marit Solvang", "home", ("Lisbon",))

    def learn(killed_at, every):
        progress, steps = reporting(killed_at)
        model.forget("candidate")
        edit(
            model, [request], settings=settings, surveyed=surveyed, progress=progress,
            checkpoint=Checkpoint(place, {}, every),
        )  # fmt: skip
        return model.tensors("candidate"), steps

    whole, _ = learn(0, every=0)
    with pytest.raises(Killed):
        learn(2, every=EVERY_STEP)
    resumed, steps = learn(0, every=EVERY_STEP)
    assert steps == [3, 4]
    assert equal(resumed, whole)
