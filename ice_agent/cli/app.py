"""What all verbs share: the app they belong to, their common options, and the place where they work."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import ice_agent
from ice_agent import config as settings
from ice_agent import logs, screen
from ice_agent.config import Config
from ice_agent.errors import ConfigError
from memory import Archive, Fact, FactStore

if TYPE_CHECKING:
    # Only the name is needed here: importing it takes seconds.
    from ice_agent.model import EditableModel

logger = logging.getLogger(__name__)

DELIVERING_SECONDS = 15.0
"""For so long a verb that is done begins to publish, and to tell hooks; the rest is left to the next one."""

REJECTED = 3
INTERRUPTED = 130

app = typer.Typer(
    help="A memory for language models that ends up in their weights.",
    epilog="Settings: config.toml and ICE_* variables. Options of a verb: ice-agent VERB --help",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out, err = screen.console(), screen.console(stderr=True)

ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", metavar="PATH", help="Settings file [default: ./config.toml, if any]."),
]


def _named(value: str | None) -> str | None:
    """Refuses a name without a letter, which would silently mean the default."""
    if value is not None and not value.strip():
        raise typer.BadParameter("a name cannot be empty; leave the option out for the default")
    return value


TenantName = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        metavar="NAME",
        help="Whose memory [default: agent.tenant in the settings].",
        callback=_named,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


@app.callback(invoke_without_command=True)
def version(
    shown: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if shown:
        print(f"ice-agent {ice_agent.__version__}")
        raise typer.Exit


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a verb works: the settings, all that is remembered, and what the tenant told."""

    config: Config
    of_all: Config
    """The settings before they are narrowed to what concerns the tenant."""
    archive: Archive
    store: FactStore


@contextmanager
def opened(
    config_path: Path | None, tenant: str | None, *, migrate: bool = False, delivers: bool = False
) -> Iterator[Place]:
    """The place that the settings name. A verb that `delivers` publishes and tells hooks in the end."""
    config = settings.load(config_path)
    logs.configure(config.logging)
    with Archive.open(config.store.url, migrate=migrate, announced=config.hooks.of.keys()) as archive:
        try:
            store = archive.store(tenant or config.agent.tenant)
            yield Place(config=config.of(store.tenant), of_all=config, archive=archive, store=store)
        finally:
            if delivers:
                _deliver(archive, config)


def _deliver(archive: Archive, config: Config) -> None:
    """What the verb did is done, whatever hooks and an outside engine make of it."""
    # Here, because what counts failures takes its time to be imported.
    if config.publish.engine:
        from ice_agent import publish

        publish.deliver(archive, config, DELIVERING_SECONDS)
    if config.hooks.of and archive.outbox.every():
        from ice_agent import hooks

        try:
            hooks.deliver(archive, config.hooks, DELIVERING_SECONDS)
        except ConfigError as error:
            logger.error("%s", error)


def note_unknown(at: Place, tenant: str | None) -> None:
    """Somebody who was named and never told anything may be a slip of the keyboard."""
    if tenant is not None and not at.store.exists():
        err.print(f"nothing is known of {tenant!r}: nobody of this name was ever told anything", markup=False)


def load_model(config: Config) -> EditableModel:
    with err.status("loading the model ..."):
        from ice_agent.model import EditableModel

        # Both put a handler of their own on their loggers when they are imported.
        logs.adopt("huggingface_hub", "transformers")
        return EditableModel.load(config.model, config.lora)


def print_facts(found: Sequence[Fact], as_json: bool, when_empty: str) -> None:
    if as_json:
        print_json({"facts": found})
    else:
        out.print(screen.facts(found) if found else when_empty)


def print_json(value: object) -> None:
    print(screen.as_json(value))
