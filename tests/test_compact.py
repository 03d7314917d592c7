"""A rebuild from the root: all that is known in one adapter, judged, put in place at once, and taken back."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch

from ice_agent import explain, rebuild
from ice_agent.agent import Agent
from ice_agent.errors import AdapterError, CycleError
from ice_agent.ice_editor import IceEditor
from ice_agent.manifest import base_name, read_manifest
from ice_agent.model import EditableModel
from memory import AdapterStatus, BatchStatus, FactStatus, FactStore
from tests import schooled
from tests.schooled import Assistant

pytestmark = pytest.mark.slow

TOLD = ("Anna Berg lives in Lisbon.", "Ole Lund lives in Rome.")
ANNA, OLE = "Where does Anna Berg live?", "Where does Ole Lund live?"


ONE_BY_ONE: dict[str, Any] = {"cycle": {"batch_size": 1}}


@pytest.fixture(scope="module")
def school_year(tmp_path_factory):
    """A folder in which two facts were learned in one cycle."""
    assistant = Assistant(tmp_path_factory.mktemp("learned"))
    for text in TOLD:
        assistant.tell(text)
    assert assistant.learn().verdict.promote
    assert len(assistant.store.learned()) == 2
    assistant.archive.close()
    return assistant.folder


@pytest.fixture
def moving(school_year, tmp_path):
    """The same, taught as much as there is at a time."""
    assistant = Assistant(shutil.copytree(school_year, tmp_path / "tom"))
    yield assistant
    assistant.archive.close()


@pytest.fixture
def learned(school_year, tmp_path):
    assistant = Assistant(shutil.copytree(school_year, tmp_path / "tom"), **ONE_BY_ONE)
    yield assistant
    assistant.archive.close()


def compacted(assistant, **how: Any):
    return rebuild.compact(assistant.store, assistant.editor, assistant.config, **how)


def test_all_that_is_known_is_taught_from_the_root_in_batches_and_serves_at_once(learned):
    served, root = learned.serving, learned.store.lineage()[-1]
    pending = learned.tell("Jan Bakker lives in Quito.")
    done = compacted(learned)
    assert done.verdict.promote, done.verdict.reasons
    assert [
        len(read_manifest(learned.config.adapters.dir / r.adapter.path)["facts"]) for r in done.reports
    ] == [1] * 3
    assert [adapter.id for adapter in learned.store.lineage()] == [
        *(report.adapter.id for report in done.reports[::-1]), root.id,
    ]  # fmt: skip
    assert learned.serving.id == done.reports[-1].adapter.id
    assert learned.store.adapter(served.id).status is AdapterStatus.RETIRED
    assert learned.store.fact(pending.id).status is FactStatus.LEARNED
    assert {fact.adapter_id for fact in learned.store.taught()} == {learned.serving.id}
    assert [learned.ask(question) for question in (ANNA, OLE)] == ["Lisbon", "Rome"]
    assert learned.store.recall() == ()
    assert learned.store.verify().ok


def test_a_revert_brings_back_what_served_to_the_bit_with_every_fact_where_it_was(learned):
    served, logits, places = learned.serving, learned.logits(), learned.store.taught()
    pending = learned.tell("Jan Bakker lives in Quito.")
    assert compacted(learned).verdict.promote
    assert not torch.equal(learned.logits(), logits)
    _, back = learned.store.revert()
    learned.restart()
    assert back.id == served.id
    assert torch.equal(learned.logits(), logits)
    assert [(f.id, f.adapter_id, f.status) for f in learned.store.taught()] == [
        (f.id, f.adapter_id, f.status) for f in places
    ]
    assert learned.store.fact(pending.id).status is FactStatus.HELD
    assert learned.store.verify().ok


def test_a_revert_over_several_steps_and_a_rebuild_is_exact(learned):
    first, logits = learned.serving, learned.logits()
    assert compacted(learned).verdict.promote
    learned.tell("Jan Bakker lives in Quito.")
    assert learned.learn().verdict.promote
    learned.store.revert(to=first.id)
    learned.restart()
    assert torch.equal(learned.logits(), logits)
    assert [fact.object for fact in learned.store.learned()] == ["Lisbon", "Rome"]
    assert learned.store.verify().ok


def test_it_serves_until_every_guard_held_and_nothing_is_held_against_the_facts(learned):
    served = learned.serving
    strict = Assistant(learned.folder, edit={"learning_rate": 1e-9}, cycle={"batch_size": 1})
    done = compacted(strict)
    assert not done.verdict.promote
    assert len(done.reports) == 1
    assert strict.serving == served
    assert done.reports[0].adapter.status is AdapterStatus.REJECTED
    assert done.reports[0].adapter.verdict == done.verdict
    assert [(f.status, f.attempts) for f in strict.store.facts()] == [(FactStatus.LEARNED, 0)] * 2
    assert strict.store.batches()[-1].status is BatchStatus.FAILED
    assert strict.store.verify().ok


def test_what_is_told_meanwhile_stays_in_the_prompt_and_what_ended_is_no_longer_known(learned):
    def tell(stage, done, total, note):
        if stage == "measuring" and done == 0 and not learned.store.recall():
            learned.tell("Anna Berg lives in Oslo.")

    done = rebuild.compact(learned.store, learned.editor, learned.config, tell)
    assert done.verdict.promote
    (oslo,) = learned.store.recall()
    assert (oslo.object, oslo.status) == ("Oslo", FactStatus.PENDING)
    again = compacted(learned)
    assert "Lisbon" not in {fact.object for fact in again.reports[-1].batch.facts}
    assert learned.store.verify().ok


def test_a_rebuild_that_died_is_gone_on_with_by_the_next_and_given_up_by_a_cycle(learned):
    def die(stage, done, total, note):
        if stage == "editing" and len(made(learned)) > len(before):
            raise SystemExit

    before = made(learned)
    with pytest.raises(SystemExit):
        rebuild.compact(_undying(learned.store), learned.editor, learned.config, die)
    (first,) = [name for name in made(learned) if name not in before]
    assert learned.store.batches()[-1].status is BatchStatus.CLAIMED
    done = compacted(learned)
    assert done.verdict.promote
    assert done.reports[0].adapter.id == first
    assert len(learned.store.batches()) == 2
    assert learned.store.verify().ok


def test_a_cycle_gives_up_a_rebuild_that_died(learned):
    served = learned.serving
    learned.store.claim_rebuild(lease := learned.store.take_lease("dead", 600))
    learned.store.drop_lease(lease)
    learned.tell("Jan Bakker lives in Quito.")
    report = learned.learn()
    assert report.parent_id == served.id
    assert [fact.object for fact in report.batch.facts] == ["Quito"]
    assert learned.store.verify().ok


def test_nothing_known_is_nothing_to_rebuild(tmp_path):
    assistant = Assistant(tmp_path)
    with pytest.raises(CycleError, match="nothing to rebuild"):
        compacted(assistant)
    assistant.archive.close()


# -- another base model --------------------------------------------------------------------------------------


def on_another_base(assistant):
    """A model that went to the same school, and is not the same."""
    base, tokenizer = schooled._school()
    other = copy.deepcopy(base)
    with torch.no_grad():
        next(other.parameters()).mul_(1.004)
    assistant.model = EditableModel(other, tokenizer, assistant.config.lora, name="newer/model")
    schooled.plant_survey(assistant.model, assistant.config)
    assistant.editor = IceEditor(assistant.model, assistant.config)
    assistant.agent = Agent(assistant.store, assistant.model, assistant.config)


def test_a_lineage_moves_to_a_new_base_in_one_step_and_back(moving):
    served, logits, old_root = moving.serving, moving.logits(), moving.store.lineage()[-1]
    on_another_base(moving)
    with pytest.raises(AdapterError, match=r"another base.*rebuild --base"):
        compacted(moving)
    assert moving.serving == served
    done = compacted(moving, new_base=True)
    assert done.verdict.promote, done.verdict.reasons
    *_, root = moving.store.lineage()
    assert root.id != old_root.id
    assert {adapter.base_hash for adapter in moving.store.lineage()} == {moving.model.base_hash}
    assert [moving.ask(question) for question in (ANNA, OLE)] == ["Lisbon", "Rome"]
    assert base_name(moving.config.adapters.dir / moving.serving.path) == "newer/model"
    assert moving.store.verify().problems == ()
    assert explain.damaged(moving.store, moving.config.adapters.dir) == ()
    moving.tell("Jan Bakker lives in Quito.")
    assert moving.learn().adapter.base_hash == moving.model.base_hash
    moving.store.revert(to=served.id)
    with pytest.raises(AdapterError, match="another base"):
        moving.logits()
    moving.restart()
    assert torch.equal(moving.logits(), logits)
    assert len(moving.store.learned()) == 2
    assert moving.store.verify().problems == ()


def test_a_move_that_a_guard_refuses_can_be_tried_again(moving):
    served = moving.serving
    strict = Assistant(moving.folder, edit={"learning_rate": 1e-9})
    on_another_base(strict)
    assert not compacted(strict, new_base=True).verdict.promote
    assert strict.serving == served
    on_another_base(moving)
    assert compacted(moving, new_base=True).verdict.promote
    assert moving.store.verify().problems == ()


@pytest.mark.parametrize(
    ("sizes", "size", "expected"),
    [([1, 1, 1], 2, [2, 1]), ([2, 2], 3, [2, 2]), ([5, 1], 2, [5, 1]), ([1], 9, [1])],
)
def test_a_slot_is_never_split(learned, sizes, size, expected):
    fact = learned.store.facts()[0]
    facts = [
        replace(fact, id=f"{n}{i}", subject=str(n)) for n, count in enumerate(sizes) for i in range(count)
    ]
    assert [len(group) for group in rebuild.batches(facts, size)] == expected


def made(assistant):
    return {path.name for path in assistant.config.adapters.dir.glob("*_*") if path.is_dir()}


def _undying(store: FactStore) -> FactStore:
    """As a process that is killed leaves it: nothing is given back."""

    class Killed(FactStore):
        def fail_batch(self, *args, **how):
            raise SystemExit

    killed = object.__new__(Killed)
    killed.__dict__ |= vars(store)
    return killed
