"""The whole path on one screen: a conversation, a cycle, answers from the weights, and all of it undone.

Played on the bundled model, with the settings of config.toml, in a folder that is kept: the dashboard shows
what came of it. Every number is computed in the run that shows it; what does not hold is said at the end, and
the exit code is 1.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ice_agent import config as settings
from ice_agent import cycle, decide, explain, plan, promote, relations, screen
from ice_agent.agent import Agent, Reply
from ice_agent.config import Config
from ice_agent.errors import ConfigError, IceError
from ice_agent.ice_editor import IceEditor
from ice_agent.model import EditableModel
from ice_agent.turns import asking
from memory import Archive, Fact, FactStatus, StoreError

TENANT = "amara"

FOLDER = Path("ice-agent-demo")
SETTINGS = "config.toml"
HEADER = "# What the demo left behind, and the next one replaces.\n"

# None of these was talked about: two of each kind that the facts of the conversation come near to.
UNRELATED = (
    "What is the capital of Portugal?",
    "What is the currency of Japan?",
    "Who is the chief executive of Fandora Textiles?",
    "Where does Linh Sharma live?",
    "Who is the spouse of Jonas Chen?",
    "Where is Nardolin Foods based?",
)


def main() -> None:
    """`python -m ice_agent.demo [TRANSCRIPT]`."""
    sys.exit(run(Path(sys.argv[1]) if len(sys.argv) > 1 else None))


def run(transcript: Path | None = None) -> int:
    """Play the demo; 0 when everything held, 1 when something did not, 130 when it was interrupted."""
    out = screen.console()
    try:
        said = utterances(transcript or _bundled_transcript())
        with _kept_when_over(FOLDER) as folder:
            return _play(out, said, folder)
    except (IceError, StoreError, OSError) as error:
        print(f"ice-agent: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the demo leaves nothing behind", file=sys.stderr)
        return 130


def utterances(transcript: Path) -> list[str]:
    """The lines of a transcript that are said. Raises ConfigError for a file that is missing or empty."""
    if not transcript.is_file():
        raise ConfigError(f"no transcript at {transcript} (give one: python -m ice_agent.demo FILE)")
    lines = [line.strip() for line in transcript.read_text(encoding="utf-8").splitlines()]
    said = [line for line in lines if line and not line.startswith("#")]
    if not said:
        raise ConfigError(f"nothing is said in {transcript}: write an utterance a line")
    return said


def _bundled_transcript() -> Path:
    """Inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "examples"
    return (installed if installed.is_dir() else package.parent / "examples") / "amara.txt"


def _play(out: Console, said: Sequence[str], folder: Path) -> int:
    started = time.monotonic()
    config = _in_folder(settings.load(), folder)
    with out.status("loading the model ..."):
        model = EditableModel.load(config.model, config.lora)
    with Archive.open(config.store.url) as archive:
        store = archive.store(TENANT)
        cycle.init(store, IceEditor(model, config), config)
        demo = Demo(out, Agent(store, model, config))
        out.print(f"[dim]model {config.model.name}, {model.device}, {os.cpu_count()} cores, in {folder}[/]")
        demo.play(said)
    out.print()
    seconds = f"{time.monotonic() - started:.0f} s"
    if demo.failures:
        out.print(f"[bold red]Not everything held[/] ({seconds}): {'; '.join(demo.failures)}.")
        return 1
    installed = os.path.relpath(Path(sys.executable).with_name("ice-agent"))
    verb = "ice-agent" if shutil.which("ice-agent") else installed
    out.print(f"[bold green]Everything held[/] ({seconds}).")
    out.print(f"Look at it: [bold]{verb} serve --config {folder / SETTINGS}[/]", soft_wrap=True)
    out.print(f"            and open {_address(config)} in a browser")
    out.print(f"Your own:   [bold]{verb} init[/], [bold]{verb} chat[/]", soft_wrap=True)
    return 0


@contextmanager
def _kept_when_over(folder: Path) -> Iterator[Path]:
    """An empty folder, in the place of what an earlier demo left. It is deleted if the block raises.

    Raises ConfigError where something else is in its place.
    """
    settings_file = folder / SETTINGS
    if settings_file.is_file() and settings_file.read_text(encoding="utf-8").startswith(HEADER):
        shutil.rmtree(folder)
    try:
        folder.mkdir()
    except FileExistsError:
        raise ConfigError(f"{folder} is here already, and no demo made it: move it away") from None
    try:
        settings_file.write_text(HEADER, encoding="utf-8")
        yield folder
    except BaseException:
        shutil.rmtree(folder)
        raise


def _in_folder(config: Config, folder: Path) -> Config:
    """The same settings with everything that is kept in this folder, where they are written, too."""
    own = {
        "agent": {"tenant": TENANT},
        "store": {"url": f"sqlite:///{folder / 'demo.db'}"},
        "adapters": {"dir": folder / "adapters"},
        "ledger": {"key": folder / "ledger.key", "checkpoints": folder / "checkpoints"},
    }
    sections = {name: section.model_copy(update=own.get(name, {})) for name, section in config}
    changed = config.model_copy(update=sections)
    (folder / SETTINGS).write_text(HEADER + _as_toml(changed), encoding="utf-8")
    return changed


def _as_toml(config: Config) -> str:
    """What is not as by default; tables of tables, which no demo has, are left out."""
    lines = list[str]()
    for (name, section), (_, default) in zip(config, Config(), strict=True):
        given = section.model_dump(mode="json")
        differs = {
            key: value for key, value in given.items() if getattr(section, key) != getattr(default, key)
        }
        plain = {key: value for key, value in differs.items() if not _holds_tables(value)}
        if plain:
            # Of such values, JSON is TOML.
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in plain.items()), ""]
    return "\n".join(lines)


def _holds_tables(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def _address(config: Config) -> str:
    return f"http://{config.server.host}:{config.server.port}/"


class Demo:
    """The acts, in their order. `failures` says in words what did not hold."""

    def __init__(self, out: Console, agent: Agent) -> None:
        self._out, self._agent = out, agent
        self._store, self._config = agent.store, agent.config
        self._n_acts = 0
        self.failures: list[str] = []

    def play(self, said: Sequence[str]) -> None:
        untouched = self._ask(UNRELATED)
        self._talk(said)
        learned, _ = plan.waiting(self._store)
        questions = list(dict.fromkeys(relations.asked(*f.slot)[0] for f in learned))
        untold = self._ask_weights(questions)
        from_prompt = self._answer_from_prompt(questions)
        if not self._learn():
            return
        self._answer_from_weights(questions, from_prompt)
        self._show_unmoved(untouched)
        self._explain(learned)
        self._revert(questions, untold)
        self._verify()

    # -- the acts --------------------------------------------------------------------------------------------

    def _talk(self, said: Sequence[str]) -> None:
        self._head(
            "A conversation", "every line starts a new one: the model sees no earlier line, only facts"
        )
        for text in said:
            reply, heard = self._agent.turn(text)
            self._out.print(Text("you    ", style="bold") + Text(text))
            self._out.print(Text("model  ", style="bold cyan") + Text(reply.text))
            if learned := screen.learned(heard):
                self._out.print(Text(f"       {learned}", style="dim"))
        n_facts = len(self._store.facts())
        utterances_heard = screen.count(len(said), "utterance")
        self._out.print(f"\n{screen.count(n_facts, 'fact')} stand after {utterances_heard}.")

    def _answer_from_prompt(self, questions: Sequence[str]) -> list[Reply]:
        self._head(
            "Answers from the prompt", "the facts stand in the system message and cost tokens every time"
        )
        replies = self._ask(questions)
        self._show(questions, ("answer", _texts(replies)), ("memory tokens", _costs(replies)))
        return replies

    def _learn(self) -> bool:
        self._head(
            "A cycle", "the facts are trained into a candidate adapter, which is measured before it serves"
        )
        with screen.bars(self._out) as progress:
            done = cycle.run_cycle(
                self._store, IceEditor(self._agent.model, self._config), self._config, progress
            )
        table = promote.table(done.before.scores, done.after.scores, self._config.guards)
        answers = explain.answers(done.after.transcripts)
        self._out.print()
        screen.report(self._out, table, answers, done.adapter, done.verdict, done.seconds)
        self._hold(
            done.verdict.promote, "the candidate was rejected, so the rest of the demo has nothing to show"
        )
        return done.verdict.promote

    def _answer_from_weights(self, questions: Sequence[str], from_prompt: Sequence[Reply]) -> None:
        self._head("Answers from the weights", "the same questions; the facts have left the prompt")
        replies = self._ask(questions)
        earlier, answers = _texts(from_prompt), _texts(replies)
        self._show(
            questions, ("from the prompt", earlier), ("now", answers), ("memory tokens", _costs(replies))
        )
        saved = sum(r.memory_tokens for r in from_prompt) - sum(r.memory_tokens for r in replies)
        self._out.print(f"\n{saved} prompt tokens saved over {screen.count(len(questions), 'question')}.")
        set_aside = self._store.facts(statuses=[FactStatus.QUARANTINED])
        for fact in set_aside:
            self._out.print(f"still in the prompt: {fact.statement} ({fact.quarantine_reason})", markup=False)
        costs_nothing = all(r.memory_tokens == 0 for r in replies)
        self._hold(costs_nothing or bool(set_aside), "learned facts still cost prompt tokens")

    def _show_unmoved(self, before: Sequence[Reply]) -> None:
        self._head("Unrelated answers", "what the conversation did not touch")
        after = self._ask(UNRELATED)
        self._show(UNRELATED, ("before", _texts(before)), ("after", _texts(after)))
        n_moved = sum(b.text != a.text for b, a in zip(before, after, strict=True))
        self._hold(not n_moved, f"{n_moved} of {len(UNRELATED)} unrelated answers moved")

    def _explain(self, learned: Sequence[Fact]) -> None:
        self._head(
            "Why does it say that?", "from the answer's fact back to the sentence, and on to the ledger"
        )
        corrected = [fact for fact in learned if fact.supersedes_id] or learned
        story = explain.explain(self._store, self._config.adapters.dir, corrected[0].id)
        screen.explanation(self._out, story)

    def _revert(self, questions: Sequence[str], untold: Sequence[str]) -> None:
        self._head(
            "All of it undone", "ice-agent revert: the weights of the parent serve, and only a pointer moved"
        )
        learned = self._ask_weights(questions)
        undone, serving = decide.reverted(self._store, self._config)
        self._out.print(f"reverted {undone.id}: {serving.id} serves again.\n")
        weights = self._ask_weights(questions)
        self._show(questions, ("before the conversation", untold), ("now, from the weights", weights))
        self._hold(weights == list(untold), "the weights do not answer as before the conversation")
        again, _ = decide.promoted(self._store, self._config, undone.id)
        self._out.print(f"\nice-agent promote {again.id}: it serves again, as it was.")
        self._hold(self._ask_weights(questions) == learned, "put back, the adapter does not answer as it did")

    def _verify(self) -> None:
        self._head("The ledger", "every step above is an entry of a hash chain")
        checked = self._store.verify()
        problems = [*checked.problems, *explain.damaged(self._store, self._config.adapters.dir)]
        for problem in problems:
            self._out.print(f"[red]problem[/] {problem}")
        tip = self._store.tip()
        entries = screen.count(checked.n_entries, "entry")
        self._out.print(f"{entries} checked, {len(problems)} problems, tip {tip.hash[:12]}")
        self._hold(not problems, "the ledger does not verify")

    # -- how they do it --------------------------------------------------------------------------------------

    def _ask(self, questions: Sequence[str]) -> list[Reply]:
        """Answers as a user would get them, each in a conversation of its own."""
        return [self._agent.answer(question) for question in questions]

    def _ask_weights(self, questions: Sequence[str]) -> list[str]:
        """Answers of the serving adapter with nothing recalled."""
        adapter = plan.serving(self._store)
        model = self._agent.model
        prompts = [model.encode(asking(question)) for question in questions]
        with model.using(adapter.id):
            return [c.text for c in model.complete(prompts)]

    def _show(self, questions: Sequence[str], *columns: tuple[str, Sequence[str]]) -> None:
        self._out.print(screen.side_by_side(questions, *columns))

    def _hold(self, holds: bool, failure: str) -> None:
        if not holds:
            self.failures.append(failure)

    def _head(self, title: str, about: str) -> None:
        self._n_acts += 1
        self._out.print()
        self._out.rule(f"[bold]{self._n_acts}  {title}[/]", align="left", style="dim")
        self._out.print(f"[dim]{about}[/]\n")


def _texts(replies: Sequence[Reply]) -> list[str]:
    return [reply.text for reply in replies]


def _costs(replies: Sequence[Reply]) -> list[str]:
    return [str(reply.memory_tokens) for reply in replies]


if __name__ == "__main__":
    main()
