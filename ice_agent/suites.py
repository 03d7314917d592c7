"""The probes that people bring to the guards: the files of [[guards.suites]], read. It measures nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ice_agent import relations
from ice_agent.errors import ConfigError
from ice_agent.settings import SuiteSettings

FORM = 'write {"prompt": ..., "expected": ...} or {"text": ...}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A prompt, and the answer that is wanted in all its spellings."""

    prompt: str
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSuite:
    """One file: questions to be answered, texts to be read, or both."""

    name: str
    questions: tuple[Question, ...]
    texts: tuple[str, ...]


class _Malformed(Exception):
    """What a row should be and is not."""


def read(suites: Sequence[SuiteSettings]) -> tuple[GuardSuite, ...]:
    """The probes in these files. Raises ConfigError with the file, and with the line that is wrong."""
    return tuple(_read(suite) for suite in suites)


def _read(suite: SuiteSettings) -> GuardSuite:
    rows = list(_rows(suite))
    if not rows:
        raise ConfigError(f"guard suite {suite.name!r}: {suite.path} holds no probes: {FORM}, one a line")
    return GuardSuite(
        name=suite.name,
        questions=tuple(row for row in rows if isinstance(row, Question)),
        texts=tuple(row for row in rows if isinstance(row, str)),
    )


def _rows(suite: SuiteSettings) -> Iterator[Question | str]:
    for number, line in enumerate(_lines(suite), start=1):
        if line.strip():
            try:
                yield _row(line)
            except _Malformed as error:
                raise ConfigError(f"guard suite {suite.name!r}: {suite.path}:{number}: {error}") from None


def _lines(suite: SuiteSettings) -> list[bytes]:
    try:
        # Of all that str.splitlines() cuts at, only this may not stand inside a JSON string.
        return suite.path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except FileNotFoundError:
        raise ConfigError(
            f"guard suite {suite.name!r}: no file at {suite.path} (looked for in {Path.cwd()}; mend `path`)"
        ) from None
    except OSError as error:
        raise ConfigError(f"guard suite {suite.name!r}: cannot read {suite.path}: {error.strerror}") from None


def _row(line: bytes) -> Question | str:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise _Malformed("this is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise _Malformed(f"this is not JSON: {error}") from None
    if not isinstance(row, dict) or row.keys() not in ({"prompt", "expected"}, {"text"}):
        raise _Malformed(f"{_named(row)}: {FORM}")
    if "text" in row:
        return _words(row["text"], "text")
    expected = row["expected"] if isinstance(row["expected"], list) else [row["expected"]]
    if not expected:
        raise _Malformed("`expected` is an empty list: give it a spelling")
    spellings = tuple(_words(spelling, "expected") for spelling in expected)
    if not all(map(relations.normal, spellings)):
        raise _Malformed("`expected` has no word in it: any empty answer would be right")
    return Question(prompt=_words(row["prompt"], "prompt"), expected=spellings)


def _named(row: Any) -> str:
    """What stands there instead, without a word of what it says."""
    if not isinstance(row, dict):
        return "this is no JSON object"
    return f"this has the fields {', '.join(map(repr, row))}" if row else "this has no fields"


def _words(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Malformed(f"`{field}` should be text with something in it")
    try:
        value.encode()
    except UnicodeEncodeError:
        # Half a character, as JSON can escape it: no tokenizer and no file would take it.
        raise _Malformed(f"`{field}` is no whole text: it holds half a character") from None
    return value
