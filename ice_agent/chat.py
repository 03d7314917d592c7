"""A conversation at the terminal: what is said, what is answered, what was learned and what it cost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ice_agent import explain, forget, promote, screen
from ice_agent.agent import Agent, Reply
from ice_agent.collect import Heard
from ice_agent.cycle import run_cycle
from ice_agent.errors import ForgetError, IceError
from ice_agent.ice_editor import IceEditor
from ice_agent.turns import Turn
from memory import Archive, FactStatus, Forgetting, NotaryError, StoreError

COMMANDS = "/facts /pending /cycle /quit"
HISTORY = 12  # turns that are kept: six questions and their answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One turn of a chat: an answer and what was heard, or what was forgotten because it was asked for."""

    said: str
    reply: Reply | None = None
    heard: Heard | None = None
    forgotten: Forgetting | None = None
    receipt: Path | None = None
    """Where what was forgotten is certified."""


class Chat:
    """An agent on a console; it keeps the last turns, so that one may refer to another.

    The archive is the one that the agent's store is of: receipts of what is forgotten are signed with it.
    """

    def __init__(self, agent: Agent, archive: Archive, out: Console, progress: Console) -> None:
        self._agent, self._archive, self._out, self._progress = agent, archive, out, progress
        self._history: list[Turn] = []
        self._said: list[str] = []

    def turn(self, text: str) -> Exchange:
        """Say something; nothing is printed. A request to forget is granted, and no word of it is kept."""
        agent = self._agent
        wish = forget.wish(agent.store, agent.config, agent.extractor, [*self._said, text])
        if wish is not None:
            taken, receipt = self._forgotten(wish)
            self._said.append(text)
            return Exchange(said=text, forgotten=taken, receipt=receipt)
        reply, heard = agent.turn(text, self._history)
        self._said.append(text)
        self._history += [Turn(role="user", content=text), Turn(role="assistant", content=reply.text)]
        del self._history[:-HISTORY]
        return Exchange(said=text, reply=reply, heard=heard)

    def say(self, texts: Sequence[str]) -> None:
        """Say these one after another."""
        for text in texts:
            self._out.print(Text("you> ", style="bold") + Text(text))
            self._answer(text)

    def converse(self) -> None:
        """Read and answer until /quit, Ctrl-C or the end of the input."""
        self._out.print(f"Tell it about yourself, ask it something. {COMMANDS}", style="dim")
        while (text := self._read()) != "/quit":
            if text.startswith("/"):
                self._obey(text)
            elif text:
                self._answer(text)

    def _read(self) -> str:
        try:
            said = self._out.input("[bold]you>[/] ").strip()
        except (EOFError, KeyboardInterrupt):
            self._out.print()
            return "/quit"
        # A terminal shows what is typed; of a file nobody could tell what was asked.
        if not sys.stdin.isatty():
            self._out.print(said, markup=False)
        return said

    def _answer(self, text: str) -> None:
        try:
            exchange = self.turn(text)
        except (ForgetError, NotaryError) as error:
            self._out.print(str(error), markup=False)
            return
        if exchange.forgotten is not None:
            self._out.print(forget.reply(exchange.forgotten), markup=False)
            screen.evidence(self._out, None, exchange.receipt)
        if exchange.reply is None or exchange.heard is None:
            return
        self._out.print(exchange.reply.text, markup=False)
        cost = f"prompt {exchange.reply.prompt_tokens} tokens, of them memory {exchange.reply.memory_tokens}"
        n_left_out = len(exchange.reply.left_out)
        if n_left_out:
            cost += f"; no room for {n_left_out} more (agent.max_recalled_tokens)"
        for line in filter(None, (screen.learned(exchange.heard), cost)):
            self._out.print(f"     {line}", style="dim", markup=False)

    def _forgotten(self, wish: forget.Wish) -> tuple[Forgetting, Path | None]:
        """What was said in this chat goes with it: the next prompt would repeat it."""
        taken, receipt = forget.grant(self._archive, self._agent.store, self._agent.config, wish)
        if taken.facts or taken.utterances:
            self._history.clear()
        return taken, receipt

    def _obey(self, command: str) -> None:
        if command in ("/facts", "/pending"):
            statuses = [FactStatus.PENDING] if command == "/pending" else None
            found = self._agent.store.facts(statuses=statuses)
            self._out.print(screen.facts(found) if found else "none")
        elif command == "/cycle":
            self._cycle()
        else:
            self._out.print(COMMANDS, style="dim")

    def _cycle(self) -> None:
        """A cycle between two turns: what goes wrong is said, and the chat goes on."""
        agent = self._agent
        try:
            with screen.bars(self._progress) as progress:
                done = run_cycle(agent.store, IceEditor(agent.model, agent.config), agent.config, progress)
        except (IceError, StoreError) as error:
            self._out.print(str(error), markup=False)
        except KeyboardInterrupt:
            self._out.print("interrupted: nothing was promoted, the facts are pending again")
        else:
            table = promote.table(done.before.scores, done.after.scores, agent.config.guards)
            answers = explain.answers(done.after.transcripts)
            screen.report(self._out, table, answers, done.adapter, done.verdict, done.seconds)
