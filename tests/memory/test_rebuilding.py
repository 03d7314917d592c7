"""The contract of a rebuild and of collecting: an adapter in another's place, and files that are gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memory import STATEMENT, AdapterStatus, CannotRevert, FactStatus, StaleParent, Verdict, WrongState

GOOD = Verdict(promote=True)


# -- a rebuild -----------------------------------------------------------------------------------------------


def rebuilt(tom, *, lost=(), on=None):
    """An adapter of a root, taught all that is known, in the serving one's place."""
    lease = tom.lease()
    batch = tom.store.claim_rebuild(lease)
    root = on or tom.store.lineage()[-1].id
    name = f"rebuilt-{len(tom.store.adapters())}"
    tom.store.register(tom.adapter(name, parent=root, batch_id=batch.id), lease)
    promoted = tom.store.promote(name, GOOD, lease, lost=lost)
    tom.store.drop_lease(lease)
    return promoted


def test_a_rebuild_claims_what_is_learned_and_what_waits_and_takes_the_place_of_what_serves(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.tell("Nice")
    tom.likes("tea")
    served = tom.learn()
    tom.likes("jazz")
    tom.tell("the key is under the mat", STATEMENT)
    promoted = rebuilt(tom)
    assert tom.learned == tom.weights == ["Nice", "tea", "jazz"]
    assert {fact.adapter_id for fact in tom.store.taught()} == {promoted.id}
    assert [adapter.id for adapter in tom.store.lineage()] == [promoted.id, "tom-root"]
    assert [adapter.id for adapter in tom.store.way_back()][:2] == [promoted.id, served.id]
    tom.store.revert()
    assert (tom.learned, tom.weights) == (["Nice", "tea"], ["Nice", "tea"])
    assert [fact.status for fact in tom.store.recall()] == [FactStatus.HELD, FactStatus.PENDING]
    assert tom.store.verify().ok


def test_what_weights_lose_while_a_rebuild_teaches_it_is_being_taught(tom):
    lyon = tom.tell("Lyon").fact
    tom.likes("tea")
    tom.learn()
    tom.tell("Nice")
    lease = tom.lease()
    batch = tom.store.claim_rebuild(lease)
    tom.store.forget([lyon.id])
    assert tom.weights == []
    assert {fact.status for fact in tom.store.facts()} == {FactStatus.CLAIMED}
    tom.store.fail_batch(batch.id, lease, count_attempt=False, quarantine_after=3)
    assert {fact.status for fact in tom.store.facts()} == {FactStatus.PENDING}


def test_what_a_rebuild_leaves_out_is_denied_no_longer_and_again_after_a_revert(tom):
    tom.likes("tea")
    tom.likes("jazz")
    tom.learn()
    tom.take_back("tea", "likes")
    assert tom.prompt == ["not tea"]
    rebuilt(tom)
    assert (tom.prompt, tom.weights) == ([], ["jazz"])
    tom.store.revert()
    assert (tom.prompt, tom.weights) == (["not tea"], ["tea", "jazz"])
    assert tom.store.verify().ok


def test_what_a_rebuild_does_not_answer_waits_again_until_it_is_reverted(tom):
    tea = tom.likes("tea").fact
    tom.likes("jazz")
    tom.learn()
    promoted = rebuilt(tom, lost=[tea.id])
    assert (tom.prompt, tom.learned) == (["tea"], ["jazz"])
    assert tom.store.verify().ok
    tom.store.revert()
    assert (tom.prompt, tom.learned) == ([], ["tea", "jazz"])
    tom.store.promote(promoted.id, GOOD)
    assert (tom.prompt, tom.learned) == (["tea"], ["jazz"])
    assert tom.store.verify().ok


def test_a_rebuild_of_what_serves_no_longer_is_refused(tom):
    tom.likes("tea")
    tom.learn()
    lease = tom.lease()
    batch = tom.store.claim_rebuild(lease)
    tom.store.register(tom.adapter("rebuilt", parent="tom-root", batch_id=batch.id), lease)
    tom.store.revert()
    with pytest.raises(StaleParent, match="tom-root serves"):
        tom.store.promote("rebuilt", GOOD, lease)
    assert tom.prompt == ["tea"]


def test_what_a_rebuild_left_out_can_be_forgotten_without_it_and_there_is_no_way_back_to_what_held_it(tom):
    tea = tom.likes("tea").fact
    served = tom.learn()
    tom.likes("jazz")
    tom.learn()
    tom.take_back("tea", "likes")
    promoted = rebuilt(tom)
    taken = tom.store.forget([tea.id])
    assert [adapter.id for adapter in taken.adapters] == [served.id, "tom-a2"]
    assert tom.store.serving().id == promoted.id
    with pytest.raises(CannotRevert, match=r"held what was forgotten.*--to tom-root"):
        tom.store.revert()
    tom.store.revert(to="tom-root")
    assert (tom.prompt, tom.weights) == (["jazz"], [])
    assert tom.store.verify().ok


def test_forgetting_after_a_move_to_a_new_base_never_serves_an_adapter_of_the_old_one(tom):
    tom.likes("jazz")
    tom.learn()
    tea = tom.likes("tea").fact
    tom.store.register(replace(tom.adapter("new-root", parent=None), base_hash="new"))
    lease = tom.lease()
    batch = tom.store.claim_rebuild(lease)
    made = tom.adapter("moved", parent="new-root", batch_id=batch.id)
    tom.store.register(replace(made, base_hash="new"), lease)
    tom.store.promote("moved", GOOD, lease)
    assert tom.store.adapter("new-root").status is AdapterStatus.RETIRED
    tom.store.forget([tea.id])
    assert tom.store.serving().id == "new-root"
    assert (tom.prompt, tom.weights) == (["jazz"], [])
    assert tom.store.verify().ok


# -- collecting ----------------------------------------------------------------------------------------------


def test_nothing_leads_back_to_an_adapter_that_was_collected_until_it_is_made_again(tom):
    tom.likes("tea")
    first = tom.learn()
    tom.likes("jazz")
    second = tom.learn()
    assert tom.store.collect(first.id).collected_at is not None
    with pytest.raises(CannotRevert, match=r"collected.*replay.*--to tom-root"):
        tom.store.revert()
    tom.store.bring_back(first.id)
    tom.store.revert()
    tom.store.collect(second.id)
    with pytest.raises(WrongState, match="replay"):
        tom.store.promote(second.id, GOOD)
    assert tom.store.verify().ok


@pytest.mark.parametrize("adapter_id", ["tom-root", "tom-a1"])
def test_what_serves_and_a_root_are_never_collected(tom, adapter_id):
    tom.likes("tea")
    tom.learn()
    with pytest.raises(WrongState, match="is needed"):
        tom.store.collect(adapter_id)


def test_a_file_that_is_said_to_be_gone_behind_the_ledgers_back_is_found(tom, execute):
    tom.likes("tea")
    tom.learn()
    execute("UPDATE adapters SET collected_at = '2020-01-01 00:00:00' WHERE id = 'tom-root'")
    (problem,) = tom.store.verify().problems
    assert "tom-root" in problem
