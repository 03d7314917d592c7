"""Cycles that were asked for: one after the other, each told of until it has ended."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Event

import pytest

from ice_agent.errors import CycleError
from ice_agent.executors import Ending, Outcome
from ice_agent.server import runs
from ice_agent.server.runs import Runs, State


class Place:
    """Takes its time, until it is let go on or is to stop."""

    def __init__(self):
        self.go_on, self.stop, self.ran = Event(), Event(), []
        self.n_begun = self.n_ended = 0

    @contextmanager
    def opened(self, stop):
        self.stop = stop
        self.n_begun += 1
        yield self
        self.n_ended += 1

    def run(self, tenant):
        self.ran.append(tenant)
        while not (self.go_on.is_set() or self.stop.is_set()):
            time.sleep(0.001)
        ending = Ending.INTERRUPTED if self.stop.is_set() else Ending.PROMOTED
        return Outcome(tenant=tenant, ending=ending, problem="as it was told")


@pytest.fixture
def place():
    return Place()


@pytest.fixture
def asked(place):
    asked = Runs(place.opened)
    yield asked
    place.go_on.set()
    asked.close()


def test_a_process_that_has_nothing_to_do_ends_and_another_begins_with_the_next_cycle(place):
    place.go_on.set()
    asked = Runs(place.opened, idle_seconds=0.01)
    for n in (1, 2):
        run = asked.begin("tom")
        _wait_for(lambda n=n: place.n_ended == n)
        assert asked.of("tom")[0].id == run.id
        assert asked.of("tom")[0].state is State.ENDED
    assert (place.n_begun, place.ran) == (2, ["tom", "tom"])
    asked.close()


def test_tenants_take_turns_and_one_that_asks_again_is_told_of_the_same_cycle(asked, place):
    first, second = asked.begin("tom"), asked.begin("mia")
    assert asked.begin("tom").id == first.id
    _wait_for(lambda: asked.of("tom")[0].state is State.RUNNING)
    assert asked.of("mia")[0].state is State.WAITING
    place.go_on.set()
    _wait_for(lambda: asked.of("mia")[0].state is State.ENDED)
    assert place.ran == ["tom", "mia"]
    (run,) = asked.of("tom")
    assert (run.ending, run.reasons) == (Ending.PROMOTED, ("as it was told",))
    assert asked.begin("tom").id not in (first.id, second.id)


def test_closing_interrupts_what_runs_and_begins_nothing_more(asked, place):
    asked.begin("tom"), asked.begin("mia")
    _wait_for(lambda: place.ran)
    asked.close()
    assert [run.ending for run in asked.of("tom")] == [Ending.INTERRUPTED]
    assert place.ran == ["tom"]
    with pytest.raises(CycleError, match="being stopped"):
        asked.begin("ann")


def test_where_no_process_starts_all_who_wait_hear_why_and_the_next_one_is_tried(place):
    is_broken = True

    @contextmanager
    def opened(stop):
        if is_broken:
            raise CycleError("there is no model")
        with place.opened(stop):
            yield place

    asked = Runs(opened)
    asked.begin("tom")
    _wait_for(lambda: asked.of("tom")[0].state is State.ENDED)
    assert (asked.of("tom")[0].ending, asked.of("tom")[0].reasons) == (Ending.FAILED, ("there is no model",))
    is_broken = False
    place.go_on.set()
    asked.begin("tom")
    _wait_for(lambda: asked.of("tom")[0].ending is Ending.PROMOTED)
    asked.close()


def test_no_more_wait_than_there_is_room_for_and_only_the_last_that_ended_are_kept(asked, place, monkeypatch):
    monkeypatch.setattr(runs, "MOST_WAITING", 2)
    monkeypatch.setattr(runs, "KEPT", 1)
    asked.begin("ann")
    _wait_for(lambda: place.ran)
    asked.begin("bob"), asked.begin("cleo")
    with pytest.raises(CycleError, match="ice-agent worker"):
        asked.begin("dora")
    place.go_on.set()
    _wait_for(lambda: not asked.of("bob") and asked.of("cleo")[0].state is State.ENDED)
    assert asked.of("ann") == ()


def _wait_for(happened):
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.005)
