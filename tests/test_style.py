"""Style is part of the gate: ruff, mypy, short files, and nothing in them that only this machine has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
MAX_LINES = 600
# The verifier is one file by promise: whoever trusts nothing here copies that one and runs it.
LONGER = {Path("memory/audit.py"): 760}

# Written as patterns that do not match themselves.
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:root|home|work|opt|Users|mnt)/\w|[A-Z]:\\Users")
REGISTRY_HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.|download\.pytorch\.|registry\.npmjs|crates\.io|/simple/\w", re.I
)


@pytest.mark.parametrize("command", [["check"], ["format", "--check", "--diff"]], ids=["check", "format"])
def test_ruff_has_nothing_to_say(command):
    _expect_silence("ruff", *command, "--quiet", ".")


def test_mypy_has_nothing_to_say():
    _expect_silence("mypy")


def test_no_source_file_is_longer_than_one_can_read():
    lengths = {path: len(_text(path).splitlines()) for path in _project_files() if path.suffix == ".py"}
    too_long = {str(p): length for p, length in lengths.items() if length > LONGER.get(p, MAX_LINES)}
    assert too_long == {}


@pytest.mark.parametrize("pattern", [MACHINE_PATHS, REGISTRY_HOSTS], ids=["machine paths", "registry hosts"])
def test_no_file_names_what_only_the_developers_machine_has(pattern):
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path in _project_files()
        for number, line in enumerate(_text(path).splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


def test_the_patterns_find_what_they_are_for():
    assert MACHINE_PATHS.search("see /" + "home/ann/models")
    assert REGISTRY_HOSTS.search("https://pypi" + ".org/project")


def _expect_silence(tool: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", tool, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"{tool} says:\n{done.stdout}{done.stderr}", pytrace=False)


def _project_files() -> list[Path]:
    """What git tracks or would track, relative to the project."""
    if not (shutil.which("git") and (PROJECT / ".git").exists()):
        pytest.skip("not a git checkout, so the project's files cannot be told from what lies beside them")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(name) for name in listed.stdout.split("\0") if name and (PROJECT / name).is_file()]


def _text(path: Path) -> str:
    """The file's text; empty for a binary file."""
    try:
        return (PROJECT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
