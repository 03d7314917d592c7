"""What is read on a schedule: the rows of a source become facts, as far as they changed since the last time.

A run applies its changes in batches, each one transaction with what is remembered of it: one that is killed
is completed by the next, and nothing is told twice. A run that would change too much waits for a person.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Final

from ice_agent import admission, clocks, watch
from ice_agent.config import Config
from ice_agent.errors import RefreshError, instead
from ice_agent.refresh import reading
from ice_agent.refresh.clock import due, next_run
from ice_agent.refresh.mapping import mapped
from ice_agent.refresh.reading import Problem, Row
from ice_agent.settings import Collect, SourceSettings
from memory import (
    Archive,
    FactStore,
    Progress,
    Rate,
    SourceChange,
    SourceChanges,
    SourceFact,
    SourceState,
    Told,
)

__all__ = [
    "Outcome", "Problem", "Report", "Standing", "approve", "chosen", "discard", "due", "held_because",
    "next_run", "refresh", "refresh_all", "standing",
]  # fmt: skip

logger = logging.getLogger(__name__)

BATCH: Final = 200
"""Rows that are taken over in one transaction."""

STRIDE: Final = 1000
"""Rows read between two reports of progress."""

SHOWN: Final = 20
"""Changes that a report puts into words."""


class Outcome(StrEnum):
    TAKEN_OVER = "taken over"  # its changes are facts, or wait for review one by one
    UNCHANGED = "unchanged"  # it says what it said before
    HELD = "held"  # it would change too much: all of it waits for a person
    DISCARDED = "discarded"  # it still says what a person refused
    FAILED = "failed"  # it could not be read, and nothing was changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What refreshing a source did, or with a dry run would do."""

    source: str
    tenant: str
    outcome: Outcome
    reason: str = ""
    """Why it is held, or failed."""
    n_rows: int = 0
    """Rows that tell something."""
    n_new: int = 0
    n_changed: int = 0
    n_vanished: int = 0
    """Rows whose facts are taken back, where nobody else told them."""
    n_spared: int = 0
    """Rows that seem to have vanished, and may be among those that could not be read."""
    learned: int = 0
    superseded: int = 0
    retracted: int = 0
    proposed: int = 0
    """Facts that wait for approval, such as those that contradict somebody who was surer."""
    refused: int = 0
    """Facts that were forgotten once, and are not learned again."""
    says: tuple[str, ...] = ()
    """The first new or changed rows of what waits or would be done, in words."""
    problems: tuple[Problem, ...] = ()
    """The rows that were skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A source as `status` shows it."""

    source: str
    tenant: str
    last_run: datetime | None
    next_run: datetime | None
    """None for a source that is refreshed by hand only."""
    held: str
    """Why its changes wait for approval; empty when none do."""
    problem: str
    """Why its last run failed; empty when it did not."""


def refresh_all(
    archive: Archive,
    config: Config,
    names: Sequence[str] = (),
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> tuple[Report, ...]:
    """Refresh the sources of these names, or all. One that fails says so in its report; the others go on."""
    reports = []
    for source in chosen(config, names):
        store = archive.store(source.tenant)
        try:
            reports.append(refresh(store, source, config.collect, dry_run=dry_run, progress=progress))
        except RefreshError as error:
            logger.info("%s", error)
            if store.exists() and not dry_run:
                store.sources.tried(source.name, str(error))
            failed = Outcome.FAILED
            reports.append(
                Report(source=source.name, tenant=source.tenant, outcome=failed, reason=str(error))
            )
    return tuple(reports)


def chosen(config: Config, names: Sequence[str] = ()) -> tuple[SourceSettings, ...]:
    """The sources of these names, or all. Raises RefreshError for a name that none has."""
    known = {source.name: source for source in config.refresh.sources}
    if not known:
        raise RefreshError("refresh", "there is no source: write [[refresh.sources]] in config.toml")
    for name in names:
        if name not in known:
            raise RefreshError(name, f"no source is called so ({instead(name, known)})")
    return tuple(known[name] for name in names or known)


def refresh(
    store: FactStore,
    source: SourceSettings,
    settings: Collect,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Read a source, and take over what it changed. Raises RefreshError when it cannot be read at all.

    What was approved and not wholly applied is applied first.
    """
    if not store.exists():
        make = f"`ice-agent init --tenant {store.tenant} --shared`"
        raise RefreshError(source.name, f"there is no lineage {store.tenant!r}: make it with {make}")
    state = store.sources.state(source.name)
    if state is not None and state.is_approved and not dry_run:
        _take_over_held(store, source, settings, progress)
        state = store.sources.state(source.name)
    read_as = _read_as(source, settings)
    is_comparable = state is not None and not dry_run and state.validators.get("read as") == read_as
    feed = reading.read(source, state.validators if state is not None and is_comparable else {})
    if feed is None:
        store.sources.tried(source.name)
        return _as_before(source, state)
    found = list(_found(store, source, settings, feed.rows, progress))
    said, changes, report = _compared(store, source, settings, state, found)
    validators = {**feed.validators, "read as": read_as}
    if dry_run:
        return report
    if report.outcome is Outcome.HELD:
        store.sources.hold(
            source.name, said, digest=changes.digest, because=report.reason, validators=validators
        )
    elif report.outcome is Outcome.DISCARDED:
        store.sources.tried(source.name)
    else:
        report = _take_over(store, source, settings, said, report, progress)
        n_unreadable = None if report.n_spared else _n_unreadable(report.problems)
        # What was spared has to be looked at again, whether or not the feed changes until then.
        kept = {} if report.n_spared else validators
        store.sources.finish(source.name, n_unreadable=n_unreadable, validators=kept)
    is_told = report.outcome is Outcome.TAKEN_OVER
    n_changed = report.n_new + report.n_changed + report.n_vanished if is_told else 0
    watch.refreshed(changed=n_changed, malformed=len(report.problems))
    logger.info("refreshed %s: %s", source.name, report.outcome)
    return report


def approve(archive: Archive, config: Config, name: str, progress: Progress | None = None) -> Report:
    """Take over what is held of a source. Raises WrongState when nothing is."""
    (source,) = chosen(config, [name])
    store = archive.store(source.tenant)
    store.sources.approve(name)
    return _take_over_held(store, source, config.collect, progress)


def discard(archive: Archive, config: Config, name: str) -> Report:
    """Drop what is held, until the source says something else again. Raises WrongState when nothing is."""
    (source,) = chosen(config, [name])
    archive.store(source.tenant).sources.discard(name)
    return Report(source=name, tenant=source.tenant, outcome=Outcome.DISCARDED)


def held_because(max_change: float, *, n_rows: int, n_told: int, n_altered: int) -> str:
    """Why a run has to wait for a person; empty when it need not.

    Of the rows that were told before, so many would be altered, which is to say changed or taken back. Rows
    that are new alter none.
    """
    if n_altered and not n_rows:
        return f"it is empty, and told {n_told} rows before"
    if Rate(hits=n_altered, asked=n_told).above(max_change):
        return (
            f"{n_altered} of the {n_told} rows that it told before would change (max_change = {max_change:g})"
        )
    return ""


def standing(archive: Archive, config: Config, at: datetime) -> tuple[Standing, ...]:
    """Where each source stands at this moment."""
    return tuple(
        _standing(
            source,
            archive.store(source.tenant).sources.state(source.name),
            at,
            clocks.zone(config.schedule.timezone),
        )
        for source in config.refresh.sources
    )


def _standing(
    source: SourceSettings, state: SourceState | None, at: datetime, zone: tzinfo | None
) -> Standing:
    last_run = state.ran_at if state else None
    return Standing(
        source=source.name,
        tenant=source.tenant,
        last_run=last_run,
        next_run=next_run(source, last_run, at, zone),
        held=state.held_because if state else "",
        problem=state.problem if state else "",
    )


def _found(
    store: FactStore,
    source: SourceSettings,
    settings: Collect,
    rows: Iterable[Row | Problem],
    progress: Progress | None,
) -> Iterator[SourceFact | Problem]:
    for number, told in enumerate(mapped(rows, source, settings, is_shared=store.is_shared()), 1):
        if progress is not None and number % STRIDE == 0:
            progress(f"reading {source.name}", number, number, "")
        yield told


def _compared(
    store: FactStore,
    source: SourceSettings,
    settings: Collect,
    state: SourceState | None,
    found: Sequence[SourceFact | Problem],
) -> tuple[tuple[SourceChange, ...], SourceChanges, Report]:
    """What is to be taken over, how it was found, and what would come of it."""
    said = [told for told in found if isinstance(told, SourceFact)]
    problems = [told for told in found if isinstance(told, Problem)]
    if problems and not said:
        first = f"{problems[0].place}: {problems[0].reason}"
        raise RefreshError(source.name, f"none of its {len(problems)} rows could be read ({first})")
    broken = [problem.key for problem in problems if problem.key is not None]
    changes = store.sources.compare(source.name, said, broken)
    refused = {change.row for change in changes.changed if _is_refused(change, settings)}
    changed = [change for change in changes.changed if change.row not in refused]
    problems += [
        Problem(change.place, "it is sensitive, and not kept", (change.row,))
        for change in changes.changed
        if change.row in refused
    ]
    vanished, spared = changes.vanished if source.vanished == "retract" else (), 0
    if _n_unreadable(problems) > (state.n_unreadable if state else 0):
        # One of those may be a row that seems to be gone.
        vanished, spared = (), len(vanished)
    n_new = sum(change.is_new for change in changed)
    because = held_because(
        source.max_change,
        n_rows=len(said),
        n_told=changes.n_told,
        n_altered=len(changed) - n_new + len(vanished),
    )
    to_apply = (*changed, *vanished)
    if not to_apply:
        outcome = Outcome.UNCHANGED
    elif because and state is not None and state.discarded == changes.digest:
        outcome = Outcome.DISCARDED
    else:
        outcome = Outcome.HELD if because else Outcome.TAKEN_OVER
    report = Report(
        source=source.name,
        tenant=source.tenant,
        outcome=outcome,
        reason=because,
        n_rows=len(said),
        n_new=n_new,
        n_changed=len(changed) - n_new,
        n_vanished=len(vanished),
        n_spared=spared,
        says=_preview(changed),
        problems=tuple(problems),
    )
    return to_apply, changes, report


def _n_unreadable(problems: Iterable[Problem]) -> int:
    """Rows that do not even say which row they are."""
    return sum(problem.key is None for problem in problems)


def _preview(changed: Sequence[SourceChange]) -> tuple[str, ...]:
    return tuple(f"{c.place}: {c.candidate.statement}" for c in changed[:SHOWN] if c.candidate is not None)


def _is_refused(change: SourceChange, settings: Collect) -> bool:
    candidate = change.candidate
    if candidate is None:
        return False
    secrets = admission.secret_spans(candidate.statement, settings.sensitive)
    return admission.is_refused(candidate, secrets, settings)


def _take_over_held(
    store: FactStore, source: SourceSettings, settings: Collect, progress: Progress | None
) -> Report:
    held = store.sources.held(source.name)
    n_new, n_vanished = sum(c.is_new for c in held), sum(c.candidate is None for c in held)
    report = Report(
        source=source.name,
        tenant=source.tenant,
        outcome=Outcome.TAKEN_OVER,
        n_rows=len(held) - n_vanished,
        n_new=n_new,
        n_changed=len(held) - n_new - n_vanished,
        n_vanished=n_vanished,
    )
    report = _take_over(store, source, settings, held, report, progress)
    store.sources.finish(source.name)
    return report


def _take_over(
    store: FactStore,
    source: SourceSettings,
    settings: Collect,
    changes: Sequence[SourceChange],
    report: Report,
    progress: Progress | None,
) -> Report:
    """Apply changes batch by batch, and count what came of them."""
    counts = Counter[str]()
    for start in range(0, len(changes), BATCH):
        batch = changes[start : start + BATCH]
        candidates = [change.candidate for change in batch if change.candidate is not None]
        reasons = ((c, admission.kept_from_weights(store, c, settings, candidates)) for c in candidates)
        aside = {candidate: reason for candidate, reason in reasons if reason is not None}
        for is_reviewed, part in _by_review(batch, source, settings):
            for told in store.sources.apply(source.name, part, is_reviewed=is_reviewed, set_aside=aside):
                counts += _counted(told)
        if progress is not None:
            progress(f"telling {source.name}", start + len(batch), len(changes), "")
    return replace(
        report,
        says=(),
        learned=counts["learned"],
        superseded=counts["superseded"],
        retracted=counts["retracted"],
        proposed=counts["proposed"],
        refused=counts["refused"],
    )


def _by_review(
    batch: Sequence[SourceChange], source: SourceSettings, settings: Collect
) -> Iterator[tuple[bool, list[SourceChange]]]:
    """The changes that are facts at once and those that a person has to approve, each with which."""
    is_unsure = admission.is_too_unsure(source.trust, settings)
    parts: dict[bool, list[SourceChange]] = {}
    for change in batch:
        told = change.candidate
        is_reviewed = is_unsure if told is None else admission.needs_review(told, settings)
        parts.setdefault(is_reviewed, []).append(change)
    yield from parts.items()


def _counted(told: Told) -> Counter[str]:
    return Counter(
        learned=sum(done.is_new and done.fact is not None for done in told.recorded),
        superseded=sum(len(done.superseded) for done in told.recorded),
        retracted=sum(len(done.retracted) for done in told.recorded),
        proposed=len(told.proposed),
        refused=told.refused,
    )


def _as_before(source: SourceSettings, state: SourceState | None) -> Report:
    """A feed that says that it has not changed is what it was: held, discarded, or as it was taken over."""
    outcome, reason = Outcome.UNCHANGED, ""
    if state is not None and state.held is not None:
        outcome, reason = Outcome.HELD, state.held_because
    elif state is not None and state.discarded is not None:
        outcome = Outcome.DISCARDED
    return Report(source=source.name, tenant=source.tenant, outcome=outcome, reason=reason)


def _read_as(source: SourceSettings, settings: Collect) -> str:
    """What a feed was read with: with other settings the same feed may say something else."""
    text = source.model_dump_json() + settings.model_dump_json()
    return hashlib.sha256(text.encode()).hexdigest()
