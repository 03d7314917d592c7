"""What hooks are to be told of: written with the change itself, claimed by one process, gone once told.

It knows no hook. Whoever delivers says what became of it: told, to be tried again in so long, or given up.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from memory import database
from memory.columns import plain_scores
from memory.database import Clock
from memory.records import Delivery, HookEvent, now
from memory.tables import AdapterRow, BatchFactRow, FactRow, OutboxRow
from memory.text import new_id
from memory.transaction import Transaction

ERASES: Final = ("fact.forgotten", "proposal.forgotten", "utterance.erased", "tenant.forgotten")
"""The entries that tell of a forgetting, each for itself."""


class Outbox:
    """The events of all tenants that wait for their hooks. An `Archive` has it."""

    def __init__(self, engine: sa.Engine, reader: sa.Engine, turns: AbstractContextManager[Any]) -> None:
        self._engine, self._reader, self._turns = engine, reader, turns

    def claim(self, seconds: float) -> Delivery | None:
        """The event that has been due for longest, for nobody else for so long. It counts as an attempt."""
        is_due = OutboxRow.due_at <= Clock()
        first = (
            sa.select(OutboxRow.number).where(is_due).order_by(OutboxRow.due_at, OutboxRow.number).limit(1)
        )
        claimed = (
            sa.update(OutboxRow)
            .where(OutboxRow.number == first.with_for_update(skip_locked=True).scalar_subquery(), is_due)
            .values(due_at=Clock() + seconds, attempts=OutboxRow.attempts + 1)
            .returning(OutboxRow)
        )
        with self._writing() as tx:
            row = tx.scalars(claimed).one_or_none()
            return _record(row) if row else None

    def drop(self, delivery: Delivery) -> None:
        """Its hooks have it."""
        with self._writing() as tx:
            tx.execute(sa.delete(OutboxRow).where(OutboxRow.id == delivery.id))

    def put_back(
        self, delivery: Delivery, *, told: Collection[str], problem: str, seconds: float | None
    ) -> None:
        """Let it be claimed again in so long, or with None by nobody, with what is known of it now.

        Nothing is changed when somebody else has claimed it since.
        """
        values = {"told": " ".join(sorted(told)), "problem": problem}
        with self._writing() as tx:
            tx.execute(
                sa.update(OutboxRow)
                .where(OutboxRow.id == delivery.id, OutboxRow.attempts == delivery.attempts)
                .values(due_at=None if seconds is None else Clock() + seconds, **values)
            )

    def retry(self) -> int:
        """Let all that waits be claimed at once, as if nobody had tried yet; says how many there are."""
        everything = sa.update(OutboxRow).values(due_at=Clock(), attempts=0).returning(OutboxRow.number)
        with self._writing() as tx:
            return len(tx.scalars(everything).all())

    def every(self) -> tuple[Delivery, ...]:
        """Oldest first, those given up included."""
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            return tuple(map(_record, tx.scalars(sa.select(OutboxRow).order_by(OutboxRow.number))))

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with database.clear_errors(self._engine), self._turns, Session(self._engine) as tx, tx.begin():
            yield tx


def post(tx: Transaction) -> None:
    """Write down what hooks are to be told of what this transaction did: committed with it, or not at all."""
    if not tx.announced or tx.chain is None:
        return
    for event, told in _happened(tx, tx.chain.added):
        if event in tx.announced:
            id_, at = new_id("e"), now()
            about = {"id": id_, "event": event, "at": at.isoformat(timespec="microseconds")}
            body = json.dumps({**about, "tenant": tx.tenant, **told}, sort_keys=True, separators=(",", ":"))
            row = {"id": id_, "tenant": tx.tenant, "event": event, "body": body, "created_at": at}
            tx.execute(sa.insert(OutboxRow).values(attempts=0, due_at=Clock(), told="", problem="", **row))


def _happened(tx: Transaction, entries: list[dict[str, Any]]) -> Iterator[tuple[HookEvent, dict[str, Any]]]:
    """The events in what one transaction entered: one for each adapter, and one for all facts of a kind."""
    ids = defaultdict[str, list[str]](list)
    for entry in entries:
        ids[entry["event"]].append(entry["subject_id"])
    serving = next(iter(ids["adapter.restored"]), None)
    judged: dict[str, Any] = {"adapter": None, "batch": next(iter(ids["batch.failed"]), None)}
    for event in (HookEvent.PROMOTED, HookEvent.REJECTED, HookEvent.REVERTED):
        for adapter_id in ids[event]:
            row = tx.scalars(sa.select(AdapterRow).where(AdapterRow.id == adapter_id)).one()
            if row.parent_id is None:
                continue
            if event is HookEvent.REVERTED:
                yield event, {**_of_adapter(tx, row), "serving": serving}
                continue
            judged = {"adapter": row.id, "batch": row.batch_id}
            reasons = row.verdict.reasons if row.verdict else ()
            yield event, {**_of_adapter(tx, row), "reasons": reasons}
    if kept_out := ids[HookEvent.QUARANTINED]:
        # Not why they are: a reason may quote another fact.
        yield HookEvent.QUARANTINED, {**judged, "facts": _of_facts(tx, kept_out)}
    if any(ids[event] for event in ERASES):
        gone = [entry for entry in entries if entry["event"] == HookEvent.FORGOTTEN]
        facts = [{"id": entry["subject_id"], "commitment": entry["commitment"]} for entry in gone]
        left = {"adapters": ids["adapter.forgotten"], "serving": serving}
        yield HookEvent.FORGOTTEN, {"facts": facts, **left, "everything": bool(ids["tenant.forgotten"])}


def _of_facts(tx: Transaction, fact_ids: Sequence[str]) -> list[dict[str, Any]]:
    # Past the session, whose word for the tenant would make SQLite read all of its facts.
    known = sa.select(FactRow.id, FactRow.commitment).where(FactRow.id.in_(fact_ids))
    found = tx.connection().execute(known.order_by(FactRow.number))
    return [{"id": id_, "commitment": commitment} for id_, commitment in found]


def _of_adapter(tx: Transaction, row: AdapterRow) -> dict[str, Any]:
    """An adapter with its batch and what was measured, of its parent and of itself."""
    taken = sa.select(BatchFactRow).where(BatchFactRow.batch_id == row.batch_id)
    members = tx.scalars(taken.order_by(BatchFactRow.role, BatchFactRow.position, BatchFactRow.fact_id))
    measured = {"parent": row.parent_scores, "candidate": row.scores}
    plain = {whose: plain_scores(scores) for whose, scores in measured.items() if scores is not None}
    names = sorted({name for scores in plain.values() for name in scores})
    return {
        "adapter": row.id,
        "parent": row.parent_id,
        "batch": row.batch_id,
        "facts": [{"id": m.fact_id, "commitment": m.commitment, "role": m.role} for m in members],
        "guards": {n: {whose: scores.get(n) for whose, scores in plain.items()} for n in names},
    }


def _record(row: OutboxRow) -> Delivery:
    return Delivery(
        id=row.id,
        event=row.event,
        tenant_id=row.tenant,
        body=row.body,
        created_at=row.created_at,
        attempts=row.attempts,
        due_at=None if row.due_at is None else datetime.fromtimestamp(row.due_at, UTC),
        told=tuple(row.told.split()),
        problem=row.problem,
    )
