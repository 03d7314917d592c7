"""Counts over all tenants: what they count, that they outlive the process, by which index."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from memory import STATEMENT, Archive, HookEvent, Rate, Scores, Verdict
from tests.memory.conftest import GOOD, plans

BAD = Verdict(promote=False, reasons=("a guard broke",))


@pytest.fixture
def two(tenant_named):
    """Ann learned one fact and two wait; of Bob one was rejected and one set aside."""
    ann, bob = tenant_named("ann"), tenant_named("bob")
    ann.tell("Lyon")
    ann.learn()
    ann.likes("tea")
    ann.likes("rum")
    bob.root()
    bob.tell("Oslo")
    lease = bob.lease()
    candidate = bob.candidate(lease)
    bob.store.record_scores(candidate.id, Scores(edit_success=Rate(hits=1, asked=4)), None, lease)
    bob.store.reject(candidate.id, BAD, lease, quarantine_after=3)
    bob.store.quarantine(bob.likes("jazz").fact.id, "because")
    return ann, bob


def test_all_tenants_are_counted_together(two, archive):
    (tally,) = archive.tallies()
    assert (tally.tenant_id, tally.pending, tally.quarantined) == ("", 3, 1)
    assert tally.events == dict.fromkeys(HookEvent, 0) | {
        HookEvent.PROMOTED: 1,
        HookEvent.REJECTED: 1,
        HookEvent.QUARANTINED: 1,
    }
    assert tally.scores.edit_success == Rate(hits=1, asked=4)


def test_or_each_for_itself(two, archive):
    ann, bob = (t.store.identity() for t in two)
    tallies = {tally.tenant_id: tally for tally in archive.tallies(by_tenant=True)}
    assert set(tallies) == {ann, bob}
    assert (tallies[ann].pending, tallies[bob].pending) == (2, 1)
    assert (tallies[ann].quarantined, tallies[bob].quarantined) == (0, 1)
    assert tallies[ann].events[HookEvent.PROMOTED] == tallies[bob].events[HookEvent.REJECTED] == 1
    assert tallies[bob].events[HookEvent.PROMOTED] == 0
    assert tallies[ann].scores is None
    assert tallies[bob].scores.edit_success == Rate(hits=1, asked=4)


def test_the_oldest_that_waits_is_the_oldest_of_all_tenants(two, archive):
    waiting = [fact for t in two for fact in t.store.facts(statuses=["pending"])]
    assert archive.tallies()[0].oldest_pending_at == min(fact.recorded_at for fact in waiting)


def test_what_no_cycle_takes_does_not_wait(tom, archive, execute):
    tom.root()
    tom.tell("the key is under the mat", STATEMENT)
    tom.tell("Lyon", valid_until=date(2999, 1, 1))
    assert archive.tallies()[0].pending == 1
    execute("UPDATE facts SET valid_until = '2001-01-01 00:00:00+00:00' WHERE relation = 'lives_in'")
    assert (archive.tallies()[0].pending, archive.tallies()[0].oldest_pending_at) == (0, None)
    tom.likes("tea")
    assert archive.tallies()[0].pending == 1
    assert archive.tallies()[0].oldest_pending_at > datetime(2020, 1, 1, tzinfo=UTC)


def test_an_empty_database_has_counts_of_nothing(archive):
    (tally,) = archive.tallies()
    assert (tally.pending, tally.oldest_pending_at, tally.events, tally.scores) == (0, None, {}, None)
    assert archive.tallies(by_tenant=True) == ()


def test_what_happened_is_still_counted_by_another_process_and_after_its_tenant_was_forgotten(two, url):
    two[0].store.forget_everything()
    with Archive.open(url) as another:
        assert another.tallies()[0].events[HookEvent.PROMOTED] == 1
        assert [tally.tenant_id for tally in another.tallies(by_tenant=True)] == [two[1].store.identity()]


def test_a_promotion_is_counted_each_time_and_a_root_never(tom, archive):
    tom.tell("Lyon")
    made = tom.learn()
    tom.store.revert()
    tom.store.promote(made.id, GOOD)
    events = archive.tallies()[0].events
    assert (events[HookEvent.PROMOTED], events[HookEvent.REVERTED]) == (2, 1)


def test_every_count_reads_an_index_of_what_it_counts_alone(two, archive):
    """However many facts and entries there are beside them. On PostgreSQL small tables are read whole."""
    if archive._engine.dialect.name != "sqlite":
        pytest.skip("the planner of PostgreSQL goes by sizes")
    found = [*plans(archive, archive.tallies), *plans(archive, lambda: archive.tallies(by_tenant=True))]
    steps = [plan.rpartition(": ")[2] for plan in found]
    facts = [step for step in steps if "facts" in step]
    assert facts
    assert all("SEARCH facts USING COVERING INDEX ix_facts_waiting" in step for step in facts)
    entries = [step for step in steps if "ledger_entries" in step]
    assert entries
    assert all("SEARCH ledger_entries USING COVERING INDEX ix_ledger_entries_counted" in p for p in entries)
