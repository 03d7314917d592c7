"""A process that runs one cycle and is killed in it: at a moment that was chosen, or at any.

A moment is anything that a kill could fall before: a report, a statement that writes, a commit, a file that
is opened, renamed or deleted. It has a name, so that each kind of moment is met once.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ice_agent import cycle
from ice_agent.config import Config
from ice_agent.editor import Editor, Job
from ice_agent.errors import EmptyBatch, IceError
from memory import Archive, FactStore, StoreError
from tests.standin import Notebook

SPOILED, DEADLY = "spoiled", "deadly"
"""What the stand-in's language does not survive, and what the process that teaches it does not."""

FILE_EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")
WRITES = os.O_WRONLY | os.O_RDWR

Act = Callable[[str], None]
"""Is called before each moment, with its name."""


def live(url: str, config: Config, seconds: float, note: Path, act: signal.Signals, moment: str = "") -> None:
    """One cycle in a process of its own, which sends itself `act` at the first moment of that name."""
    pass_by = noting(note, act, moment)
    run(url, config, _Mortal(seconds=seconds, spoils=SPOILED), pass_by)
    pass_by("over")


def noting(note: Path, act: signal.Signals, moment: str) -> Act:
    """Note moments, one a line, before they come: the last is where a process was, however sudden its end."""
    seen, passed = os.open(note, os.O_CREAT | os.O_WRONLY), set[str]()

    def pass_by(name: str) -> None:
        os.write(seen, name.replace("\n", " ").encode() + b"\n")
        if name == moment and name not in passed:
            passed.add(name)
            os.kill(os.getpid(), act)

    return pass_by


def run(url: str, config: Config, editor: Editor, pass_by: Act) -> None:
    """One cycle that calls `pass_by` at each of its moments. What it refuses is its exit's one line."""
    with Archive.open(url) as archive:
        watch(archive, config, pass_by)
        try:
            store: Any = _Watched(archive.store(config.agent.tenant), pass_by)
            cycle.run_cycle(store, editor, config, _reporting(pass_by))
        except EmptyBatch:
            return
        except (IceError, StoreError) as error:
            pass_by(f"refused: {type(error).__name__}: {error}")
            raise SystemExit(3) from None


def watch(archive: Archive, config: Config, pass_by: Act) -> None:
    """Call at each statement that writes, each commit and each file that changes, until the process ends."""

    def statement(connection: Any, cursor: Any, sql: str, *_: Any) -> None:
        verb, *rest = sql.split()
        if verb in ("INSERT", "UPDATE", "DELETE"):
            pass_by(f"sql {verb} {rest[1] if verb != 'UPDATE' else rest[0]}")

    sa.event.listen(archive._engine, "before_cursor_execute", statement)
    sa.event.listen(archive._engine, "commit", lambda connection: pass_by("sql COMMIT"))
    place = str(config.adapters.dir)

    def file(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and str(arguments[0]).startswith(place) and _changes(event, arguments):
            pass_by(f"{event} {named(str(arguments[0])[len(place) :])}")

    sys.addaudithook(file)


def named(path: str) -> str:
    """A path without what is another one each time."""
    path = re.sub(r"(a|root)_[0-9a-f]{12}", r"\1_", path)
    return re.sub(r"(\.partial-\w+-)\w+", r"\1", path)


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    return event != "open" or bool((arguments[2] or 0) & WRITES)


def _reporting(pass_by: Act) -> Any:
    return lambda stage, done, total, note: pass_by(f"report {stage} {done} of {total}")


class _Mortal(Notebook):
    """Some things nobody survives being taught."""

    def teach(self, job: Job, *arguments: Any) -> None:
        if any(DEADLY in request.target for request in job.requests):
            os.kill(os.getpid(), signal.SIGKILL)
        super().teach(job, *arguments)


class _Watched:
    """A store that tells when a method has returned: what it did is committed, and nobody knows it yet."""

    def __init__(self, store: FactStore, pass_by: Act) -> None:
        self._store, self._pass_by = store, pass_by

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named_ones: Any) -> Any:
            result = found(*arguments, **named_ones)
            self._pass_by(f"after {name}")
            return result

        return call
