"""kill -9 at any moment of a cycle, on both databases: one adapter serves, nothing is lost or done twice."""

from __future__ import annotations

import logging
import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ice_agent import cycle, edit_request
from ice_agent.config import Config
from ice_agent.errors import AdapterError, EmptyBatch
from ice_agent.manifest import read_manifest
from memory import AdapterStatus, Archive, BatchStatus, CandidateFact, FactStatus, FactStore
from tests import killed
from tests.standin import Notebook

logger = logging.getLogger(__name__)

# Each child starts from a process that has imported everything and has no thread: a fork of this one would
# have half of the threads that a database keeps.
SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["tests.killed"])

SECONDS = 0.04
"""What teaching takes a child, and measuring: long enough for a kill at any time to meet them."""

BEFORE = "before its first moment"

TOWNS = ("Oslo", "Rome", "Quito", "Lisbon", "Turin", "Bergen", "Porto", "Lima", "Graz", "Bern")


class Tenant:
    """Somebody who is told new things between two kills, and of whom nothing may be lost."""

    def __init__(self, url: str, folder: Path, rng: random.Random) -> None:
        self.url, self.rng, self.note = url, rng, folder / "note"
        adapters = {"dir": folder / "adapters", "keep": 3, "keep_days": 0}
        self.config = Config.model_validate({"agent": {"tenant": folder.name}, "adapters": adapters})
        self.open()
        cycle.init(self.store, Notebook(), self.config)
        self.told = 0

    def open(self) -> None:
        self.archive = Archive.open(self.url)
        self.store = self.archive.store(self.config.agent.tenant)

    def tell(self) -> None:
        """Two new facts, a correction, one taken back, and one that breaks a guard."""
        self.told += 1
        for subject in (f"Friend {self.told}", f"Cousin {self.told}"):
            self.say(subject, self.rng.choice(TOWNS))
        learned = [fact for fact in self.store.learned() if fact.subject.startswith("Friend")]
        if learned:
            fact = self.rng.choice(learned)
            self.say(fact.subject, next(town for town in TOWNS if town != fact.object))
        if known := [fact for fact in self.store.learned() if fact.subject.startswith("Cousin")]:
            fact = self.rng.choice(known)
            self.say(fact.subject, fact.object, retracts=True)
        self.say(f"Stranger {self.told}", killed.SPOILED)

    def killed(self, moment: str = "", after: float = 0.0) -> str:
        """Where a cycle in another process was when it was killed; empty if it had not begun, or was over."""
        child = self.start(signal.SIGKILL, moment)
        if not moment:
            self._wait_for_note(child)
            time.sleep(after)
            child.kill()
        child.join()
        seen = self.seen()[-1]
        assert child.exitcode in (0, -signal.SIGKILL), f"{child.exitcode}: {seen}"
        return seen if child.exitcode and seen not in (BEFORE, "over") else ""

    def start(self, act: signal.Signals, moment: str) -> Any:
        self.note.unlink(missing_ok=True)
        arguments = (self.url, self.config, SECONDS, self.note, act, moment)
        child = SPAWN.Process(target=killed.live, args=arguments)
        child.start()
        return child

    def cycle_of_a_child(self) -> int:
        """The exit status of a cycle in another process that nobody kills: 3 where it was refused."""
        child = self.start(signal.SIGKILL, moment="none")
        child.join()
        return int(child.exitcode)

    def seen(self) -> list[str]:
        """The moments that the last child came to."""
        return [BEFORE, *self.note.read_text().splitlines()] if self.note.exists() else [BEFORE]

    def survive(self) -> None:
        """The next cycles, which nobody kills, come to the end of what waits."""
        for _ in range(4):
            try:
                cycle.run_cycle(self.store, Notebook(spoils=killed.SPOILED), self.config)
            except EmptyBatch:
                return

    def expire_lease(self) -> None:
        """As if whoever sleeps had slept past it: somebody else may take over."""
        with self.archive._engine.begin() as connection:
            connection.exec_driver_sql("UPDATE leases SET expires_at = 0")

    def moments(self) -> list[str]:
        """Every kind of moment of a cycle, in their order."""
        self.tell()
        assert self.cycle_of_a_child() == 0, self.seen()[-1]
        return list(dict.fromkeys(self.seen()[1:]))

    def _wait_for_note(self, child: Any) -> None:
        while not self.note.exists() and child.is_alive():
            time.sleep(0.001)

    def say(self, subject: str, town: str, **how: Any) -> None:
        text = f"{subject} lives in {town}."
        said = CandidateFact(
            subject=subject, relation="home", object=town, statement=text, start=0, end=len(text), **how
        )
        self.store.tell(text, [said])


# -- what holds after any kill -------------------------------------------------------------------------------


def violations(store: FactStore, config: Config) -> list[str]:
    """What is wrong, whatever the moment."""
    found = wrong(store, config)
    editor, serving = Notebook(), store.serving()
    if found or serving is None:
        return found
    cycle.load(editor, config, serving)
    page = editor.page(serving.id)
    return [
        f"{fact.statement} is called learned, and the weights do not say so"
        for fact in store.learned()
        if page.get(edit_request.build([fact]).rewrite_prompt) != fact.object
    ]


def wrong(store: FactStore, config: Config) -> list[str]:
    """What is wrong with the memory and the files, whoever edits."""
    found = [f"the ledger: {problem}" for problem in store.verify().problems]
    promoted = [adapter for adapter in store.adapters() if adapter.status is AdapterStatus.PROMOTED]
    if len(promoted) != 1:
        found.append(f"{len(promoted)} adapters serve")
    batches = store.batches()
    claimed = [batch for batch in batches if batch.status is BatchStatus.CLAIMED]
    if len(claimed) > 1:
        found.append(f"{len(claimed)} batches are claimed at once")
    done = [batch for batch in batches if batch.status is BatchStatus.DONE]
    learned = Counter(fact.id for batch in done for fact in batch.facts)
    found += [f"{fact_id} was learned {n} times" for fact_id, n in learned.items() if n > 1]
    prompt = {fact.id for fact in store.recall()}
    found += [
        f"{fact.statement} is {fact.status}, and nobody says it"
        for fact in store.facts()
        if fact.status is not FactStatus.LEARNED and fact.id not in prompt
    ]
    return found + list(_half_written(config.adapters.dir))


def _half_written(folder: Path) -> Iterator[str]:
    """Whatever has an adapter's name is whole."""
    for path in folder.glob("[!.]*"):
        if path.is_dir() and path.name != "cache":
            try:
                read_manifest(path)
            except AdapterError as error:
                yield str(error)


def unfinished(store: FactStore) -> list[str]:
    """What is not as it should be when nothing waits any more."""
    expected = {True: FactStatus.QUARANTINED, False: FactStatus.LEARNED}
    found = [
        f"{fact.statement} is {fact.status}"
        for fact in store.facts()
        if fact.status is not expected[fact.object in (killed.SPOILED, killed.DEADLY)]
    ]
    return found + [f"{fact.statement} waits" for fact in store.recall() if fact.status == "retracted"]


# -- the kills -----------------------------------------------------------------------------------------------


def kills(url: str, folder: Path, n: int, seed: int = 0) -> Counter[str]:
    """Kill n cycles, half of them at chosen moments, and say where they died; nothing else may be wrong."""
    rng, died, number = random.Random(seed), Counter[str](), 0
    tenant = Tenant(url, folder, rng)
    tenant.tell()
    tenant.survive()
    moments = tenant.moments()
    rng.shuffle(moments)
    while died.total() < n:
        number += 1
        tenant.tell()
        # Often the one that goes on is killed as well.
        for _ in range(rng.choice((1, 1, 2))):
            chosen = moments[number % len(moments)] if number % 2 else ""
            where = tenant.killed(chosen, after=rng.uniform(0.0, 0.5))
            assert violations(tenant.store, tenant.config) == [], f"killed at {where!r}, seed {seed}"
            if where:
                died[where] += 1
        tenant.survive()
        assert violations(tenant.store, tenant.config) + unfinished(tenant.store) == [], f"after {where!r}"
    tenant.archive.close()
    return died


def test_after_a_kill_at_any_moment_one_adapter_serves_and_nothing_is_lost(ready_url, tmp_path):
    died = kills(ready_url, tmp_path, 4)
    assert died.total() >= 4


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred_kills_and_nothing_is_lost(ready_url, tmp_path):
    died = Counter[str]()
    # Of ten tenants: what is looked at after each kill grows with a tenant's history.
    for seed in range(10):
        (folder := tmp_path / str(seed)).mkdir()
        died += kills(ready_url, folder, 20, seed)
    logger.info("%d kills at %d kinds of moments: %s", died.total(), len(died), dict(sorted(died.items())))
