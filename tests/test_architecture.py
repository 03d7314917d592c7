"""Imports go down only, and each heavy library has its owners. Read from the source, nothing is imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).parents[1]

# A module imports rows below its own, never its own row. What is new in ice_agent gets a place here.
ROWS = (
    ("__main__",),
    ("cli", "demo"),
    ("server",),
    ("bench", "chat"),
    ("outgoing",),
    ("screen",),
    ("langchain",),
    ("worker", "publish", "hooks", "metrics"),
    ("executors",),
    ("agent", "engine", "memories"),
    ("rebuild", "replay", "decide"),
    ("cycle",),
    ("work", "ice_editor"),
    ("editor", "ladder", "difference", "verify"),
    ("plan", "explain", "forget", "card", "garbage", "intake", "leasing", "schedule"),
    ("recall", "collect", "refresh", "edit_request", "ice", "evaluate", "leak", "promote"),
    ("curvature",),
    ("lessons",),
    ("survey", "checkpoint"),
    ("model", "external"),
    ("low_rank", "manifest", "probes", "suites", "transcripts", "turns", "writing"),
    ("batching", "device", "digest", "generation"),
    ("distribution",),
    ("reference",),
    ("watch",),
    ("logs",),
    ("admission",),
    ("config",),
    ("settings", "relations"),
    ("errors", "clocks", "background"),
    ("__init__",),
)
# What the package offers itself (`from ice_agent import Memory`), imported when it is asked for.
OFFERED = {"memories"}

ROW = {module: row for row, modules in enumerate(ROWS) for module in modules}

# Which modules may import a heavy library.
OWNERS = {
    "sqlalchemy": {"memory", "refresh"},
    "alembic": {"memory"},
    "transformers": {"model", "reference"},
    "peft": {"model"},
    "tokenizers": {"model", "reference"},
    "safetensors": {"model", "checkpoint", "bench", "reference"},
    "torch": {
        "batching",
        "device",
        "digest",
        "engine",
        "generation",
        "low_rank",
        "model",
        "checkpoint",
        "survey",
        "distribution",
        "lessons",
        "curvature",
        "ice",
        "evaluate",
        "leak",
        "bench",
        "reference",
    },
    "langchain_core": {"collect", "recall", "agent", "langchain", "memories"},
    "langchain": {"collect", "recall"},
    "langgraph": {"langchain"},
    "prometheus_client": {"watch", "metrics"},
    "apscheduler": {"clocks"},
    "httpx": {"refresh", "external"},
    "jsonpath": {"refresh"},
    "tenacity": {"refresh"},
    "ray": {"executors"},
    "typer": {"cli"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "uvicorn": {"server"},
}

HEAVY = {"torch", "transformers", "peft"}

REFUSED_NAMES = {"utils", "util", "helpers", "helper", "manager", "core", "base", "common", "misc"}


class Import(NamedTuple):
    """One imported module, as `from memory import Fact` -> memory.Fact, and where it stands."""

    path: Path
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(PROJECT)}:{self.line} imports {self.name}"


def test_ice_agent_imports_go_down_only():
    wrong = [
        str(found)
        for found in _imports("ice_agent")
        if (target := _ice_agent_module(found.name))
        and not _may_import(_module(found.path), target)
        and not (_module(found.path) == "__init__" and target in OFFERED)
    ]
    assert wrong == []


def test_every_module_of_ice_agent_has_a_row():
    modules = {_module(path) for path in _sources("ice_agent")}
    assert modules - set(ROW) == set(), "give it a place in ROWS, and in the layout of the README"


def test_memory_knows_nothing_of_ice_agent():
    assert [str(found) for found in _imports("memory") if found.name.split(".")[0] == "ice_agent"] == []


def test_the_nouns_need_the_standard_library_only():
    nouns = [found for found in _imports("memory") if found.path.name in ("records.py", "source_records.py")]
    allowed = sys.stdlib_module_names
    wrong = [found for found in nouns if found.name.split(".")[0] not in allowed]
    assert [str(found) for found in wrong if not found.name.startswith("memory.records.")] == []


def test_ice_agent_takes_memory_as_a_whole():
    parts = {path.stem for path in _sources("memory")}
    wrong = [
        str(found)
        for found in _imports("ice_agent")
        if found.name.startswith("memory.") and found.name.split(".")[1] in parts
    ]
    assert wrong == [], "write `from memory import Fact`, never memory.tables"


@pytest.mark.parametrize("library", OWNERS)
def test_a_heavy_library_is_imported_by_its_owners_only(library):
    wrong = [
        str(found)
        for package in ("ice_agent", "memory")
        for found in _imports(package)
        if found.name.split(".")[0] == library and _module(found.path) not in OWNERS[library]
    ]
    assert wrong == []


def test_migrations_never_import_the_code_that_moves_on():
    versions = [found for found in _imports("migrations") if "versions" in found.path.parts]
    assert [str(found) for found in versions if found.name.split(".")[0] in ("memory", "ice_agent")] == []


def test_no_module_has_a_name_that_says_nothing():
    named = [path for package in ("ice_agent", "memory") for path in _sources(package)]
    assert [str(path) for path in named if path.stem in REFUSED_NAMES] == []


@pytest.mark.parametrize("modules", ["cli", "cycle, ice_agent.rebuild, ice_agent.schedule"])
def test_the_command_line_and_a_cycle_start_without_the_heavy_libraries(modules):
    question = f"import sys, ice_agent.{modules}; print(*{HEAVY} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", question], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == ""


def test_an_import_upwards_would_be_found():
    assert not _may_import("promote", "cycle")
    assert not _may_import("ice", "evaluate")
    assert _may_import("cycle", "ice")
    assert _may_import("bench", "bench")


def _may_import(module: str, target: str) -> bool:
    return module == target or ROW.get(target, -1) > ROW.get(module, -1)


def _sources(package: str) -> list[Path]:
    return sorted((PROJECT / package).rglob("*.py"))


def _module(path: Path) -> str:
    """The name that has a row or owns a library: cli for ice_agent/cli.py, bench for ice_agent/bench/a.py."""
    package, *rest = path.relative_to(PROJECT).with_suffix("").parts
    return rest[0] if package == "ice_agent" else package


def _ice_agent_module(name: str) -> str:
    """The module of ice_agent that an imported name belongs to; empty for anything else."""
    package, _, rest = name.partition(".")
    if package != "ice_agent":
        return ""
    module = rest.partition(".")[0]
    return module if module in ROW else "__init__"


@cache
def _imports(package: str) -> tuple[Import, ...]:
    return tuple(found for path in _sources(package) for found in _imports_of(path))


def _imports_of(path: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(path, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (Import(path, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
