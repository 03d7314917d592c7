"""What is asked of whoever writes answers, and an answer while it is being written. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from queue import SimpleQueue
from threading import Event
from typing import Protocol

from ice_agent.errors import EngineError
from memory import Adapter


class Finish(StrEnum):
    STOP = "stop"  # the model ended its turn, or came to a stop sequence
    LENGTH = "length"  # it has written as many tokens as it may


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A prompt that is to be written on from, and by which weights."""

    prompt: Sequence[int]
    """Token ids."""
    adapter: Adapter | None
    """None is the base model."""
    max_tokens: int
    temperature: float = 0.0
    """0 always takes the likeliest token."""
    top_p: float = 1.0
    """Drawn from are the likeliest tokens that have so much of the probability together."""
    seed: int | None = None
    """Of the draws at a temperature; None draws differently each time."""
    stop: tuple[str, ...] = ()
    """Texts before which the answer ends."""


class Writer(Protocol):
    """Whoever writes answers."""

    def write(self, ask: Ask) -> Writing:
        """Begin an answer. Raises EngineError for what cannot be begun, AdapterError for a broken adapter."""

    def forget(self) -> None:
        """Keep nothing of earlier prompts: they may say what was forgotten."""

    @property
    def load(self) -> tuple[int, int]:
        """How many answers are being written, and how many wait."""

    @property
    def is_open(self) -> bool:
        """Whether it takes requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an answer ended."""

    finish: Finish
    n_written: int
    """Tokens, without the one that stopped it."""


class Writing:
    """An answer being written, in pieces: iterate it once, or wait for its text.

    A piece is whole characters, and never a part of what may become a stop sequence.
    """

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self._pieces: SimpleQueue[str | Ended | Exception] = SimpleQueue()
        self._is_cancelled = Event()
        self._ended: Ended | None = None

    def __iter__(self) -> Iterator[str]:
        """Raises EngineError where it broke off."""
        while self._ended is None:
            match self._pieces.get():
                case str(piece):
                    yield piece
                case Ended() as ended:
                    self._ended = ended
                case Exception() as error:
                    # For whoever asks again.
                    self._pieces.put(error)
                    raise error

    def text(self) -> str:
        """The rest of it, once it is whole."""
        return "".join(self)

    def cancel(self) -> None:
        """Nobody reads it any more: its place is free at the next token."""
        self._is_cancelled.set()

    @property
    def ended(self) -> Ended:
        """How it ended; only once it has been read to its end."""
        if self._ended is None:
            raise EngineError("an answer has no end before it has been read to it")
        return self._ended

    # For whoever writes it

    @property
    def is_cancelled(self) -> bool:
        return self._is_cancelled.is_set()

    def add(self, piece: str) -> None:
        if piece:
            self._pieces.put(piece)

    def end(self, finish: Finish, n_written: int) -> None:
        self._pieces.put(Ended(finish=finish, n_written=n_written))

    def fail(self, error: Exception) -> None:
        self._pieces.put(error)


@dataclass(slots=True)
class Spelling:
    """Turns tokens into pieces of text, and sees where a stop sequence begins. One for each answer."""

    stop: tuple[str, ...]
    text: str = field(default="", init=False)
    """What has been given out."""
    is_stopped: bool = field(default=False, init=False)

    def grown(self, whole: str, is_last: bool = False) -> str:
        """What may be given out beyond the last time, now that the answer reads so from its beginning."""
        ends = [at for at in (whole.find(each) for each in self.stop) if at >= 0]
        if ends:
            self.is_stopped, whole = True, whole[: min(ends)].rstrip()
        elif not is_last:
            whole = whole[: len(whole) - self._undecided(whole)]
        piece = whole[len(self.text) :]
        self.text += piece
        return piece

    def _undecided(self, whole: str) -> int:
        """How much of the end may yet change: half a character, trailing space, the beginning of a stop."""
        # A tokenizer shows bytes of a character that is not whole yet by this sign.
        settled = whole.rstrip("\ufffd").rstrip()
        for length in range(max(map(len, self.stop), default=1) - 1, 0, -1):
            if any(each.startswith(whole[-length:]) for each in self.stop if len(each) > length):
                settled = min(settled, whole[:-length], key=len)
                break
        return len(whole) - len(settled)
