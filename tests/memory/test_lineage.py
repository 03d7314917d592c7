"""The contract of leases, batches and adapters: how facts get into the weights, and out again."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

from memory import (
    SENSITIVE,
    STATEMENT,
    AdapterStatus,
    BatchStatus,
    CannotRevert,
    FactStatus,
    LeaseHeld,
    Rate,
    Scores,
    StaleLease,
    StaleParent,
    SuiteScores,
    UnknownAdapter,
    UnknownBatch,
    Verdict,
    WrongState,
)
from memory.columns import ScoresText, plain_scores
from tests.memory.conftest import Tenant

GOOD = Verdict(promote=True)
BAD = Verdict(promote=False, reasons=("edit success 0.500 (1/2) is under 0.9",))


def test_a_learned_fact_leaves_the_prompt(tom):
    tom.tell("Lyon")
    assert tom.prompt == ["Lyon"]
    tom.learn()
    assert (tom.prompt, tom.learned, tom.weights) == ([], ["Lyon"], ["Lyon"])


def test_a_fact_is_served_from_the_prompt_while_it_is_edited(tom):
    tom.root()
    tom.tell("Lyon")
    batch = tom.store.claim_batch(10, tom.lease())
    assert [fact.status for fact in batch.facts] == [FactStatus.CLAIMED]
    assert tom.prompt == ["Lyon"]


def test_what_is_sensitive_is_set_aside_by_the_claim_however_it_came_to_wait(tom):
    held, other = (tom.tell(*told).fact for told in (("Quaker", "religion"), ("Lyon", "lives_in")))
    tom.tell("Baptist", "religion")
    tom.take_back("Baptist", "religion")
    assert tom.store.fact(held.id).status is FactStatus.PENDING
    batch = tom.store.claim_batch(10, tom.lease(), {"religion"})
    assert [fact.id for fact in batch.facts] == [other.id]
    aside = tom.store.fact(held.id)
    assert (aside.status, aside.quarantine_reason) == (FactStatus.QUARANTINED, SENSITIVE)
    assert aside in tom.store.recall()
    assert tom.store.verify().ok


def test_the_oldest_facts_are_claimed_first(tom):
    for value in ("tea", "jazz", "chess"):
        tom.likes(value)
    batch = tom.store.claim_batch(2, tom.lease())
    assert [fact.object for fact in batch.facts] == ["tea", "jazz"]


def test_without_anything_to_do_there_is_no_batch(tom):
    lease = tom.lease()
    assert tom.store.claim_batch(10, lease) is None
    with pytest.raises(ValueError, match="at least one"):
        tom.store.claim_batch(0, lease)


def test_a_fact_whose_time_is_over_is_neither_claimed_nor_served(tom, execute):
    tom.tell("Rome", valid_until=date(2999, 1, 1))
    execute("UPDATE facts SET valid_until = '2020-01-01 00:00:00+00:00'")
    assert tom.prompt == []
    assert tom.store.claim_batch(10, tom.lease()) is None


def test_a_contradiction_overrides_the_weights_until_it_is_learned(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.tell("Nice")
    assert (tom.prompt, tom.weights) == (["Nice"], ["Lyon"])
    tom.learn()
    assert (tom.prompt, tom.weights) == ([], ["Nice"])


def test_a_retraction_is_a_negation_until_the_weights_are_edited_back(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.take_back("Lyon")
    assert tom.prompt == ["not Lyon"]
    second = tom.learn()
    (removal,) = tom.store.batch(second.batch_id).removals
    assert removal.object == "Lyon"
    assert (tom.prompt, tom.weights) == ([], [])


def test_a_retracted_fact_that_no_weights_held_is_simply_gone(tom):
    tom.tell("Lyon")
    tom.take_back("Lyon")
    assert tom.prompt == []


def test_a_value_comes_back_from_the_weights_if_they_still_hold_it(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.tell("Nice")
    (lyon,) = tom.take_back("Nice").reopened
    assert lyon.status is FactStatus.LEARNED
    assert tom.prompt == []


def test_a_value_comes_back_through_the_prompt_if_it_was_overwritten(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.tell("Nice")
    tom.learn()
    (lyon,) = tom.take_back("Nice").reopened
    assert lyon.status is FactStatus.PENDING
    # Lyon overrides what the weights say, so no negation of Nice is needed beside it.
    assert (tom.prompt, tom.weights) == (["Lyon"], ["Nice"])
    tom.learn()
    assert (tom.prompt, tom.weights) == ([], ["Lyon"])


def test_a_fact_that_is_superseded_while_it_is_edited_stays_superseded(tom):
    tom.root()
    tom.tell("Lyon")
    lease = tom.lease()
    candidate = tom.candidate(lease)
    tom.tell("Nice")
    tom.store.promote(candidate.id, GOOD, lease)
    assert (tom.prompt, tom.standing, tom.weights) == (["Nice"], ["Nice"], ["Lyon"])


def test_what_a_batch_overwrote_waits_again_if_it_came_back_meanwhile(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.tell("Nice")
    lease = tom.lease()
    candidate = tom.candidate(lease)
    tom.take_back("Nice")
    assert tom.learned == ["Lyon"]
    tom.store.promote(candidate.id, GOOD, lease)
    assert (tom.prompt, tom.learned, tom.weights) == (["Lyon"], [], ["Nice"])


def test_a_rejected_batch_waits_again_and_is_quarantined_after_so_many_tries(tom):
    tom.root()
    fact = tom.tell("Lyon").fact
    lease = tom.lease()
    for status in (FactStatus.PENDING, FactStatus.QUARANTINED):
        rejected = tom.store.reject(tom.candidate(lease).id, BAD, lease, quarantine_after=2)
        assert (rejected.status, rejected.verdict) == (AdapterStatus.REJECTED, BAD)
        assert tom.store.fact(fact.id).status is status
    assert "failed 2 times" in tom.store.fact(fact.id).quarantine_reason
    assert tom.prompt == ["Lyon"]
    assert tom.store.claim_batch(10, lease) is None


def test_a_batch_that_was_given_up_counts_no_attempt(tom):
    fact = tom.tell("Lyon").fact
    lease = tom.lease()
    batch = tom.store.claim_batch(10, lease)
    failed = tom.store.fail_batch(batch.id, lease, count_attempt=False, quarantine_after=1)
    assert failed.status is BatchStatus.FAILED
    assert tom.store.fact(fact.id) == fact
    with pytest.raises(WrongState, match="only a claimed one"):
        tom.store.fail_batch(batch.id, lease, count_attempt=False, quarantine_after=1)


def test_a_quarantined_fact_leaves_its_batch_and_is_not_learned_with_it(tom):
    tom.root()
    tea, jazz = tom.likes("tea").fact, tom.likes("jazz").fact
    lease = tom.lease()
    candidate = tom.candidate(lease)
    tom.store.quarantine(tea.id, "it broke a neighbour")
    assert tom.store.batch(candidate.batch_id).facts == (tom.store.fact(jazz.id),)
    tom.store.promote(candidate.id, GOOD, lease)
    assert (tom.prompt, tom.learned) == (["tea"], ["jazz"])
    assert tom.store.release(tea.id).status is FactStatus.PENDING


def test_what_a_promoted_adapter_missed_is_set_aside_with_the_promotion_or_not_at_all(tom):
    tom.root()
    tea, jazz = tom.likes("tea").fact, tom.likes("jazz").fact
    lease = tom.lease()
    candidate = tom.candidate(lease)
    before = tom.store.ledger()
    with pytest.raises(ValueError, match="not to promote"):
        tom.store.promote(candidate.id, BAD, lease, set_aside={tea.id: "not answered"})
    assert tom.store.ledger() == before
    tom.store.promote(candidate.id, GOOD, lease, set_aside={tea.id: "not answered"})
    assert (tom.prompt, tom.learned) == (["tea"], ["jazz"])
    assert tom.store.fact(tea.id).quarantine_reason == "not answered"
    assert tom.store.fact(jazz.id).status is FactStatus.LEARNED


def test_a_fact_that_a_promoted_adapter_lost_is_in_the_prompt_again_until_that_is_reverted(tom):
    tom.root()
    tea = tom.likes("tea").fact
    tom.learn()
    tom.likes("jazz")
    lease = tom.lease()
    candidate = tom.candidate(lease)
    tom.store.promote(candidate.id, GOOD, lease, lost=[tea.id])
    assert (tom.prompt, tom.learned) == (["tea"], ["jazz"])
    assert tom.store.fact(tea.id).status is FactStatus.PENDING
    assert tom.store.ledger()[-1].event == "fact.reopened"
    tom.store.revert()
    assert (tom.prompt, tom.learned) == (["jazz"], ["tea"])
    assert tom.store.verify().ok


def test_a_statement_is_never_claimed(tom):
    tom.tell("the key is under the mat", STATEMENT)
    assert tom.store.claim_batch(10, tom.lease()) is None
    assert tom.prompt == ["the key is under the mat"]


def test_the_lease_of_a_dead_owner_is_taken_over_and_of_no_other(tom):
    tom.lease("dead", 600)
    assert tom.store.is_leased()
    with pytest.raises(LeaseHeld, match="if that process is gone"):
        tom.store.take_lease("next", 60, dead="somebody else")
    lease = tom.store.take_lease("next", 60, dead="dead")
    assert lease.owner == "next"
    tom.store.drop_lease(lease)
    assert not tom.store.is_leased()


def test_a_batch_that_kills_whoever_works_on_it_is_halved_until_one_fact_is_left(tom):
    facts = [tom.tell(town, f"home {number}").fact for number, town in enumerate(("Lyon", "Oslo", "Rome"))]
    lease = tom.lease()
    batch = tom.store.claim_batch(10, lease)
    sizes = []
    while (left := tom.store.resume_batch(lease, times=2)) is not None:
        assert left.id == batch.id
        sizes.append(len(left.facts))
    assert sizes == [3, 3, 1]
    assert "every cycle that was to learn it died" in tom.store.fact(facts[0].id).quarantine_reason
    assert [fact.id for fact in tom.store.claim_batch(10, lease).facts] == [fact.id for fact in facts[1:]]
    assert tom.prompt == ["Lyon", "Oslo", "Rome"]
    assert tom.store.verify().ok


def test_a_removal_that_keeps_failing_waits_as_a_negation_until_released(tom):
    tom.tell("Lyon")
    tom.learn()
    (lyon,) = tom.take_back("Lyon").retracted
    lease = tom.lease()
    tom.store.reject(tom.candidate(lease).id, BAD, lease, quarantine_after=1)
    assert tom.store.claim_batch(10, lease) is None
    assert tom.prompt == ["not Lyon"]
    tom.store.release(lyon.id)
    assert tom.store.claim_batch(10, lease).removals[0].id == lyon.id


def test_only_what_waits_for_an_edit_can_be_quarantined_or_released(tom):
    fact = tom.tell("Lyon").fact
    with pytest.raises(WrongState, match="is pending: only a held or quarantined"):
        tom.store.release(fact.id)
    tom.learn()
    with pytest.raises(WrongState, match="is learned"):
        tom.store.quarantine(fact.id, "why not")


def test_a_root_is_made_once(tom):
    root = tom.root()
    assert root.status is AdapterStatus.PROMOTED
    assert tom.store.root(tom.adapter("another", parent=None)) == root
    assert tom.store.adapters() == (root,)


def test_a_candidate_of_an_old_parent_is_refused_and_nothing_changes(tom):
    root = tom.root()
    for name in ("a1", "b1"):
        tom.store.register(tom.adapter(name, parent=root.id))
    tom.store.promote("a1", GOOD)
    tip = tom.store.tip()
    with pytest.raises(StaleParent, match="a1 serves"):
        tom.store.promote("b1", GOOD)
    assert tom.store.serving().id == "a1"
    assert tom.store.tip() == tip


def test_a_candidate_that_was_judged_bad_cannot_be_promoted(tom):
    root = tom.root()
    tom.store.register(tom.adapter("a1", parent=root.id))
    with pytest.raises(ValueError, match="not to promote"):
        tom.store.promote("a1", BAD)
    tom.store.reject("a1", BAD)
    with pytest.raises(WrongState, match="is rejected"):
        tom.store.promote("a1", GOOD)


def test_promoting_one_candidate_of_a_batch_rejects_the_others(tom):
    tom.root()
    tom.tell("Lyon")
    lease = tom.lease()
    wide = tom.candidate(lease)
    narrow = tom.store.register(tom.adapter("narrow", parent=wide.parent_id, batch_id=wide.batch_id), lease)
    tom.store.promote(narrow.id, GOOD, lease)
    assert tom.store.adapter(wide.id).status is AdapterStatus.REJECTED
    assert tom.store.batch(wide.batch_id).adapter_id == narrow.id


def test_a_retry_that_makes_the_same_adapter_takes_the_place_of_the_rejected_one(tom):
    tom.root()
    tom.tell("Lyon")
    lease = tom.lease()
    first = tom.candidate(lease)
    tom.store.reject(first.id, BAD, lease)
    batch = tom.store.claim_batch(10, lease)
    again = tom.store.register(tom.adapter(first.id, parent=first.parent_id, batch_id=batch.id), lease)
    assert (again.status, again.verdict) == (AdapterStatus.CANDIDATE, None)
    tom.store.promote(again.id, GOOD, lease)
    with pytest.raises(WrongState, match="exists already"):
        tom.store.register(tom.adapter(first.id, parent=first.parent_id), lease)


def test_scores_come_back_as_the_counts_they_were(tom):
    root = tom.root()
    scores = Scores(edit_success=Rate(hits=19, asked=20), fluency_ratio=0.99)
    tom.store.record_scores(root.id, scores, Scores())
    assert tom.store.adapter(root.id).scores == scores
    assert tom.store.adapter(root.id).parent_scores == Scores()


def test_the_scores_of_suites_come_back_in_their_order(tom):
    root = tom.root()
    rules = SuiteScores(
        name="rules", right=Rate(hits=3, asked=4), root_right=Rate(hits=4, asked=4), n_texts=2,
        perplexity_ratio=1.25,
    )  # fmt: skip
    scores = Scores(edit_success=Rate(hits=19, asked=20), suites=(rules, SuiteScores(name="äpfel")))
    tom.store.record_scores(root.id, scores, replace(scores, suites=()))
    kept = tom.store.adapter(root.id)
    assert (kept.scores, kept.parent_scores) == (scores, replace(scores, suites=()))
    assert kept.scores.suite("rules") == rules
    assert tom.store.verify().ok


def test_a_metric_that_comes_or_goes_with_a_release_changes_no_commitment_made_before_it():
    scores = Scores(edit_success=Rate(hits=19, asked=20))
    assert plain_scores(scores) == {"edit_success": [19, 20]}
    stored = '{"edit_success": [19, 20], "of_an_older_release": 0.5}'
    assert ScoresText().process_result_value(stored, DefaultDialect()) == scores
    later = '{"edit_success": [19, 20], "suites": [{"name": "rules", "of_a_later_release": 0.5}]}'
    suites = (SuiteScores(name="rules"),)
    assert ScoresText().process_result_value(later, DefaultDialect()) == replace(scores, suites=suites)


def test_a_revert_holds_the_facts_of_the_batch(tom):
    root = tom.root()
    fact = tom.tell("Lyon").fact
    promoted = tom.learn()
    undone, serving = tom.store.revert()
    assert (undone.id, undone.status) == (promoted.id, AdapterStatus.REVERTED)
    assert (serving.id, serving.status) == (root.id, AdapterStatus.PROMOTED)
    assert tom.store.fact(fact.id).status is FactStatus.HELD
    assert (tom.prompt, tom.weights) == (["Lyon"], [])
    assert tom.store.claim_batch(10, tom.lease()) is None
    tom.store.release(fact.id)
    assert tom.store.fact(fact.id).status is FactStatus.PENDING


def test_a_revert_that_retracts_brings_the_older_value_back(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.tell("Nice")
    tom.learn()
    tom.store.revert(retract=True)
    assert (tom.prompt, tom.standing, tom.learned) == ([], ["Lyon"], ["Lyon"])


def test_a_revert_puts_removals_back_into_the_weights(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.take_back("Lyon")
    tom.learn()
    tom.store.revert()
    assert (tom.prompt, tom.weights) == (["not Lyon"], ["Lyon"])


def test_a_revert_to_an_ancestor_undoes_every_batch_on_the_way(tom):
    root = tom.root()
    for value in ("Lyon", "Nice", "Rome"):
        tom.tell(value)
        tom.learn()
    tom.store.revert(to=root.id)
    assert (tom.prompt, tom.weights) == (["Rome"], [])
    statuses = [adapter.status for adapter in tom.store.adapters()]
    assert statuses == [AdapterStatus.PROMOTED, *[AdapterStatus.REVERTED] * 3]


def test_a_reverted_adapter_can_be_promoted_again(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.tell("Nice")
    second = tom.learn()
    tom.store.revert()
    tom.store.promote(second.id, GOOD)
    assert (tom.prompt, tom.learned, tom.weights) == ([], ["Nice"], ["Nice"])


def test_an_adapter_that_is_promoted_again_has_lost_what_it_had_lost(tom):
    tea = tom.likes("tea").fact
    tom.learn()
    tom.likes("jazz")
    lease = tom.lease()
    lossy = tom.candidate(lease)
    tom.store.promote(lossy.id, GOOD, lease, lost=[tea.id])
    tom.store.revert()
    assert tom.learned == ["tea"]
    tom.store.promote(lossy.id, GOOD)
    assert (tom.learned, tom.prompt) == (["jazz"], ["tea"])


def test_there_must_be_something_to_revert_to(tom):
    with pytest.raises(CannotRevert, match="init"):
        tom.store.revert()
    root = tom.root()
    with pytest.raises(CannotRevert, match="is the root"):
        tom.store.revert()
    tom.tell("Lyon")
    first = tom.learn()
    tom.store.register(tom.adapter("stray", parent=root.id))
    with pytest.raises(CannotRevert, match="stray is no ancestor"):
        tom.store.revert(to="stray")
    assert tom.store.serving().id == first.id


def test_another_tenants_adapter_is_no_parent_and_no_way_back(tom, tenant_named):
    tom.root()
    eve = tenant_named("eve").root()
    with pytest.raises(UnknownAdapter, match="eve-root"):
        tom.store.register(tom.adapter("a1", parent=eve.id))
    tom.tell("Lyon")
    tom.learn()
    with pytest.raises(UnknownAdapter, match="eve-root"):
        tom.store.revert(to=eve.id)


def test_the_database_itself_refuses_a_second_serving_adapter(tom, execute):
    root = tom.root()
    tom.store.register(tom.adapter("a1", parent=root.id))
    with pytest.raises(sa.exc.IntegrityError):
        execute("UPDATE adapters SET status = 'promoted' WHERE id = 'a1'")


def test_unknown_ids_are_named(tom):
    with pytest.raises(UnknownAdapter, match="'zz'"):
        tom.store.adapter("zz")
    with pytest.raises(UnknownBatch, match="'zz'"):
        tom.store.batch("zz")


def test_one_cycle_at_a_time(tom):
    held = tom.lease("first", 60)
    with pytest.raises(LeaseHeld, match="first holds the lease") as refused:
        tom.lease("second", 60)
    assert refused.value.until == held.expires_at
    tom.store.drop_lease(held)
    assert tom.lease("second", 60).token > held.token


def test_a_refusal_survives_the_way_back_from_a_worker_process(tom):
    held = tom.lease("first", 60)
    with pytest.raises(LeaseHeld) as refused:
        tom.lease("second", 60)
    copy = pickle.loads(pickle.dumps(refused.value))  # noqa: S301
    assert (str(copy), copy.until) == (str(refused.value), held.expires_at)


def test_a_lease_can_be_renewed_while_it_lasts(tom):
    lease = tom.lease("first", 60)
    assert tom.store.renew_lease(lease, 600).expires_at > lease.expires_at
    ended = tom.store.renew_lease(lease, 0)
    with pytest.raises(StaleLease, match="lease of first"):
        tom.store.renew_lease(ended, 60)


def test_a_worker_that_slept_past_its_lease_cannot_promote(tom, tenant_named):
    tom.root()
    tom.tell("Lyon")
    slept = tom.lease("slept", 60)
    candidate = tom.candidate(slept)
    tom.store.renew_lease(slept, 0)
    fresh = tom.lease("fresh", 60)
    for lease in (slept, tenant_named("eve").lease("slept", 60)):
        with pytest.raises(StaleLease):
            tom.store.promote(candidate.id, GOOD, lease)
        with pytest.raises(StaleLease):
            tom.store.record_scores(candidate.id, Scores(), Scores(), lease)
    assert tom.store.serving().id == "tom-root"
    assert tom.store.claim_batch(10, fresh).facts[0].object == "Lyon"


def test_what_a_killed_cycle_had_claimed_is_claimed_by_the_next(tom):
    tom.root()
    fact = tom.tell("Lyon").fact
    lease = tom.lease("killed", 60)
    killed = tom.candidate(lease)
    tom.store.renew_lease(lease, 0)
    batch = tom.store.claim_batch(10, tom.lease("next", 60))
    assert [claimed.id for claimed in batch.facts] == [fact.id]
    assert batch.facts[0].attempts == 0
    assert tom.store.batch(killed.batch_id).status is BatchStatus.FAILED
    assert tom.store.adapter(killed.id).status is AdapterStatus.REJECTED


def test_of_two_processes_one_gets_the_lease(tom, url):
    tom.tell("Lyon")
    take = f"""
from memory import Archive, LeaseHeld
with Archive({url!r}) as archive:
    try:
        archive.store("tom").take_lease("somebody", 600)
        print("got it")
    except LeaseHeld:
        print("held")
"""
    run = [sys.executable, "-W", "error::ResourceWarning", "-c", take]
    both = [subprocess.Popen(run, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(process.communicate()[0].strip() for process in both) == ["got it", "held"]


def test_no_line_of_the_log_names_the_tenant_who_is_a_person(archive, caplog):
    ann = Tenant(archive.store("ann@example.com"))
    ann.name = "adapters"
    with caplog.at_level(logging.INFO):
        ann.tell("Lyon")
        ann.learn()
        ann.tell("Nice")
        lease = ann.lease()
        ann.store.reject(ann.candidate(lease).id, BAD, lease)
        ann.store.revert()
        ann.store.forget([fact.id for fact in ann.store.facts()])
    lines = [line for line in caplog.messages if ann.store.identity() in line]
    assert [line.split()[0] for line in lines] == (
        ["adapters-root", "claimed", "promoted", "claimed", "rejected", "reverted", "forgot"]
    )
    assert "ann@example.com" not in caplog.text


def test_what_was_lost_and_learned_again_is_learned_when_both_are_reverted(tom):
    tea = tom.likes("tea").fact
    first = tom.learn()
    tom.likes("jazz")
    lease = tom.lease()
    tom.store.promote(tom.candidate(lease).id, GOOD, lease, lost=[tea.id])
    tom.store.drop_lease(lease)
    tom.learn()
    assert tom.learned == ["tea", "jazz"]
    tom.store.revert(to=first.id)
    assert (tom.prompt, tom.learned) == (["jazz"], ["tea"])
    assert tom.store.verify().ok


def test_an_adapter_that_is_made_again_after_a_revert_leaves_the_batch_it_was_of_first_as_it_was(tom):
    tom.root()
    tea = tom.likes("tea").fact
    lease = tom.lease()
    first = tom.candidate(lease)
    tom.store.promote(first.id, GOOD, lease)
    tom.store.revert()
    tom.store.release(tea.id)
    batch = tom.store.claim_batch(9, lease)
    tom.store.register(tom.adapter(first.id, parent=first.parent_id, batch_id=batch.id), lease)
    tom.store.promote(first.id, GOOD, lease)
    assert [each.status for each in tom.store.batches()] == [BatchStatus.DONE] * 2
    assert tom.store.verify().problems == ()
