"""Whose cycle is next, that nobody's is run twice, and that kills lose nothing."""

from __future__ import annotations

import logging
import os
import socket
from datetime import timedelta
from threading import Event, Lock

import pytest

from ice_agent.config import Config
from ice_agent.errors import ConfigError
from ice_agent.executors import Ending, Outcome
from ice_agent.worker import Queue, serve
from memory import Archive, CandidateFact, StoreUnavailable, now
from tests.throughput import Game, overlaps

EAGER = {"schedule": {"every_minutes": 0, "batch_trigger": 1}}


@pytest.fixture
def archive(ready_url):
    with Archive.open(ready_url) as opened:
        yield opened


def tell(archive, tenant, value="tea"):
    text = f"{tenant} likes {value}."
    said = CandidateFact(
        subject="user", relation="likes", object=value, statement=text, start=0, end=len(text)
    )
    return archive.store(tenant).tell(text, [said]).recorded[0].fact


def queue(archive, *, poll_seconds=60.0, clock=now, only=None, **settings):
    config = Config.model_validate(EAGER | settings)
    return Queue(archive, config, poll_seconds=poll_seconds, clock=clock, only=only)


def taken(due):
    found = due.take()
    return found[0].tenant if found else None


class Learner:
    """A place that learns all that waits; or whatever it is told to do instead."""

    def __init__(self, archive, *endings):
        self.archive, self.endings, self.ran = archive, list(endings), []

    def run(self, tenant):
        self.ran.append(tenant)
        ending = self.endings.pop(0) if self.endings else Ending.PROMOTED
        store = self.archive.store(tenant)
        if ending is Ending.PROMOTED:
            for fact in store.facts():
                store.quarantine(fact.id, "learned")
        if ending is Ending.FAILED:
            store.note_failure()
        return Outcome(tenant=tenant, ending=ending, problem="so it is")


# -- the queue -----------------------------------------------------------------------------------------------


def test_the_most_overdue_tenant_comes_first(archive):
    for tenant in ("cleo", "ann", "bob"):
        tell(archive, tenant)
    due = queue(archive)
    assert [taken(due) for _ in range(4)] == ["cleo", "ann", "bob", None]


def test_a_tenant_that_is_not_due_yet_is_left_alone(archive):
    tell(archive, "ann")
    hourly = {"every_minutes": 60, "batch_trigger": 2}
    assert taken(queue(archive, schedule=hourly)) is None
    assert taken(queue(archive, schedule=hourly, clock=lambda: now() + timedelta(minutes=61))) == "ann"


def test_what_somebody_else_works_for_is_left_alone_until_he_is_gone(archive):
    tell(archive, "ann")
    here = socket.gethostname()
    held = archive.store("ann").take_lease(f"{here}/{os.getpid()}", 600)
    assert taken(queue(archive)) is None
    archive.store("ann").drop_lease(held)
    archive.store("ann").take_lease("another-machine/1", 600)
    assert taken(queue(archive)) is None


def test_a_dead_worker_of_this_machine_is_replaced_at_once(archive, dead_pid):
    tell(archive, "ann")
    archive.store("ann").take_lease(f"{socket.gethostname()}/{dead_pid}", 600)
    assert taken(queue(archive)) == "ann"


@pytest.fixture
def dead_pid():
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    return pid


def test_a_tenant_is_handed_out_once_until_its_cycle_has_ended(archive):
    tell(archive, "ann")
    due = queue(archive, poll_seconds=0)
    backlog, _ = due.take()
    assert taken(due) is None
    due.done(backlog, Outcome(tenant="ann", ending=Ending.REJECTED))
    assert taken(due) == "ann"


def test_what_changed_since_the_queue_was_read_is_looked_at_again(archive):
    for tenant in ("ann", "bob"):
        tell(archive, tenant)
    due = queue(archive)
    assert taken(due) == "ann"
    archive.store("bob").take_lease("another-machine/1", 600)
    assert taken(due) is None


def test_a_new_tenant_comes_up_without_a_restart(archive):
    due = queue(archive, poll_seconds=0)
    assert taken(due) is None
    tell(archive, "dora")
    assert taken(due) == "dora"


def test_between_two_polls_the_database_is_left_alone_unless_a_cycle_has_ended(archive):
    tell(archive, "ann")
    due = queue(archive)
    backlog, _ = due.take()
    assert taken(due) is None
    tell(archive, "bob")
    assert taken(due) is None
    due.done(backlog, Outcome(tenant="ann", ending=Ending.PROMOTED))
    assert taken(due) in ("ann", "bob")


def test_where_a_cycle_found_nothing_the_next_waits_for_a_change(archive):
    tell(archive, "ann")
    due = queue(archive, poll_seconds=0)
    backlog, _ = due.take()
    due.done(backlog, Outcome(tenant="ann", ending=Ending.NOTHING))
    assert taken(due) is None
    tell(archive, "ann", "rum")
    assert taken(due) == "ann"


def test_of_one_tenant_alone_nobody_else_is_served(archive):
    for tenant in ("ann", "bob"):
        tell(archive, tenant)
    due = queue(archive, only="bob")
    assert [taken(due), taken(due)] == ["bob", None]


def test_after_a_failure_the_tenant_waits_and_the_next_worker_knows(archive):
    for tenant in ("ann", "bob"):
        tell(archive, tenant)
    archive.store("ann").note_failure()
    assert [taken(queue(archive)) for _ in range(2)] == ["bob", "bob"]
    later = queue(archive, clock=lambda: now() + timedelta(minutes=16))
    assert {taken(later), taken(later)} == {"ann", "bob"}


def test_a_cron_line_that_names_no_time_is_refused_before_anything_runs(archive):
    with pytest.raises(ConfigError, match="99 3"):
        queue(archive, schedule={"every_minutes": 0, "cron": "99 3 * * *"})


# -- the work ------------------------------------------------------------------------------------------------


def test_once_serves_all_that_are_due_and_ends(archive):
    for tenant in ("ann", "bob", "cleo"):
        tell(archive, tenant)
    place = Learner(archive)
    serve(queue(archive), [place], Event(), once=True)
    assert place.ran == ["ann", "bob", "cleo"]


def test_several_places_share_the_queue_and_run_nobody_twice(archive):
    tenants = [f"tenant {n}" for n in range(12)]
    for tenant in tenants:
        tell(archive, tenant)
    places = [Learner(archive) for _ in range(3)]
    serve(queue(archive), places, Event(), once=True)
    assert sorted(name for place in places for name in place.ran) == sorted(tenants)


def test_one_that_fails_keeps_nobody_from_being_served_and_its_name_out_of_the_log(archive, caplog):
    caplog.set_level(logging.INFO, logger="ice_agent.worker")
    for tenant in ("annabel", "bob"):
        tell(archive, tenant)
    place = Learner(archive, Ending.FAILED)
    told: list[Outcome] = []
    serve(queue(archive), [place], Event(), once=True, report=told.append)
    assert place.ran == ["annabel", "bob"]
    assert [outcome.ending for outcome in told] == [Ending.FAILED, Ending.PROMOTED]
    assert ("so it is" in caplog.text, "annabel" in caplog.text) == (True, False)


def test_a_database_that_is_away_ends_no_worker(archive, caplog):
    tell(archive, "ann")
    due, stop = queue(archive, poll_seconds=0.0), Event()
    asked = due.take
    answers = iter([StoreUnavailable("postgresql://", "gone"), None])

    def sometimes():
        if (error := next(answers, None)) is not None:
            raise error
        return asked()

    due.take = sometimes
    place = Learner(archive)
    serve(due, [place], stop, poll_seconds=0.01, report=lambda _: stop.set())
    assert place.ran == ["ann"]
    assert "cannot look for what is due" in caplog.text


def test_a_stop_ends_all_places_and_starts_nothing_more(archive):
    for n in range(50):
        tell(archive, f"tenant {n}")
    stop, lock, ran = Event(), Lock(), []

    class Stopping(Learner):
        def run(self, tenant):
            with lock:
                ran.append(tenant)
                if len(ran) == 4:
                    stop.set()
            return super().run(tenant)

    serve(queue(archive), [Stopping(archive), Stopping(archive)], stop, poll_seconds=60)
    assert 4 <= len(ran) <= 5


# -- kills ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_that_are_killed_lose_nothing_and_double_nothing(ready_url, tmp_path):
    # A fourth kill could fall on the one batch that the others fell on: that it is set aside then is right.
    game = Game(ready_url, tmp_path, n_tenants=5, n_workers=2, kill_seconds=0.3, most_kills=3)
    game.play(rounds=2, patience_seconds=240)
    assert game.problems() == []
    assert game.n_kills >= 1


def test_the_game_of_kills_would_see_two_at_work_for_one():
    begin = {"event": "begin", "pid": 1, "at": 1.0, "tenant": "t", "owner": "host/1", "token": 1}
    other = begin | {"pid": 2, "at": 2.0, "owner": "host/2", "token": 2}
    assert overlaps([begin, begin | {"event": "end", "at": 1.5}, other]) == []
    assert overlaps([begin, {"event": "killed", "pid": 1, "at": 1.5}, other]) == []
    assert len(overlaps([begin, other])) == 1
    assert len(overlaps([begin, begin | {"event": "end", "at": 1.5}, other | {"token": 1}])) == 1
    assert len(overlaps([begin, begin | {"event": "end", "at": 1.5}, other | {"owner": "host/3"}])) == 1
