"""Where a cycle runs: in this process, in one of its own, or on Ray. Each place runs one at a time.

A place is warm: it holds the base model, and takes one tenant after the other. It keeps nothing else. What a
cycle has done stands in the database and in the adapters' folder, so that a place may die at any moment: the
next one goes on with what it left.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from threading import Event
from typing import Any, Final, Protocol, Self

from ice_agent import logs
from ice_agent.config import Config
from ice_agent.cycle import CycleReport, init, run_cycle
from ice_agent.editor import Editor
from ice_agent.errors import AwaitsApproval, ConfigError, CycleError, EmptyBatch, IceError
from ice_agent.leasing import leased
from ice_agent.settings import WorkerSettings
from memory import (
    Adapter,
    AdapterStatus,
    Archive,
    Fact,
    FactStore,
    LeaseHeld,
    StaleLease,
    StoreError,
    Verdict,
)

logger = logging.getLogger(__name__)

MakeEditor = Callable[[Config], Editor]

LOOK_SECONDS: Final = 0.2
"""How often one that waits for a cycle elsewhere looks whether it should be interrupted."""

ENDING_SECONDS: Final = 30.0
"""For so long a place may put back what it works on before it is ended."""


class Ending(StrEnum):
    PROMOTED = "promoted"
    REJECTED = "rejected"
    AWAITING = "awaiting"  # it passed its guards, and a person has the last word
    NOTHING = "nothing"  # there was nothing to learn, or nothing may be learned now
    BUSY = "busy"  # somebody else runs the tenant's cycle
    INTERRUPTED = "interrupted"  # nothing was promoted, the facts are pending again
    FAILED = "failed"  # an error: nothing was promoted
    DIED = "died"  # the process that it ran in is gone; the next cycle goes on with what it left


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a tenant's cycle ended, small enough to be passed between processes."""

    tenant: str
    ending: Ending
    seconds: float = 0.0
    problem: str = ""
    """What is to be said of one that was not judged."""
    adapter: Adapter | None = None
    verdict: Verdict | None = None
    alpha: float = 1.0
    offenders: tuple[Fact, ...] = ()
    untried: tuple[Fact, ...] = ()


class Stop(Protocol):
    """Set by whoever wants cycles to put everything back and end: an Event, of threads or of processes."""

    def is_set(self) -> bool: ...


class Place(Protocol):
    """Where one cycle at a time runs."""

    def run(self, tenant: str) -> Outcome:
        """Run a tenant's cycle to its end. What goes wrong is an outcome; nothing is raised."""


@contextmanager
def opened(
    settings: WorkerSettings, config: Config, make_editor: MakeEditor, stop: Stop
) -> Iterator[tuple[Place, ...]]:
    """The places that the settings name. Raises ConfigError for Ray where it is not installed."""
    with ExitStack() as open_places:
        begun: Sequence[AbstractContextManager[Place]]
        match settings.executor:
            case "process":
                begun = [Here(config, make_editor, stop)]
            case "processes":
                begun = [InProcess(config, make_editor, stop) for _ in range(settings.workers)]
            case "ray":
                ray = open_places.enter_context(_connected())
                begun = [OnRay(ray, config, make_editor, stop) for _ in range(settings.workers)]
        # All are begun before the first is waited for.
        yield tuple(open_places.enter_context(place) for place in begun)


def ice_editor(config: Config) -> Editor:
    """The editor that serves users, with the base model of the settings."""
    # Here, because importing it takes seconds, and nobody who only asks for Ray should wait for it.
    from ice_agent.ice_editor import IceEditor
    from ice_agent.model import EditableModel

    return IceEditor(EditableModel.load(config.model, config.lora), config)


class Here:
    """This process. It is also what the other places run on their own side."""

    def __init__(self, config: Config, make_editor: MakeEditor, stop: Stop) -> None:
        self._config, self._stop = config, stop
        self._archive = Archive.open(config.store.url, migrate=False, announced=config.hooks.of.keys())
        self._editor = make_editor(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def run(self, tenant: str) -> Outcome:
        started, store = time.monotonic(), self._archive.store(tenant)

        def ended(ending: Ending, problem: object = "") -> Outcome:
            taken = time.monotonic() - started
            return Outcome(tenant=tenant, ending=ending, problem=str(problem), seconds=taken)

        try:
            return _judged(tenant, self._cycle(store))
        except LeaseHeld as held:
            return ended(Ending.BUSY, held)
        except (EmptyBatch, AwaitsApproval) as nothing:
            return ended(Ending.NOTHING, nothing)
        except StaleLease as lost:
            # Somebody else took the tenant over: it is for that cycle to count.
            return ended(Ending.FAILED, lost)
        except KeyboardInterrupt:
            return ended(Ending.INTERRUPTED, "nothing was promoted, the facts are pending again")
        except (IceError, StoreError, OSError) as error:
            _note_failure(store)
            return ended(Ending.FAILED, error)
        except Exception as error:
            logger.exception("a cycle ended in an error that nobody expected")
            _note_failure(store)
            return ended(Ending.FAILED, f"{type(error).__name__}: {error}")

    def _cycle(self, store: FactStore) -> CycleReport:
        config = self._config.of(store.tenant)
        if store.serving() is None:
            # A tenant that was only told something: nobody has to know that there are adapters.
            with leased(store, config.cycle.lease_seconds):
                init(store, self._editor, config)
        try:
            return run_cycle(store, self._editor, config, self._check)
        finally:
            # Of the next tenant others are needed, and there may be thousands.
            for adapter in store.lineage():
                self._editor.unload(adapter.id)

    def _check(self, stage: str, done: int, total: int, note: str) -> None:
        """A cycle's progress, which interrupts it once it is to stop: it then puts everything back."""
        if self._stop.is_set():
            raise KeyboardInterrupt


class InProcess:
    """A process of its own. If it is killed or crashes, nothing but its cycle is lost: another begins."""

    def __init__(self, config: Config, make_editor: MakeEditor, stop: Stop) -> None:
        self._config, self._make_editor, self._stop = config, make_editor, stop
        # A fork would copy threads and locks of libraries in whatever state they are in.
        self._context = multiprocessing.get_context("spawn")
        self._ending = self._context.Event()
        self._begin()

    def _begin(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(theirs, self._config, self._make_editor, self._ending), daemon=True
        )
        self._process.start()
        # With one end left open on each side, either notices when the other is gone.
        theirs.close()
        self._is_ready = False

    def __enter__(self) -> Self:
        try:
            self._make_ready()
        except EOFError:
            raise CycleError("a process for cycles ended before it was ready: its log says why") from None
        return self

    def _make_ready(self) -> None:
        """Wait for the model. Raises CycleError where it cannot be had, EOFError if the process dies."""
        if not self._is_ready and (problem := self._connection.recv()):
            raise CycleError(problem)
        self._is_ready = True

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._connection.close()
        self._process.join(ENDING_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def run(self, tenant: str) -> Outcome:
        started = time.monotonic()
        try:
            self._make_ready()
            self._connection.send(tenant)
            while not wait([self._connection], LOOK_SECONDS):
                if self._stop.is_set():
                    self._ending.set()
            outcome: Outcome = self._connection.recv()
            return outcome
        except (EOFError, OSError, CycleError):
            self._process.join()
            code, taken = self._process.exitcode, time.monotonic() - started
            self._connection.close()
            if not self._stop.is_set():
                self._begin()
            problem = f"its process ended with exit code {code}"
            return Outcome(tenant=tenant, ending=Ending.DIED, problem=problem, seconds=taken)


def _serve(connection: Connection, config: Config, make_editor: MakeEditor, ending: Stop) -> None:
    """The whole life of a process that runs cycles: one after the other, until nobody is there to ask."""
    # A Ctrl-C reaches all processes of a terminal; the one that it is meant for says what comes of it.
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.SIG_IGN)
    logs.configure(config.logging)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            here = Here(config, make_editor, ending)
        except (IceError, StoreError, OSError) as error:
            connection.send(str(error))
            return
        connection.send("")
        with here:
            while not ending.is_set():
                connection.send(here.run(connection.recv()))


class OnRay:
    """A warm actor, on whatever machine of the cluster has room for it."""

    def __init__(self, ray: Any, config: Config, make_editor: MakeEditor, stop: Stop) -> None:
        self._ray, self._stop = ray, stop
        needs = {"num_gpus": 1} if _wants_gpu(ray, config) else {"num_cpus": 1}
        # Two at a time: a cycle, and whoever interrupts it.
        how = {**needs, "max_concurrency": 2, "max_restarts": -1}
        self._actor = ray.remote(_Actor).options(**how).remote(config, make_editor)

    def __enter__(self) -> Self:
        # What cannot start, such as a model that is not there, is said at once.
        try:
            self._ray.get(self._actor.ready.remote())
        except self._ray.exceptions.RayActorError as error:
            raise CycleError(f"no actor starts on Ray: {_last_line(error)}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.kill(self._actor)

    def run(self, tenant: str) -> Outcome:
        started = time.monotonic()
        running = self._actor.run.remote(tenant)
        try:
            while not self._ray.wait([running], timeout=LOOK_SECONDS)[0]:
                if self._stop.is_set():
                    self._actor.interrupt.remote()
            outcome: Outcome = self._ray.get(running)
            return outcome
        except self._ray.exceptions.RayError as error:
            taken = time.monotonic() - started
            return Outcome(tenant=tenant, ending=Ending.DIED, problem=_last_line(error), seconds=taken)


class _Actor:
    """What lives on Ray's side."""

    def __init__(self, config: Config, make_editor: MakeEditor) -> None:
        logs.configure(config.logging)
        self._ending = Event()
        self._here = Here(config, make_editor, self._ending)

    def ready(self) -> bool:
        return True

    def run(self, tenant: str) -> Outcome:
        return self._here.run(tenant)

    def interrupt(self) -> None:
        self._ending.set()


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray, connected to the cluster that RAY_ADDRESS names, or to one of this machine alone."""
    try:
        import ray
    except ModuleNotFoundError:
        how = 'pip install \'ice-agent[ray]\', or set executor to "process" or "processes"'
        raise ConfigError(f'[worker] executor = "ray" needs Ray, which is not installed: {how}') from None
    ray.init(log_to_driver=True, logging_level=logging.WARNING, include_dashboard=False)
    try:
        yield ray
    finally:
        ray.shutdown()


def _wants_gpu(ray: Any, config: Config) -> bool:
    return config.model.device != "cpu" and ray.cluster_resources().get("GPU", 0) >= 1


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _judged(tenant: str, report: CycleReport) -> Outcome:
    if report.adapter.status is AdapterStatus.CANDIDATE:
        ending = Ending.AWAITING
    else:
        ending = Ending.PROMOTED if report.verdict.promote else Ending.REJECTED
    return Outcome(
        tenant=tenant, ending=ending, seconds=report.seconds, adapter=report.adapter, verdict=report.verdict,
        alpha=report.alpha, offenders=report.offenders, untried=report.untried,
    )  # fmt: skip


def _note_failure(store: FactStore) -> None:
    """So that others, too, wait before they try again."""
    try:
        store.note_failure()
    except StoreError as error:
        logger.error("%s", error)
