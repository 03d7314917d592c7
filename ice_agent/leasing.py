"""The one cycle of a tenant: its lease, taken over from the dead and renewed by whoever is alive."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from memory import FactStore, Lease, LeaseHeld, Progress

logger = logging.getLogger(__name__)


@contextmanager
def leased(store: FactStore, seconds: float) -> Iterator[Lease]:
    """Be the one cycle of this tenant. Raises LeaseHeld while somebody else is."""
    owner = f"{socket.gethostname()}/{os.getpid()}"
    try:
        lease = store.take_lease(owner, seconds)
    except LeaseHeld as held:
        if not is_gone(held.owner):
            raise
        logger.warning("%s is gone: its lease is taken over", held.owner)
        lease = store.take_lease(owner, seconds, dead=held.owner)
    try:
        yield lease
    finally:
        store.drop_lease(lease)


def is_gone(owner: str) -> bool:
    """True for a process of this machine that has ended; of another machine's nothing is known."""
    host, _, pid = owner.rpartition("/")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def renewing(store: FactStore, lease: Lease, seconds: float, progress: Progress) -> Progress:
    """Progress is a sign of life: the lease is renewed with it, at most every tenth of its length."""
    renewed_at = time.monotonic()

    def report(stage: str, done: int, total: int, note: str) -> None:
        nonlocal renewed_at
        if time.monotonic() - renewed_at > seconds / 10:
            store.renew_lease(lease, seconds)
            renewed_at = time.monotonic()
        progress(stage, done, total, note)

    return report
