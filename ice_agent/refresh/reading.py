"""The rows of a source: of a file, a feed or a query. Knows no facts; reads, and writes nowhere.

A row that cannot be read is a problem with its place, and the next row follows. What cannot be read as a
whole is a RefreshError, before its first row or after any of them: whoever asks takes all rows or none.
"""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import httpx
import jsonpath
import sqlalchemy as sa
import tenacity

from ice_agent.errors import RefreshError
from ice_agent.settings import FIELD, CsvSource, HttpSource, JsonlSource, SourceSettings, SqlSource

TRIES: Final = 3
"""Of a feed that does not answer, or says that it cannot just now."""

ROWS_AT_ONCE: Final = 1000
"""Rows of a query that are fetched together."""


@dataclass(frozen=True, slots=True)
class Row:
    place: str
    """Where it stands, such as "line 12"."""
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that was skipped, and why."""

    place: str
    reason: str
    key: tuple[str, ...] | None = None
    """Which row it is, if it says that much."""


@dataclass(frozen=True, slots=True)
class Feed:
    """What a source gives. `validators` ask it next time whether it has changed at all."""

    rows: Iterator[Row | Problem]
    validators: Mapping[str, str] = field(default_factory=dict)


def read(source: SourceSettings, validators: Mapping[str, str]) -> Feed | None:
    """The source's rows; None when it says that nothing changed since it gave these validators."""
    match source:
        case JsonlSource():
            return Feed(_lines(source))
        case CsvSource():
            return Feed(_records(source))
        case SqlSource():
            return Feed(_found(source))
        case HttpSource():
            return _feed(source, validators)


def shown(source: SourceSettings) -> str:
    """Where the source is, without a password."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", source.location)


# Files


def _lines(source: JsonlSource) -> Iterator[Row | Problem]:
    with _opened(source) as file:
        for number, line in enumerate(file, 1):
            place = f"line {number}"
            if not line.strip():
                continue
            try:
                fields = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError:
                yield Problem(place, "it is not UTF-8")
            except (ValueError, RecursionError) as error:
                yield Problem(place, f"it is not JSON: {error}")
            else:
                yield _row(place, fields)


def _records(source: CsvSource) -> Iterator[Row | Problem]:
    # What is no UTF-8 becomes surrogates, which no text has: only its own row is lost.
    with _opened(source) as binary:
        lines = (line.decode("utf-8", "surrogateescape") for line in binary)
        first = next(lines, "").removeprefix("\ufeff")
        reader = csv.reader(chain([first], lines), delimiter=source.delimiter, strict=True)
        header = [name.strip() for name in next(reader, [])]
        if lacking := sorted(_named_fields(source) - set(header)):
            columns = ", ".join(map(repr, header)) or "none"
            raise RefreshError(source.name, f"{shown(source)} has no column {lacking[0]!r}, but {columns}")
        if len(set(header)) < len(header):
            raise RefreshError(source.name, f"two columns of {shown(source)} have the same name")
        yield from _under(header, reader)


def _under(header: list[str], reader: Any) -> Iterator[Row | Problem]:
    while True:
        # A value in quotes may have line breaks: a record is where it begins.
        place = f"line {reader.line_num + 1}"
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(place, f"it is not CSV: {error}")
            continue
        if not values:
            continue
        if len(values) != len(header):
            yield Problem(place, f"it has {len(values)} columns, and the header {len(header)}")
        elif any("\ud800" <= character <= "\udfff" for character in "".join(values)):
            yield Problem(place, "it is not UTF-8")
        else:
            yield Row(place, dict(zip(header, values, strict=True)))


@contextmanager
def _opened(source: JsonlSource | CsvSource) -> Iterator[Iterator[bytes]]:
    try:
        with Path(source.location).open("rb") as file:
            yield file
    except OSError as error:
        raise RefreshError(source.name, f"cannot read {shown(source)}: {error.strerror or error}") from error


def _named_fields(source: SourceSettings) -> set[str]:
    templates = (source.subject, source.relation, source.object, source.valid_from, source.valid_until)
    return {*source.key, *(name for template in templates for name in FIELD.findall(template))}


# Feeds


class _TryAgain(Exception):
    """The feed may answer another time."""


def _feed(source: HttpSource, validators: Mapping[str, str]) -> Feed | None:
    try:
        path = jsonpath.compile(source.rows)
    except jsonpath.JSONPathError as error:
        reason = str(error).splitlines()[0]
        raise RefreshError(source.name, f"rows = {source.rows!r} is no JSONPath: {reason}") from error
    again = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_random_exponential(multiplier=1, max=10),
        retry=tenacity.retry_if_exception_type(_TryAgain),
        reraise=True,
    )
    try:
        answer = again(_fetched, source, validators)
    except _TryAgain as error:
        raise RefreshError(source.name, f"{error} ({TRIES} tries)") from error
    if answer is None:
        return None
    body, headers = answer
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefreshError(source.name, f"{shown(source)} is not JSON, or not all of it: {error}") from error
    rows = [found.obj for found in path.finditer(document)]
    if not rows:
        raise RefreshError(source.name, f"rows = {source.rows!r} finds nothing in {shown(source)}")
    if len(rows) == 1 and isinstance(rows[0], list):
        wanted = f"{source.rows}[*]"
        raise RefreshError(source.name, f"rows = {source.rows!r} finds a list: write {wanted!r}")
    return Feed((_row(f"row {number}", fields) for number, fields in enumerate(rows, 1)), headers)


def _fetched(source: HttpSource, validators: Mapping[str, str]) -> tuple[bytes, dict[str, str]] | None:
    """The body with its validators; None for one that has not changed. Raises _TryAgain or RefreshError."""
    where, deadline = shown(source), time.monotonic() + source.timeout_seconds
    asked = {
        name: validators[validator]
        for name, validator in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
        if validator in validators
    }
    limit, body = round(source.max_megabytes * 1_000_000), bytearray()
    try:
        with httpx.stream(
            "GET", source.location, headers={"Accept": "application/json", **asked},
            follow_redirects=True, timeout=source.timeout_seconds,
        ) as response:  # fmt: skip
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return None
            if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                raise _TryAgain(f"{where} answered {response.status_code} {response.reason_phrase}")
            if not response.is_success:
                answered = f"{response.status_code} {response.reason_phrase}"
                raise RefreshError(source.name, f"{where} answered {answered}")
            for part in response.iter_bytes():
                body += part
                if len(body) > limit:
                    over = f"{where} is larger than max_megabytes = {source.max_megabytes:g}"
                    raise RefreshError(source.name, over)
                if time.monotonic() > deadline:
                    # A server that drips never times out by itself.
                    raise _TryAgain(f"{where} took longer than timeout_seconds = {source.timeout_seconds:g}")
            headers = response.headers
    except httpx.TimeoutException as error:
        late = f"{where} took longer than timeout_seconds = {source.timeout_seconds:g}"
        raise _TryAgain(late) from error
    except httpx.TransportError as error:
        raise _TryAgain(f"cannot reach {where}: {error}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RefreshError(source.name, f"cannot read {where}: {error}") from error
    return bytes(body), {name: headers[name] for name in ("etag", "last-modified") if name in headers}


def _row(place: str, fields: Any) -> Row | Problem:
    return Row(place, fields) if isinstance(fields, dict) else Problem(place, "it is not a JSON object")


# Queries


def _found(source: SqlSource) -> Iterator[Row | Problem]:
    try:
        with _reader(source).connect() as connection:
            # A colon in a query is a colon, and no parameter of ours.
            query = re.sub(r"(?<![:\w\\]):(?=\w)", r"\:", source.query)
            found = connection.execute(sa.text(query))
            if not found.returns_rows:
                raise RefreshError(source.name, "its query finds no rows: it has to be a SELECT")
            for number, fields in enumerate(found.mappings(), 1):
                yield Row(f"row {number}", dict(fields))
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise RefreshError(source.name, f"cannot query {shown(source)}: {reason}") from error


def _reader(source: SqlSource) -> sa.Engine:
    """Connections that can only read, as far as the database lets one say so; none is kept."""
    url = sa.make_url(source.location)
    backend = url.get_backend_name()
    if backend == "sqlite":
        # By its URI, because a file that is not there would be made.
        uri = f"{Path(url.database or '').resolve().as_uri()}?mode=ro"
        opened = partial(sqlite3.connect, uri, uri=True)
        engine = sa.create_engine("sqlite://", creator=opened, poolclass=sa.NullPool)
        return engine.execution_options(yield_per=ROWS_AT_ONCE)
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    only_reads = {"postgresql_readonly": True} if backend in ("postgresql", "postgres") else {}
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    return engine.execution_options(yield_per=ROWS_AT_ONCE, **only_reads)
