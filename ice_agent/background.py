"""Work that goes on beside whatever else a process does, and when to try again what failed in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

LONGEST_PAUSE_SECONDS: Final = 86_400.0


@contextmanager
def repeated(
    name: str, work: Callable[[], object], pause_seconds: float, *, leave_after: float | None = None
) -> Iterator[None]:
    """Do this again and again in a thread of that name, with a pause after each, while the block runs.

    What is going on at the end is waited for, or left to itself after so many seconds.
    """
    stop = Event()

    def go_on() -> None:
        while not stop.is_set():
            work()
            stop.wait(pause_seconds)

    thread = Thread(target=go_on, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(leave_after)


def pause(failures: int, *, attempts: int, first_seconds: float, jitter: float) -> float | None:
    """Seconds until what failed so often is tried again; None when that was the last time.

    Four times as long after each failure, up to a day, less up to half of it: `jitter` is in 0-1.
    """
    if failures >= attempts:
        return None
    longest = min(LONGEST_PAUSE_SECONDS, first_seconds * 4.0 ** (failures - 1))
    return longest * (1 - jitter / 2)
