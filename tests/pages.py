"""What of docs/ is written by the code itself. `python -m tests.pages` writes it again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from fastapi.testclient import TestClient

from ice_agent.config import Config
from ice_agent.server.app import create
from ice_agent.settings import SOURCES, Section, SuiteSettings
from memory import AccessRole
from tests import serving

PROJECT: Final = Path(__file__).parents[1]

_BEGIN, _END = "<!-- made by `python -m tests.pages` -->", "<!-- up to here -->"
_STATED: Final = re.compile(r"^(\w+) = (.*?)\s+# (.*)$")

_INTRODUCTION: Final = """# Configuration

A setting has a default; `config.toml` in the working directory (or the file that `--config` names)
overrides it, and the environment overrides the file: `ICE_EDIT__STEPS=60` sets `steps` in `[edit]`, a list
is written as JSON. A file of yours holds only what differs. What is not known, or beyond its limits, is
refused in one line that names the place. The [shipped file](../config.toml) states every default.

This page is made from the code by `python -m tests.pages`, and a test says when it is not up to date.
"""


def configuration(_: str) -> str:
    """All settings: types and limits from the code, what they do from the comments of config.toml."""
    comments = list(_sections((PROJECT / "config.toml").read_text(encoding="utf-8").splitlines()))
    said = {heading: (about, settings) for heading, about, settings in comments}
    parts = [_INTRODUCTION]
    for name, values in Config():
        about, settings = said[f"[{name}]"]
        parts.append(f"## [{name}]\n\n{about or type(values).__doc__}\n\n{_table([type(values)], settings)}")
        if name == "guards":
            parts.append(_tables_of("guards.suites", [SuiteSettings], said))
        if name == "refresh":
            parts.append(_tables_of("refresh.sources", list(SOURCES.values()), said))
    return "\n".join(parts)


def http(page: str) -> str:
    """The page of routes with its tables made anew: who may call each is found by calling it."""
    with TemporaryDirectory() as folder, serving.opened(Path(folder)) as stand_ins:
        store = stand_ins.archive.store("somebody")
        keys = {role: store.keys.issue("page", role)[1] for role in AccessRole}
        app = create(stand_ins)
        with TestClient(app, serving.LOCAL, raise_server_exceptions=False) as client:
            tables = dict[str, str]()
            for path, methods in app.openapi()["paths"].items():
                for method, operation in methods.items():
                    (tag,) = operation["tags"]
                    who = _who(client, method, path, keys)
                    said = " ".join(operation["description"].partition("\n\n")[0].split())
                    tables.setdefault(tag, "| route | who | what it does |\n|---|---|---|\n")
                    tables[tag] += f"| `{method.upper()} {path}` | {who} | {said} |\n"
    made = "\n".join(f"### {tag}\n\n{table}" for tag, table in tables.items())
    before, _, rest = page.partition(_BEGIN)
    return f"{before}{_BEGIN}\n\n{made}\n{_END}{rest.partition(_END)[2]}"


def _who(client: TestClient, method: str, path: str, keys: Mapping[AccessRole, str]) -> str:
    """Who is let in, by what a request without anything in it is refused for."""
    url = re.sub(r"\{\w+\}", "x", path)
    if client.request(method, url).status_code != HTTPStatus.UNAUTHORIZED:
        return "anybody"
    may = [
        role
        for role, key in keys.items()
        if client.request(method, url, headers={"Authorization": f"Bearer {key}"}).status_code
        != HTTPStatus.FORBIDDEN
    ]
    return ", ".join(may)


GENERATED: Final[Mapping[str, Callable[[str], str]]] = {
    "docs/configuration.md": configuration,
    "docs/http.md": http,
}
"""Each page that is, or has a part that is, with what makes it from what it was."""


def _sections(lines: list[str]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Each heading of the shipped file, what is said above it, and beside each of its settings."""
    for n, line in enumerate(lines):
        is_shown = line.startswith("# [[")
        heading = line.removeprefix("# ")
        if not re.fullmatch(r"\[{1,2}[\w.]+\]{1,2}", heading):
            continue
        above = [] if is_shown else list(takewhile(lambda text: text.startswith("# "), reversed(lines[:n])))
        about = " ".join(text.removeprefix("# ") for text in reversed(above))
        below = takewhile(lambda text: text and not text.lstrip("# ").startswith("["), lines[n + 1 :])
        stated = [_STATED.match(text.removeprefix("# ") if is_shown else text) for text in below]
        yield heading, about, {found[1]: found[3] for found in stated if found}


def _tables_of(name: str, kinds: list[type[Section]], said: Mapping[str, tuple[str, dict[str, str]]]) -> str:
    return f"### [[{name}]]\n\n{_table(kinds, said[f'[[{name}]]'][1])}"


def _table(kinds: list[type[Section]], said: Mapping[str, str]) -> str:
    """One row a setting; of several kinds of a section, one row for what they share."""
    rows = dict[str, str]()
    for kind in kinds:
        schema = kind.model_json_schema()
        for name, limits in schema["properties"].items():
            is_needed = name in schema.get("required", ())
            default = "must be set" if is_needed else f"`{json.dumps(limits.get('default'))}`"
            if name == "kind":
                limits = {"enum": list(SOURCES)}
            elif limits.get("default", 0) is None:
                default = "none"
            cells = (f"`{name}`", _type(limits), default, said[name].replace("|", "\\|"))
            # What takes a default in one kind only is a stricter form of the same in another.
            rows.setdefault(name, f"| {' | '.join(cells)} |\n")
    return "| setting | type | default | what it does |\n|---|---|---|---|\n" + "".join(rows.values())


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in schema:
        return _type(next(kind for kind in schema["anyOf"] if kind != {"type": "null"}))
    if "enum" in schema:
        return " or ".join(f'`"{value}"`' for value in schema["enum"])
    if "const" in schema:
        return f'`"{schema["const"]}"`'
    match schema.get("type"):
        case "array":
            return (
                "list of tables"
                if "$ref" in schema["items"] or "oneOf" in schema["items"]
                else "list of texts"
            )
        case "string" if schema.get("format") in ("path", "file-path", "directory-path"):
            return "path"
        case "string":
            if schema.get("maxLength") == 1:
                return "one character"
            return "text, not empty" if "minLength" in schema else "text"
        case "boolean":
            return "`true` or `false`"
        case "integer" | "number" as kind:
            return f"{'whole number' if kind == 'integer' else 'number'}{_limits(schema)}"
    raise ValueError(f"no words for {schema}")


def _limits(schema: Mapping[str, Any]) -> str:
    low, above, high = (schema.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and high is not None:
        return f", {low:g}-{high:g}"
    return f", over {above:g}" if above is not None else f", at least {low:g}" if low is not None else ""


def _write() -> None:
    for page, made in GENERATED.items():
        path = PROJECT / page
        path.write_text(made(path.read_text(encoding="utf-8") if path.exists() else ""), encoding="utf-8")


if __name__ == "__main__":
    _write()
