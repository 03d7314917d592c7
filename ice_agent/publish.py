"""Brings what serves here to an outside engine, and lets that engine write the answers.

The engine is compared with the database, so that promotions, reverts and forgettings reach it in whatever
order they came, and an engine that was started anew gets all it had. Nothing that it refuses reaches a cycle.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Final, Self

from ice_agent import logs, watch
from ice_agent.background import pause, repeated
from ice_agent.config import Config
from ice_agent.errors import AdapterError, EngineClosed, EngineError, PublishError
from ice_agent.external import External, Served
from ice_agent.manifest import base_name
from ice_agent.settings import FIELD, PublishSettings
from ice_agent.writing import Ask, Writing
from memory import Adapter, Archive, Publication, StoreError

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 60.0
"""How often the engine is asked whether it still has what it was given."""
PATIENCE_SECONDS: Final = 2.0
"""What an engine may take to say that it is there."""
MARGIN_SECONDS: Final = 30.0
"""How much longer an adapter is claimed than the engine may take."""

_MOMENT = 0.05
"""Seconds until it is looked again whether somebody else has brought an adapter."""


def deliver(archive: Archive, config: Config, seconds: float) -> int:
    """Bring to the engine what is due, for so long at most; says how many tenants it has right now.

    What fails waits for its next turn, and is given up after so many.
    """
    with External(config.publish) as engine:
        return _deliver(archive, config, engine, seconds)


def look(archive: Archive, config: Config) -> int:
    """Compare what the engine has with what it confirmed; says how much it has lost. Raises PublishError."""
    with External(config.publish) as engine:
        return _look(archive, engine)


@contextmanager
def publishing(archive: Archive, config: Config, poll_seconds: float = POLL_SECONDS) -> Iterator[None]:
    """Publish beside whatever this block does."""
    if not config.publish.engine:
        yield
        return
    with (
        External(config.publish) as engine,
        repeated("publish", _Rounds(archive, config, engine).make, poll_seconds),
    ):
        yield


def name_of(publication: Publication, template: str) -> str:
    """What the engine is to call what serves a tenant."""
    made_of = {
        "tenant": publication.tenant or "",
        "tenant_id": publication.tenant_id,
        "adapter": publication.wanted_id or "",
    }
    return FIELD.sub(lambda field: made_of[field[1]], template)


class _Rounds:
    """One round after the other; now and then the engine is asked whether it is still the same."""

    def __init__(self, archive: Archive, config: Config, engine: External) -> None:
        self._archive, self._config, self._engine = archive, config, engine
        self._look_at = time.monotonic()
        self._problem = ""

    def make(self) -> None:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._look()
        _deliver(self._archive, self._config, self._engine, POLL_SECONDS)

    def _look(self) -> None:
        """A problem is said once, and that it is over."""
        try:
            if n_lost := _look(self._archive, self._engine):
                logger.warning("%s has lost %d adapters: they are brought again", self._engine.name, n_lost)
            problem = ""
        except (PublishError, StoreError) as error:
            problem = str(error)
        if problem and problem != self._problem:
            logger.error("%s", problem)
        elif self._problem and not problem:
            logger.info("%s answers again", self._engine.name)
        self._problem = problem


def _look(archive: Archive, engine: External) -> int:
    return archive.publications.lost(engine.name, engine.served().adapters)


def _deliver(archive: Archive, config: Config, engine: External, seconds: float) -> int:
    until, n_brought = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < until and (claimed := _claimed(archive, config.publish, engine)):
            with logs.about(tenant=claimed.tenant_id):
                n_brought += _bring(archive, config, engine, claimed)
    except StoreError as error:
        logger.error("what is to be published waits for the database: %s", error)
    return n_brought


def _claimed(archive: Archive, settings: PublishSettings, engine: External) -> Publication | None:
    # A claim outlives the requests that it is made for: what is there, one adapter away, one here.
    seconds = 3 * settings.timeout_seconds + MARGIN_SECONDS
    return archive.publications.claim(engine.name, lambda p: name_of(p, settings.name), seconds)


def _bring(archive: Archive, config: Config, engine: External, claimed: Publication) -> bool:
    """Let the engine have what serves the tenant, or nothing of it; True once it says that it does."""
    settings = config.publish
    name = name_of(claimed, settings.name) if claimed.wanted_id else claimed.name
    path = _path(config, claimed.wanted_path) if claimed.wanted_id else ""
    try:
        served = engine.served()
        if claimed.wanted_id and served.adapters.get(name) != path:
            _require_fit(config, claimed, name, served)
            engine.load(name, path, served)
        is_over = claimed.name in served.adapters and (claimed.name != name or not claimed.wanted_id)
        if is_over and not archive.publications.is_replaced(claimed):
            engine.unload(claimed.name)
    except PublishError as error:
        _wait(archive, settings, claimed, str(error))
        return False
    archive.publications.confirm(claimed, name=name, path=path)
    logger.info("%s has %s of %s", engine.name, claimed.wanted_id or "nothing", claimed.tenant_id)
    return True


def _require_fit(config: Config, claimed: Publication, name: str, served: Served) -> None:
    """Raises PublishError for what engines take without a word, and answer wrong."""
    if name in served.bases:
        raise PublishError(f"the engine calls its base model {name!r}: set publish.name to something else")
    made_for = base_name(config.adapters.dir / claimed.wanted_path)
    if made_for not in served.bases:
        raise PublishError(
            f"adapter {claimed.wanted_id} was made for {made_for!r}, and the engine serves {served.base!r}: "
            f"if they are the same, start it with --served-model-name {made_for}"
        )


def _wait(archive: Archive, settings: PublishSettings, claimed: Publication, problem: str) -> None:
    seconds = pause(
        claimed.attempts,
        attempts=settings.attempts,
        first_seconds=settings.retry_seconds,
        jitter=random.random(),
    )
    watch.publishing_failed()
    archive.publications.put_back(claimed, problem=problem, seconds=seconds)
    if seconds is None:
        logger.error("gave up after %d attempts (`ice-agent publish`): %s", claimed.attempts, problem)
    else:
        logger.warning("not published, again in %.0f s: %s", seconds, problem)


def _path(config: Config, path: str) -> str:
    """An adapter's directory as the engine sees it."""
    folder = config.publish.adapters_dir
    return f"{folder.rstrip('/')}/{path}" if folder else str((config.adapters.dir / path).resolve())


class OutsideWriter:
    """Has answers written by the engine that adapters are published to, which is given the adapter first."""

    def __init__(self, archive: Archive, config: Config, stop_ids: Sequence[int]) -> None:
        self._archive, self._config, self._stop_ids = archive, config, list(stop_ids)
        self._engine = External(config.publish)
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(0.0)

    def write(self, ask: Ask) -> Writing:
        """Begin an answer.

        Raises EngineError where the engine refuses, or has not got what serves, and AdapterError for an
        adapter that does not serve: the engine has no other.
        """
        if self._is_closed:
            raise EngineClosed
        # A root is the base.
        is_base = ask.adapter is None or ask.adapter.parent_id is None
        model = self._base if ask.adapter is None or is_base else self._name(ask.adapter)
        return self._engine.write(ask, model, self._base, self._stop_ids)

    def forget(self) -> None:
        """What the engine keeps of earlier prompts is its own."""

    def close(self, seconds: float) -> None:
        """Take no more; what is being written has so long to end, and is broken off then."""
        self._is_closed, until = True, time.monotonic() + seconds
        while self._engine.n_writing and time.monotonic() < until:
            time.sleep(_MOMENT)
        self._engine.__exit__()

    @property
    def load(self) -> tuple[int, int]:
        """Who waits, the engine knows."""
        return self._engine.n_writing, 0

    @property
    def is_open(self) -> bool:
        """Whether it takes requests: the engine is asked, and given little time to say so."""
        return not self._is_closed and self._engine.is_there(PATIENCE_SECONDS)

    @cached_property
    def _base(self) -> str:
        try:
            return self._engine.served().base
        except PublishError as error:
            raise EngineError(str(error)) from error

    def _name(self, adapter: Adapter) -> str:
        """What was promoted a moment ago is brought there first, by whoever comes first."""
        until, where = time.monotonic() + self._config.publish.timeout_seconds, self._engine.name
        while True:
            there = self._archive.publications.serving(adapter.id)
            if there is None:
                raise AdapterError(f"adapter {adapter.id} does not serve, and {where} has what serves alone")
            if there.is_current and there.engine == where:
                return there.name
            if there.problem or time.monotonic() > until:
                problem = there.problem or f"it is not there after {self._config.publish.timeout_seconds:g} s"
                raise EngineError(f"{where} lacks {adapter.id} (`ice-agent publish`): {problem}")
            if not _deliver(self._archive, self._config, self._engine, POLL_SECONDS):
                time.sleep(_MOMENT)
