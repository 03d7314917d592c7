"""What the server's tests serve with: a model that only counts letters, and an engine that recites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from ice_agent import collect
from ice_agent.config import Config
from ice_agent.engine import Engine
from ice_agent.errors import EngineClosed, EngineError
from ice_agent.executors import Here
from ice_agent.model import EditableModel
from ice_agent.server.runs import Runs
from ice_agent.server.serving import Serving
from ice_agent.turns import Tools, Turn
from ice_agent.writing import Ask, Finish, Writing
from memory import Archive
from tests.standin import Notebook

LOCAL = "http://127.0.0.1"


class Letters:
    """Where the model stands: a token is a letter, and a prompt is its turns one after the other."""

    name, base_hash, room = "letters", "b" * 64, 4096

    def encode(self, turns: Sequence[Turn], tools: Tools = ()) -> list[int]:
        return [ord(letter) for turn in turns for letter in f"<{turn.role}>{turn.content}"]

    def encode_text(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


class Reciter:
    """Where the engine stands: says what it is told to say, a word a piece, and keeps what it was asked."""

    def __init__(self, text: str = "It is so.") -> None:
        self.text = text
        self.asked: list[Ask] = []
        self.writings: list[Writing] = []
        self.refusal: EngineError | None = None
        """Raised by the next, and all others."""
        self.breaks: EngineError | None = None
        """Ends each answer after its first word."""
        self.is_paused = False
        """It begins what it is asked, and leaves it to the test to `recite` it."""
        self.is_open = True
        self.load = (0, 0)
        self.n_forgotten = 0

    def write(self, ask: Ask) -> Writing:
        if not self.is_open:
            raise EngineClosed
        if self.refusal is not None:
            raise self.refusal
        writing = Writing(ask)
        self.asked.append(ask)
        self.writings.append(writing)
        if not self.is_paused:
            self.recite(writing)
        return writing

    def recite(self, writing: Writing) -> None:
        words = self.text.split(" ")[: writing.ask.max_tokens]
        if self.breaks is not None:
            writing.add(words[0])
            writing.fail(self.breaks)
            return
        for i, word in enumerate(words):
            writing.add(f" {word}" if i else word)
        is_cut = len(words) < len(self.text.split(" "))
        writing.end(Finish.LENGTH if is_cut else Finish.STOP, len(words))

    def forget(self) -> None:
        self.n_forgotten += 1

    def close(self, seconds: float) -> None:
        self.is_open = False

    @property
    def prompt(self) -> str:
        """The last one, as text."""
        return "".join(map(chr, self.asked[-1].prompt))


@contextmanager
def opened(folder: Path, **sections: Any) -> Iterator[Serving]:
    """A memory of its own, served by the stand-ins."""
    own = {
        "store": {"url": f"sqlite:///{folder / 'ice.db'}"},
        "adapters": {"dir": str(folder / "adapters")},
        "ledger": {"key": str(folder / "ledger.key"), "checkpoints": str(folder / "checkpoints")},
    }
    config = Config.model_validate(own | sections)
    runs = Runs(lambda stop: Here(config, notebook, stop))
    with Archive.open(config.store.url, announced=config.hooks.of.keys()) as archive, closing(runs):
        yield Serving(
            config, archive, cast(EditableModel, Letters()), cast(Engine, Reciter()),
            extractor=collect.extractor_named("rules"), meanings=None, runs=runs,
        )  # fmt: skip


def notebook(config: Config) -> Notebook:
    """Where the editor of cycles stands."""
    return Notebook()


def reciter(serving: Serving) -> Reciter:
    return cast(Reciter, serving.engine)
