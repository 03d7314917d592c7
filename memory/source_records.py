"""The nouns of reading a source: what its rows say, what changed in them, and how far it was read.

As `records`: the standard library only, and nothing of SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from memory.records import CandidateFact


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFact:
    """What one row of a source says now."""

    key: tuple[str, ...]
    """What the row is known by from one run to the next."""
    place: str
    """Where it stands, such as "line 12"."""
    candidate: CandidateFact


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChange:
    """A row of a source that says something else than last time; without a candidate, it vanished."""

    row: str
    """Stands for the key, which it does not show."""
    digest: str
    place: str
    candidate: CandidateFact | None
    is_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChanges:
    """What a source says, against what it told before."""

    changed: tuple[SourceChange, ...]
    """Rows that are new or say something else, in their order."""
    vanished: tuple[SourceChange, ...]
    n_told: int
    """Rows that it told before."""
    digest: str
    """Of all that it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """How far the reading of a source has come."""

    name: str
    ran_at: datetime
    """When it was last tried."""
    completed_at: datetime | None
    """When all that it said was last taken over."""
    problem: str
    """Why the last try came to nothing; empty when it did not."""
    n_unreadable: int
    """Rows that said not even which row they are, when all else was last taken over."""
    validators: Mapping[str, str]
    """What tells an unchanged feed from a changed one without reading it, such as its ETag."""
    held: str | None
    """The digest of what it said when its changes were held for approval."""
    held_because: str
    is_approved: bool
    """Somebody approved the held changes; they are being applied."""
    discarded: str | None
    """The digest of what it said when somebody refused its changes."""
