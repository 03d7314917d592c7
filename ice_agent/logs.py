"""What a log line looks like, and whose it is: tenant, batch, adapter and stage by their ids, as fields.

A line in JSON quotes of an error no more than the first line of what it says: the rest may show rows.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final

from ice_agent.settings import LoggingSettings

FIELDS: Final = ("tenant", "batch", "adapter", "stage")

logger = logging.getLogger(__name__)

_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """Every record made in this block, in this thread, has these fields."""
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def note(**ids: str) -> None:
    """What has just become known: these fields, too, until the block that this was said in ends."""
    _about.set({**_about.get(), **ids})


class Fields(logging.Filter):
    """Puts the fields on each record; one that is not known is empty. For any handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        known = _about.get()
        for name in FIELDS:
            setattr(record, name, known.get(name, ""))
        return True


class TextLines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        known = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        return super().formatMessage(record) + (f" [{known}]" if known else "")


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _error(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def configure(settings: LoggingSettings) -> None:
    """Log to stderr as the settings say, unless the program has handlers of its own already."""
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Fields())
    handler.setFormatter(JsonLines() if settings.format == "json" else TextLines())
    logging.basicConfig(level=settings.level, handlers=[handler])
    if settings.format == "json":
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda raised: _log_uncaught(
            raised.exc_type, raised.exc_value, raised.exc_traceback
        )


def adopt(*libraries: str) -> None:
    """Libraries that print what they log themselves log where everything else does, and each line once."""
    for name in libraries:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True


def is_json() -> bool:
    """Whether whoever reads stderr expects a JSON object a line."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)


def _fields(record: logging.LogRecord) -> dict[str, str]:
    return {name: value for name in FIELDS if (value := getattr(record, name, ""))}


def _error(error: BaseException) -> dict[str, Any]:
    lines = str(error).splitlines()
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "kind": type(error).__name__,
        "message": lines[0] if lines else "",
        "at": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if error is not None:
        logger.critical("ended by an error", exc_info=(kind, error, trace))
