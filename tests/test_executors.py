"""Where cycles run: that each place runs the same cycle, and what becomes of one whose process is gone."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from threading import Event

import pytest

from ice_agent import executors
from ice_agent.config import Config
from ice_agent.errors import ConfigError, CycleError, ModelError
from ice_agent.executors import Ending
from ice_agent.settings import WorkerSettings
from memory import Archive, CandidateFact
from tests.standin import Notebook

PLACES = [
    WorkerSettings(),
    pytest.param(WorkerSettings(executor="processes", workers=1), marks=pytest.mark.slow),
]


class Clumsy(Notebook):
    """What it does while it teaches stands in a file, so that processes can be told as well."""

    def __init__(self, config, told):
        super().__init__()
        self._told = told

    def teach(self, job, candidate_id, directory, manifest, progress):
        word = self._told.read_text()
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "err":
            raise ModelError("it has no head for that")
        if word == "break":
            raise ZeroDivisionError("nobody thought of it")
        progress("teaching", 1, 2, "")
        super().teach(job, candidate_id, directory, manifest, progress)


def clumsy(config, told):
    return Clumsy(config, told)


def headless(config):
    raise ModelError("no model is there")


class World:
    def __init__(self, folder):
        self.told = folder / "told"
        self.settings = Config.model_validate(
            {"store": {"url": f"sqlite:///{folder / 'memory.db'}"}, "adapters": {"dir": folder / "adapters"}}
        )
        self.archive = Archive.open(self.settings.store.url)
        self.stop = Event()
        self.then("learn")

    def then(self, word):
        self.told.write_text(word)

    def tell(self, value, tenant="ann"):
        text = f"I like {value}."
        said = CandidateFact(
            subject="user", relation="likes", object=value, statement=text, start=0, end=len(text)
        )
        self.archive.store(tenant).tell(text, [said])

    def learned(self, tenant="ann"):
        return [fact.object for fact in self.archive.store(tenant).learned()]

    def places(self, settings):
        return executors.opened(settings, self.settings, partial(clumsy, told=self.told), self.stop)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.archive.close()


@pytest.mark.parametrize("settings", PLACES)
def test_a_place_takes_one_tenant_after_the_other_and_makes_the_root_of_a_new_one(settings, world):
    for tenant in ("ann", "bob"):
        world.tell("tea", tenant)
    with world.places(settings) as (place,):
        outcomes = [place.run("ann"), place.run("bob"), place.run("ann")]
    assert [outcome.ending for outcome in outcomes] == [Ending.PROMOTED, Ending.PROMOTED, Ending.NOTHING]
    assert outcomes[0].adapter == world.archive.store("ann").serving()
    assert [world.learned("ann"), world.learned("bob")] == [["tea"], ["tea"]]


@pytest.mark.parametrize("settings", PLACES)
@pytest.mark.parametrize("word", ["err", "break"])
def test_an_error_is_an_outcome_and_is_remembered_and_the_place_goes_on(settings, word, world):
    world.tell("tea")
    with world.places(settings) as (place,):
        world.then(word)
        failed = place.run("ann")
        assert failed.ending is Ending.FAILED
        assert "head for that" in failed.problem or "nobody thought of it" in failed.problem
        assert world.archive.backlog("ann").failures == 1
        assert [fact.status for fact in world.archive.store("ann").facts()] == ["pending"]
        world.then("learn")
        assert place.run("ann").ending is Ending.PROMOTED
    assert world.archive.backlog("ann").failures == 0


@pytest.mark.parametrize("settings", PLACES)
def test_a_cycle_that_is_to_stop_puts_its_facts_back(settings, world):
    world.tell("tea")
    with world.places(settings) as (place,):
        world.stop.set()
        if settings.executor == "processes":
            world.then("learn")
            place._ending.set()
        assert place.run("ann").ending in (Ending.INTERRUPTED, Ending.DIED)
    assert [fact.status for fact in world.archive.store("ann").facts()] == ["pending"]
    assert world.archive.backlog("ann").owner is None


def test_a_tenant_that_somebody_works_for_is_left_to_him(world):
    world.tell("tea")
    world.archive.store("ann").take_lease("another-machine/1", 600)
    with world.places(WorkerSettings()) as (place,):
        assert place.run("ann").ending is Ending.BUSY


def test_what_one_tenant_had_loaded_does_not_stay_for_the_next(world):
    world.tell("tea")
    with world.places(WorkerSettings()) as (place,):
        place.run("ann")
        assert place._editor._pages == {}


@pytest.mark.slow
def test_a_process_that_is_killed_is_an_error_of_its_cycle_alone(world):
    world.tell("tea")
    with world.places(WorkerSettings(executor="processes")) as (place,):
        world.then("die")
        died = place.run("ann")
        assert (died.ending, "-9" in died.problem) == (Ending.DIED, True)
        world.then("learn")
        assert place.run("ann").ending is Ending.PROMOTED
    assert world.learned() == ["tea"]


def test_what_keeps_a_process_from_starting_is_said(world):
    with (
        pytest.raises(CycleError, match="no model is there"),
        executors.opened(WorkerSettings(executor="processes"), world.settings, headless, world.stop),
    ):
        pass


def test_ray_is_asked_for_by_name_where_it_is_not_installed(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"ice-agent\[ray\]"), world.places(WorkerSettings(executor="ray")):
        pass


@pytest.mark.slow
def test_ray_runs_the_same_cycle(world):
    pytest.importorskip("ray", reason="needs Ray (the ray extra)")
    world.tell("tea")
    with world.places(WorkerSettings(executor="ray")) as (place,):
        assert place.run("ann").ending is Ending.PROMOTED
        world.then("err")
        world.tell("rum", "bob")
        assert place.run("bob").ending is Ending.FAILED
    assert world.learned() == ["tea"]
