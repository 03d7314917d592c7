"""What the weights of any adapter hold, read back from what each batch on the way to it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from memory.audit import ENDS
from memory.records import Past
from memory.slots import displaced_by, fact_record
from memory.tables import AdapterRow, BatchFactRow, BatchRow, EntryRow, FactRow, Role
from memory.transaction import BY_NUMBER, Transaction


def held(tx: Transaction, adapter: AdapterRow) -> Sequence[FactRow]:
    """The facts that an adapter's weights hold, in the order they were told."""
    ids = _ids(tx, _line(tx), adapter.id)
    rows = sa.select(FactRow).where(FactRow.id.in_(ids)).order_by(FactRow.number)
    return tx.scalars(rows, execution_options=BY_NUMBER).all()


def past(tx: Transaction, adapter: AdapterRow, position: int) -> Past:
    """What an adapter was taught on top of, as it stood when the chain had so many entries."""
    line = _line(tx)
    ancestors, parent_id = list[str](), adapter.parent_id
    while parent_id is not None:
        ancestors.append(parent_id)
        parent_id = line[parent_id].parent_id
    known = _ids(tx, line, ancestors[0]) if ancestors else set[str]()
    claimed = dict(
        tx.execute(
            sa.select(BatchFactRow.fact_id, BatchFactRow.commitment)
            .where(BatchFactRow.batch_id == adapter.batch_id, BatchFactRow.role != Role.OVERRIDE)
            .order_by(BatchFactRow.position)
        ).all()
    )
    wanted = sa.select(FactRow).where(FactRow.id.in_(known | claimed.keys())).order_by(FactRow.number)
    facts = {row.id: fact_record(row) for row in tx.scalars(wanted, execution_options=BY_NUMBER)}
    stood, erased = _told_until(tx, position)
    return Past(
        root_id=ancestors[-1] if ancestors else adapter.id,
        generation=max(len(ancestors) - 1, 0),
        members={commitment: facts[id_] for id_, commitment in claimed.items() if id_ in facts},
        standing=tuple(fact for id_, fact in facts.items() if id_ in stood or id_ in claimed),
        known=tuple(fact for id_, fact in facts.items() if id_ in known and id_ in stood),
        taught=tuple(fact for id_, fact in facts.items() if id_ in known),
        n_forgotten=len(known | claimed.keys()) - len(facts),
        wordless=tuple(fact for fact in facts.values() if fact.utterance_id in erased),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    parent_id: str | None
    batch_id: str | None
    is_rebuild: bool
    served: bool


def _line(tx: Transaction) -> dict[str, _Step]:
    """Of every adapter, where it stands and what it was taught."""
    columns = (AdapterRow.id, AdapterRow.parent_id, AdapterRow.batch_id, BatchRow.replaces_id)
    found = sa.select(*columns, AdapterRow.promoted_at).outerjoin(
        BatchRow, BatchRow.id == AdapterRow.batch_id
    )
    return {
        id_: _Step(parent_id, batch_id, replaces_id is not None, promoted_at is not None)
        for id_, parent_id, batch_id, replaces_id, promoted_at in tx.execute(found)
    }


def _ids(tx: Transaction, line: dict[str, _Step], adapter_id: str | None) -> set[str]:
    steps = list[_Step]()
    while adapter_id is not None:
        steps.append(line[adapter_id])
        # A rebuild was taught all that it holds.
        adapter_id = None if steps[-1].is_rebuild else steps[-1].parent_id
    batches = [step.batch_id for step in steps if step.batch_id is not None]
    did: dict[str, dict[Role, set[str]]] = {batch_id: {role: set() for role in Role} for batch_id in batches}
    rows = sa.select(BatchFactRow.batch_id, BatchFactRow.role, BatchFactRow.fact_id)
    for batch_id, role, fact_id in tx.execute(rows.where(BatchFactRow.batch_id.in_(batches))):
        did[batch_id][role].add(fact_id)
    ids = set[str]()
    for step in reversed(steps):
        if step.batch_id is None:
            continue
        roles = did[step.batch_id]
        ids -= roles[Role.REMOVAL] | roles[Role.OVERRIDE] | roles[Role.LOST]
        if not step.served:
            ids -= _displaced(tx, roles[Role.FACT])
        ids |= roles[Role.FACT]
    return ids


def _displaced(tx: Transaction, taught: set[str]) -> set[str]:
    """What a candidate overwrote: no batch notes that before it is promoted."""
    rows = tx.scalars(sa.select(FactRow).where(FactRow.id.in_(taught))).all()
    return {id_ for row in rows for id_ in tx.scalars(sa.select(FactRow.id).where(displaced_by(row)))}


def _told_until(tx: Transaction, position: int) -> tuple[set[str], set[str]]:
    """The facts that stood after so many entries, and the utterances whose words were erased since."""
    about = (*ENDS, "fact.recorded", "fact.reopened", "utterance.erased")
    columns = sa.select(EntryRow.position, EntryRow.event, EntryRow.subject_id)
    stood, erased = set[str](), set[str]()
    for at, event, id_ in tx.execute(columns.where(EntryRow.event.in_(about)).order_by(EntryRow.position)):
        if event == "utterance.erased":
            erased |= {id_} if at > position else set()
        elif at <= position:
            (stood.discard if event in ENDS else stood.add)(id_)
    return stood, erased
