"""Engine: writes the answers of many tenants at once, on one base model, in a thread of its own.

It knows prompts, adapters and places in a batch, and no facts. An answer ends on the adapter that it began
on, whatever is promoted meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import Final, Generic, Self, TypeVar

import torch

from ice_agent.batching import Drawing, KeyValues, Newcomer, Rows
from ice_agent.errors import EngineClosed, EngineError, Overloaded, PromptTooLong
from ice_agent.low_rank import Weights
from ice_agent.model import EditableModel
from ice_agent.settings import EngineSettings
from ice_agent.writing import Ask, Finish, Spelling, Writing
from memory import Adapter

logger = logging.getLogger(__name__)

MEGABYTE: Final = 2**20

BLOCK: Final = 16
"""What was read of a prompt is found again by beginnings of so many tokens, or twice as many, and so on."""

READ_AT_ONCE: Final = 512
"""Tokens of new prompts that are read between two tokens of those who write.

A longer prompt is read in parts, and of many that come at once some wait for their turn: so nobody who is
being answered waits for all of them.
"""

Name = TypeVar("Name", bound=Hashable)
Kept = TypeVar("Kept")


class Engine:
    """Answers are begun by any thread; one thread of its own writes them, all by a token at a time."""

    def __init__(self, model: EditableModel, settings: EngineSettings, adapters_dir: Path) -> None:
        self._model, self._settings, self._dir = model, settings, adapters_dir
        self._adapters = _Shelf[str, Weights | None](settings.adapters_megabytes * MEGABYTE)
        self._shelf_lock, self._reading = Lock(), Lock()
        self._prefixes = Prefixes(settings.prefixes_megabytes * MEGABYTE)
        self._rows = Rows[Weights | None](model.step, model.device, model.stop_ids[0])
        self._written: list[_Row] = []
        self._waiting: deque[_Row] = deque()
        self._turn = Condition()
        self._is_closed = self._is_ended = False
        self._seconds_each = 1.0
        self._thread = Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(0.0)

    def write(self, ask: Ask) -> Writing:
        """Begin an answer.

        Raises PromptTooLong, Overloaded when as many wait as may, EngineClosed, and AdapterError for an
        adapter that is damaged or made for another base. Its files are read here, and not while others wait.
        """
        room = self._model.room - len(ask.prompt)
        if room < 1:
            raise PromptTooLong(len(ask.prompt), self._model.room)
        self._require_place()
        row = _Row(ask, self._weights(ask.adapter), min(ask.max_tokens, room))
        with self._turn:
            self._require_place()
            self._waiting.append(row)
            self._turn.notify_all()
        return row.writing

    def forget(self) -> None:
        """Nothing that was read of a prompt is kept: it may say what was forgotten."""
        with self._turn:
            self._prefixes.clear()

    def close(self, seconds: float) -> None:
        """Take no more; what is written, or waits, has so long to end, and is broken off then."""
        with self._turn:
            self._is_closed = True
            self._turn.notify_all()
            self._turn.wait_for(lambda: not (self._written or self._waiting), seconds)
            self._is_ended = True
            self._turn.notify_all()
        self._thread.join()

    @property
    def is_open(self) -> bool:
        """Whether it takes requests."""
        return not self._is_closed and self._thread.is_alive()

    @property
    def load(self) -> tuple[int, int]:
        """How many answers are being written, and how many wait."""
        return len(self._written), len(self._waiting)

    # -- what a request waits for --------------------------------------------------------------------------

    def _require_place(self) -> None:
        if self._is_closed:
            raise EngineClosed
        n_waiting, free = len(self._waiting), self._settings.max_rows - len(self._written)
        if n_waiting >= self._settings.max_waiting + max(0, free):
            rounds = 1 + n_waiting / self._settings.max_rows
            raise Overloaded(n_waiting, max(1, round(rounds * self._seconds_each)))

    def _weights(self, adapter: Adapter | None) -> Weights | None:
        """An adapter's weights, kept from one request to the next; those longest unused go first."""
        if adapter is None:
            return None
        with suppress(KeyError):
            return self._kept(adapter)
        # One at a time, and nobody reads what somebody else just read; who needs no file does not wait here.
        with self._reading:
            with suppress(KeyError):
                return self._kept(adapter)
            weights = self._model.read_weights(adapter.id, self._dir / adapter.path)
            with self._shelf_lock:
                self._adapters.put(adapter.id, weights, weights.n_bytes if weights else 0)
            return weights

    def _kept(self, adapter: Adapter) -> Weights | None:
        with self._shelf_lock:
            return self._adapters.get(adapter.id)

    # -- the thread that writes ----------------------------------------------------------------------------

    def _run(self) -> None:
        while self._has_work():
            try:
                self._take_in()
                self._go_on()
            # Such as too little memory on a GPU: those whose answers it costs hear of it, and it goes on.
            except Exception as error:
                logger.exception("answers broke off")
                self._break_off(EngineError(f"the answer broke off: {error}"))
        self._break_off(EngineClosed())

    def _has_work(self) -> bool:
        with self._turn:
            self._turn.wait_for(lambda: self._written or self._waiting or self._is_ended)
            return not self._is_ended

    def _take_in(self) -> None:
        """Read on in the prompts of those who waited longest."""
        if (long := self._next_long()) is not None:
            long.past = self._rows.read(self._newcomer(long), READ_AT_ONCE)
        else:
            self._begin(self._admitted())

    def _next_long(self) -> _Row | None:
        """Who is next, with a prompt that those who write cannot wait for as a whole."""
        with self._turn:
            has_place = self._waiting and 0 < len(self._written) < self._settings.max_rows
            return self._waiting[0] if has_place and self._n_unread(self._waiting[0]) > READ_AT_ONCE else None

    def _admitted(self) -> list[_Row]:
        """Those who waited longest: as many as there are places, and as others who write can wait for."""
        with self._turn:
            free, is_alone, to_read = self._settings.max_rows - len(self._written), not self._written, 0
            admitted = list[_Row]()
            while self._waiting and len(admitted) < free:
                to_read += self._n_unread(self._waiting[0])
                if to_read > READ_AT_ONCE and not is_alone:
                    break
                admitted.append(self._waiting.popleft())
            # They count as being written at once, or a closing engine would not see them.
            self._written += admitted
        return admitted

    def _begin(self, admitted: Sequence[_Row]) -> None:
        if not admitted:
            return
        n_old = len(self._written) - len(admitted)
        order = self._rows.join([self._newcomer(row) for row in admitted])
        for row in admitted:
            row.past = None
        with self._turn:
            self._written[n_old:] = [admitted[i] for i in order]

    def _n_unread(self, row: _Row) -> int:
        return len(row.ids) - self._newcomer(row).n_read

    def _newcomer(self, row: _Row) -> Newcomer[Weights | None]:
        with self._turn:
            past = row.past or self._prefixes.longest(row.adapter_id, row.ids)
        return Newcomer(ids=row.ids, adapter=row.weights, drawing=row.drawing, past=past)

    def _go_on(self) -> None:
        """Give each row its token, let go of those that have ended, and read on."""
        for row, token in zip(self._written, self._rows.tokens(), strict=True):
            row.take(token, self._model)
        ended = [i for i, row in enumerate(self._written) if row.is_over]
        if ended:
            self._let_go(ended)
        if self._written:
            self._rows.grow()

    def _let_go(self, ended: Sequence[int]) -> None:
        for i in ended:
            row = self._written[i]
            if self._prefixes.keeps:
                past = self._rows.past_of(i)
                with self._turn:
                    self._prefixes.keep(row.adapter_id, row.ids[: past[0][0].shape[2]], past)
            self._seconds_each += 0.1 * (time.monotonic() - row.began_at - self._seconds_each)
        gone = set(ended)
        staying = [i for i in range(len(self._written)) if i not in gone]
        self._rows.keep(staying)
        with self._turn:
            over, self._written = [self._written[i] for i in ended], [self._written[i] for i in staying]
            self._turn.notify_all()
        # Told last, so that whoever hears of the end finds the place free.
        for row in over:
            row.end()

    def _break_off(self, error: EngineError) -> None:
        with self._turn:
            broken = [*self._written, *(self._waiting if self._is_ended else ())]
            self._written = []
            if self._is_ended:
                self._waiting.clear()
            self._rows = Rows[Weights | None](self._model.step, self._model.device, self._model.stop_ids[0])
            self._turn.notify_all()
        for row in broken:
            row.writing.fail(error)


class _Row:
    """An answer on its way: what was asked, and what stands there by now."""

    def __init__(self, ask: Ask, weights: Weights | None, max_tokens: int) -> None:
        self.writing = Writing(ask)
        self.weights = weights
        self.adapter_id = ask.adapter.id if ask.adapter and weights else ""
        self.ids = list(ask.prompt)
        self.began_at = time.monotonic()
        generator = None
        if ask.temperature and ask.seed is not None:
            generator = torch.Generator().manual_seed(ask.seed)
        self.drawing = Drawing(ask.temperature, ask.top_p, generator)
        self.past: KeyValues | None = None
        """What was read of a long prompt before it joins."""
        self._max_tokens = max_tokens
        self._spelling = Spelling(ask.stop)
        self._finish: Finish | None = None

    @property
    def is_over(self) -> bool:
        return self._finish is not None or self.writing.is_cancelled

    @property
    def _n_written(self) -> int:
        return len(self.ids) - len(self.writing.ask.prompt)

    def take(self, token: int, model: EditableModel) -> None:
        is_stop = token in model.stop_ids
        if not is_stop:
            self.ids.append(token)
        is_full = self._n_written >= self._max_tokens
        whole = model.decode(self.ids[len(self.writing.ask.prompt) :])
        self.writing.add(self._spelling.grown(whole, is_last=is_stop or is_full))
        if is_stop or self._spelling.is_stopped:
            self._finish = Finish.STOP
        elif is_full:
            self._finish = Finish.LENGTH

    def end(self) -> None:
        self.writing.end(self._finish or Finish.STOP, self._n_written)


class _Shelf(Generic[Name, Kept]):
    """Keeps what was used last, up to so many bytes; the newest always."""

    def __init__(self, n_bytes: float) -> None:
        self._most, self._n_bytes = n_bytes, 0
        self._kept: OrderedDict[Name, tuple[Kept, int]] = OrderedDict()

    def __contains__(self, name: Name) -> bool:
        return name in self._kept

    def get(self, name: Name) -> Kept:
        """Raises KeyError."""
        self._kept.move_to_end(name)
        return self._kept[name][0]

    def put(self, name: Name, kept: Kept, n_bytes: int) -> list[tuple[Name, Kept]]:
        """What had to go for it."""
        gone = list[tuple[Name, Kept]]()
        self._kept[name] = (kept, n_bytes)
        self._n_bytes += n_bytes
        while self._n_bytes > self._most and len(self._kept) > 1:
            old, (what, size) = self._kept.popitem(last=False)
            self._n_bytes -= size
            gone.append((old, what))
        return gone


class Prefixes:
    """What was read of earlier prompts and answers, by adapter, for the next that begins alike."""

    def __init__(self, n_bytes: float) -> None:
        self._n_bytes = n_bytes
        self.clear()

    @property
    def keeps(self) -> bool:
        return self._n_bytes > 0

    def clear(self) -> None:
        self._shelf = _Shelf[tuple[str, tuple[int, ...]], KeyValues](self._n_bytes)
        # The whole text by each of its beginnings.
        self._by_beginning: dict[tuple[str, int], tuple[str, tuple[int, ...]]] = {}

    def keep(self, adapter_id: str, ids: Sequence[int], past: KeyValues) -> None:
        name = adapter_id, tuple(ids)
        size = sum(t.numel() * t.element_size() for pair in past for t in pair)
        if size > self._n_bytes or len(ids) < BLOCK or name in self._shelf:
            return
        for beginning in _beginnings(ids):
            self._by_beginning[adapter_id, beginning] = name
        for gone, _ in self._shelf.put(name, past, size):
            for beginning in _beginnings(gone[1]):
                if self._by_beginning.get((gone[0], beginning)) == gone:
                    del self._by_beginning[gone[0], beginning]

    def longest(self, adapter_id: str, ids: Sequence[int]) -> KeyValues | None:
        """Of this prompt as much as is there, in whole blocks; never all, for its last token is read."""
        for n, beginning in reversed(list(enumerate(_beginnings(ids[:-1]), start=1))):
            name = self._by_beginning.get((adapter_id, beginning))
            length = n * BLOCK
            # A hash may be another's.
            if name is not None and name[1][:length] == tuple(ids[:length]):
                return tuple((k[:, :, :length], v[:, :, :length]) for k, v in self._shelf.get(name))
        return None


def _beginnings(ids: Sequence[int]) -> list[int]:
    """A hash of each beginning of whole blocks, shortest first."""
    hashes, so_far = list[int](), 0
    for at in range(BLOCK, len(ids) + 1, BLOCK):
        so_far = hash((so_far, *ids[at - BLOCK : at]))
        hashes.append(so_far)
    return hashes
