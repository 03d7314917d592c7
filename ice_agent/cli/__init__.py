"""The command line: each verb reads its words, calls one function and prints what it returns.

People get tables; `--json` gives one object on stdout, everything else goes to stderr. torch and transformers
are imported inside the verbs that need a model, so that the others start at once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from ice_agent import logs
from ice_agent.cli.app import INTERRUPTED, REJECTED, app, print_json
from ice_agent.errors import IceError
from memory import Forged, StoreError

# Importing a module of verbs is what makes them part of the app, in the order of the help.
# isort: off
from ice_agent.cli import telling  # noqa: F401
from ice_agent.cli import refreshing  # noqa: F401
from ice_agent.cli import learning  # noqa: F401
from ice_agent.cli import adapters  # noqa: F401
from ice_agent.cli import lineage  # noqa: F401
from ice_agent.cli import auditing  # noqa: F401
from ice_agent.cli import watching  # noqa: F401
from ice_agent.cli import serving  # noqa: F401
from ice_agent.cli import measuring  # noqa: F401
# isort: on

logger = logging.getLogger(__name__)

__all__ = ["INTERRUPTED", "REJECTED", "main", "run_verb", "verbs"]


def main() -> NoReturn:
    """The console script."""
    sys.exit(run_verb(sys.argv[1:]))


def run_verb(arguments: Sequence[str]) -> int:
    """Run one verb and return its exit code.

    What is refused is one line on stderr; of a command line that was right also, under `--json`,
    {"error": ...} on stdout.
    """
    words = list(arguments) or ["--help"]
    try:
        code = typer.main.get_command(app).main(words, prog_name="ice-agent", standalone_mode=False)
    except typer.TyperException as error:
        verb = getattr(getattr(error, "ctx", None), "command_path", "ice-agent")
        return _complain(f"{_refusal(error)} (see `{verb} --help`)", error.exit_code)
    except (IceError, StoreError, Forged) as error:
        return _complain(str(error), 1, as_json="--json" in words)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return _complain(what, 1, as_json="--json" in words)
    except typer.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def verbs() -> dict[str, set[str]]:
    """The verbs in their order, each with its options."""
    group: Any = typer.main.get_command(app)
    return {
        name: {word for p in verb.params for word in (*p.opts, *p.secondary_opts)}
        for name, verb in group.commands.items()
    }


def _refusal(error: typer.TyperException) -> str:
    """What is wrong with a command line, without the words of the library that found it."""
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    if message.startswith("Got unexpected extra argument"):
        return f"{message}: put words that belong together in quotes"
    return message


def _complain(message: str, code: int, *, as_json: bool = False) -> int:
    line = " ".join(message.split())
    if as_json:
        print_json({"error": line})
    if logs.is_json():
        logger.error("%s", line)
    else:
        print(f"ice-agent: {line}", file=sys.stderr)
    return code
