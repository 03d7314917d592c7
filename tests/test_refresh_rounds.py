"""Sources are read on their clocks, and what goes wrong with one stops no other."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic, sleep

import pytest

from ice_agent import watch
from ice_agent.refresh.rounds import Rounds, reading
from memory import Archive, now
from tests.databases import ready
from tests.refreshing import CAPITALS, a_world, rows_of


@pytest.fixture
def world(tmp_path):
    with Archive.open(ready(tmp_path / "memory.db")) as archive:
        yield a_world(archive, tmp_path)


class Clock:
    def __init__(self):
        self.at = now()

    def __call__(self):
        return self.at


def test_a_source_is_read_when_it_is_due_and_not_before(world):
    world.settings |= {"every_minutes": 60}
    world.say(CAPITALS)
    clock = Clock()
    rounds = Rounds(world.archive, world.config, clock)
    rounds.make()
    assert world.facts == CAPITALS
    world.say(CAPITALS | {"Chad": "N'Djamena"})
    clock.at += timedelta(minutes=59)
    rounds.make()
    assert world.facts == CAPITALS
    clock.at += timedelta(minutes=2)
    rounds.make()
    assert "Chad" in world.facts


def test_a_source_without_its_tenant_is_named_once_with_the_next_step_and_tried_again(world, caplog):
    world.tenant, world.settings = "nobody yet", {"every_minutes": 1440}
    world.say(CAPITALS)
    clock = Clock()
    rounds = Rounds(world.archive, world.config, clock)
    for _ in range(3):
        rounds.make()
        clock.at += timedelta(minutes=6)
    assert [("--shared" in r.getMessage()) for r in caplog.records if r.levelname == "ERROR"] == [True]
    rounds.make()
    world.archive.store("nobody yet").declare(shared=True)
    rounds.make()
    assert world.facts == {}
    clock.at += timedelta(minutes=6)
    rounds.make()
    assert world.facts == CAPITALS


def test_one_source_that_fails_keeps_no_other_from_being_read(world, caplog):
    world.say(CAPITALS)
    good = world.config.refresh.sources[0].model_dump() | {"every_minutes": 60}
    bad = good | {"name": "lakes", "location": "nowhere.jsonl"}
    config = world.config.model_validate({"refresh": {"sources": [bad, good]}})
    Rounds(world.archive, config).make()
    assert world.facts == CAPITALS
    assert "lakes: " in caplog.text


def test_sources_are_read_beside_other_work_and_counted(world):
    world.settings |= {"every_minutes": 60}
    world.say([*rows_of(CAPITALS), {"country": "Chad"}])
    before = {name: counted(name) for name in ("changed", "malformed")}
    with reading(world.archive, world.config, poll_seconds=0.05):
        deadline = monotonic() + 240
        while world.facts != CAPITALS and monotonic() < deadline:
            sleep(0.02)
    assert world.facts == CAPITALS
    assert counted("changed") - before["changed"] == len(CAPITALS)
    assert counted("malformed") - before["malformed"] == 1


def counted(outcome):
    return watch.REGISTRY.get_sample_value("ice_agent_refresh_rows_total", {"outcome": outcome}) or 0
