"""What waits for the next cycles, of all tenants at once: what is counted, since when, and by which index."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from memory import STATEMENT, Archive, Rate, Scores, Verdict, now
from memory.backlog import of_all
from tests.databases import ready
from tests.memory.conftest import GOOD, Tenant, plans

BAD = Verdict(promote=False, reasons=("a guard broke",))


def test_of_a_tenant_for_which_nothing_waits_there_is_nothing_to_read(tom, archive):
    tom.tell("Lisbon")
    tom.learn()
    assert archive.backlogs() == ()
    backlog = archive.backlog("tom")
    assert (backlog.n_waiting, backlog.waits_since, backlog.failures) == (0, None, 0)
    assert backlog.ended_at is not None


def test_of_a_tenant_that_is_not_there_nothing_is_known_and_nothing_made(archive):
    assert archive.backlog("nobody").n_waiting == 0
    assert archive.tenants() == ()


def test_what_waits_is_counted_since_the_oldest_and_the_longest_waiting_comes_first(tenant_named, archive):
    ann, bob = tenant_named("ann"), tenant_named("bob")
    first = bob.likes("tea").fact
    ann.likes("tea")
    bob.likes("rum")
    found = archive.backlogs()
    assert [(b.tenant, b.n_waiting) for b in found] == [("bob", 2), ("ann", 1)]
    assert found[0].waits_since == first.recorded_at
    assert type(found[0].n_waiting) is int
    assert found[0] == archive.backlog("bob")


def test_what_no_cycle_would_take_does_not_wait(tom, archive):
    tomorrow, yesterday = now() + timedelta(days=1), now() - timedelta(days=1)
    tom.tell("Rome", "will_live_in", valid_from=tomorrow)
    tom.tell("Oslo", "lived_in", valid_from=yesterday - timedelta(days=9), valid_until=yesterday)
    tom.tell("this and that", STATEMENT)
    tom.store.quarantine(tom.likes("tea").fact.id, "because")
    assert archive.backlogs() == ()


def test_what_the_weights_are_to_unlearn_waits_unless_another_value_says_otherwise(tom, archive):
    tom.tell("Lisbon")
    tom.likes("tea")
    tom.learn()
    tom.take_back("tea", "likes")
    assert archive.backlog("tom").n_waiting == 1
    tom.take_back("Lisbon")
    assert archive.backlog("tom").n_waiting == 2
    tom.tell("Oslo")
    # Tea, and Oslo in the place of Lisbon.
    assert archive.backlog("tom").n_waiting == 2


def test_what_has_come_to_its_own_end_waits_to_be_unlearned_before_anybody_looks(tom, archive, execute):
    tom.tell("Lisbon", valid_until=now() + timedelta(days=1))
    tom.learn()
    assert archive.backlogs() == ()
    execute(f"UPDATE facts SET valid_until = '{now() - timedelta(hours=1):%Y-%m-%d %H:%M:%S}'")
    assert archive.backlog("tom").n_waiting == 1
    tom.store.recall()
    assert archive.backlog("tom").n_waiting == 1


def test_a_batch_that_is_worked_on_and_one_that_was_left_are_told_apart(tom, archive):
    tom.root()
    tom.tell("Lisbon")
    lease = tom.lease()
    candidate = tom.candidate(lease)
    backlog = archive.backlog("tom")
    assert (backlog.n_waiting, backlog.is_claimed, backlog.is_measured) == (1, True, False)
    assert backlog.owner == "test"
    tom.store.drop_lease(lease)
    assert archive.backlog("tom").owner is None
    tom.store.record_scores(candidate.id, Scores(edit_success=Rate(hits=1, asked=1)))
    assert archive.backlogs()[0].is_measured


def test_rejections_and_errors_in_a_row_are_counted_until_a_promotion(tom, archive):
    tom.root()
    tom.tell("Lisbon")
    assert archive.backlog("tom").ended_at is None
    lease = tom.lease()
    tom.store.reject(tom.candidate(lease).id, BAD, lease)
    first = archive.backlog("tom")
    tom.store.note_failure()
    second = archive.backlog("tom")
    assert (first.failures, second.failures) == (1, 2)
    assert first.ended_at < second.ended_at
    tom.store.promote(tom.candidate(lease).id, GOOD, lease)
    assert archive.backlog("tom").failures == 0


def test_a_cycle_that_was_interrupted_ended_neither_well_nor_badly(tom, archive):
    tom.root()
    tom.tell("Lisbon")
    lease = tom.lease()
    batch = tom.store.batch(tom.candidate(lease).batch_id)
    tom.store.fail_batch(batch.id, lease, count_attempt=False, quarantine_after=3)
    backlog = archive.backlog("tom")
    assert (backlog.ended_at, backlog.failures, backlog.n_waiting) == (None, 0, 1)


@pytest.mark.parametrize(
    "index", ["ix_facts_waiting", "ix_facts_taken_back", "ix_facts_ending", "ix_batches_claimed"]
)
def test_idle_tenants_are_not_looked_at(index, archive):
    """SQLite's plan names the index of each part; PostgreSQL plans by what is there, and is measured."""
    if archive._engine.dialect.name != "sqlite":
        pytest.skip("its plan depends on the rows")
    asked = of_all().params(moment=now())
    words = asked.compile(archive._engine, compile_kwargs={"literal_binds": True})
    with archive._engine.connect() as connection:
        plan = [row.detail for row in connection.execute(sa.text(f"EXPLAIN QUERY PLAN {words}"))]
    assert [line for line in plan if index in line] != []
    scanned = [line for line in plan if line.startswith("SCAN") and "INDEX" not in line]
    assert [line for line in scanned if "anon" not in line] == []


def test_a_batch_is_read_by_its_members_and_not_by_all_that_its_tenant_was_told(tmp_path):
    """Counts of a million facts, a hundred a tenant, led SQLite to read all facts of the largest tenant."""
    url = ready(tmp_path / "memory.db")
    with Archive.open(url) as archive:
        tom = Tenant(archive.store("tom"))
        tom.tell("Lyon")
        tom.learn()
        with archive._engine.begin() as connection:
            connection.execute(sa.text("ANALYZE"))
            connection.execute(sa.text("DELETE FROM sqlite_stat1 WHERE tbl IN ('facts', 'batch_facts')"))
            connection.execute(sa.text(
                "INSERT INTO sqlite_stat1 VALUES ('facts', 'sqlite_autoindex_facts_1', '1000000 1'),"
                " ('facts', 'ix_facts_tenant_status', '1000000 100 100 1'),"
                " ('batch_facts', 'sqlite_autoindex_batch_facts_1', '10000 100 1'),"
                " ('batch_facts', 'ix_batch_facts_fact_id', '10000 100')"
            ))  # fmt: skip
    with Archive.open(url) as archive:
        of_members = [plan for plan in plans(archive, archive.store("tom").batches) if "batch_facts" in plan]
    assert of_members
    assert not [plan for plan in of_members if plan.endswith("(tenant=?)")]
