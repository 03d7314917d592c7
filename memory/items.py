"""What an application puts aside for a tenant under names of its own: JSON in, the same JSON out.

An item is no fact and never enters weights. What its text told may have been heard, though: the item knows
the utterance, and goes when that is forgotten.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from memory import ledger, slots
from memory.records import Fact, Item, now
from memory.tables import FactRow, ItemRow, ItemVectorRow, MentionRow, UtteranceRow
from memory.tenancy import Door
from memory.text import new_id, require_storable
from memory.transaction import Transaction

Namespace = tuple[str, ...]


class Items:
    """One tenant's items. A `FactStore` has them."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def keep(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        *,
        text: str = "",
        utterance_id: str | None = None,
    ) -> Item:
        """Put an item there, in the place of one that has this name; `text` is what it is found by."""
        require_storable(namespace=_joined(namespace), key=key, text=text)
        with self._door.writing() as tx:
            row = _named(tx, namespace, key)
            if row is None:
                row = ItemRow(
                    id=new_id("i"),
                    tenant=tx.tenant,
                    namespace=_joined(namespace),
                    key=key,
                    created_at=now(),
                )
                tx.add(row)
            elif row.text != text:
                tx.execute(sa.delete(ItemVectorRow).where(ItemVectorRow.number == row.number))
            row.value, row.text, row.utterance_id = json.dumps(value), text, utterance_id
            # A new salt, so that what was committed to before cannot be guessed any more.
            row.updated_at, row.salt = now(), secrets.token_hex(16)
            tx.flush()
            ledger.append(tx, "item.kept", row.id, ledger.commit_item(row))
            return _record(row)

    def get(self, namespace: Namespace, key: str) -> Item | None:
        """The item of this name, or None when there is none."""
        with self._door.reading() as tx:
            row = _named(tx, namespace, key)
            return _record(row) if row else None

    def under(self, prefix: Namespace = ()) -> tuple[Item, ...]:
        """All items whose namespace begins so, oldest first."""
        start, wanted = _joined(prefix), sa.select(ItemRow).order_by(ItemRow.number)
        if prefix:
            # Not LIKE, nor a range: what they let through hangs on the database and its collation.
            begins_so = sa.func.substr(ItemRow.namespace, 1, len(start) + 1) == f"{start}."
            wanted = wanted.where(sa.or_(ItemRow.namespace == start, begins_so))
        with self._door.reading() as tx:
            return tuple(_record(row) for row in tx.scalars(wanted))

    def namespaces(self) -> tuple[Namespace, ...]:
        """Those that have an item, in order."""
        with self._door.reading() as tx:
            used = tx.scalars(sa.select(ItemRow.namespace).distinct())
            return tuple(sorted(_split(joined) for joined in used))

    def told(self, item: Item) -> tuple[Fact, ...]:
        """The facts that nothing but this item's text told."""
        elsewhere = sa.exists().where(MentionRow.fact_id == FactRow.id)
        only_here = sa.select(FactRow).where(FactRow.utterance_id == item.utterance_id, ~elsewhere)
        with self._door.reading() as tx:
            return slots.fact_records(tx.scalars(only_here.order_by(FactRow.number)))

    def drop(self, namespace: Namespace, key: str) -> None:
        """Take an item away, and the words that it was heard as. One that is not there is no error."""
        with self._door.writing() as tx:
            row = _named(tx, namespace, key)
            if row is None:
                return
            if row.utterance_id is not None:
                slots.erase_words(tx, tx.named(UtteranceRow, row.utterance_id))
            _drop(tx, row)


def every(tx: Transaction) -> tuple[Item, ...]:
    """All of the tenant's."""
    return tuple(_record(row) for row in tx.scalars(sa.select(ItemRow).order_by(ItemRow.number)))


def heard_as(tx: Transaction, utterance_ids: Sequence[str]) -> tuple[Item, ...]:
    """Those whose text was heard as one of these utterances."""
    return tuple(_record(row) for row in _heard_as(tx, utterance_ids))


def drop(tx: Transaction, utterance_ids: Sequence[str]) -> None:
    """Take them away."""
    for row in _heard_as(tx, utterance_ids):
        _drop(tx, row)


def _heard_as(tx: Transaction, utterance_ids: Sequence[str]) -> Sequence[ItemRow]:
    told = sa.select(ItemRow).where(ItemRow.utterance_id.in_(utterance_ids)).order_by(ItemRow.number)
    return tx.scalars(told).all()


def _drop(tx: Transaction, row: ItemRow) -> None:
    ledger.append(tx, "item.forgotten", row.id, ledger.commit_item(row))
    tx.delete(row)
    tx.flush()


def _named(tx: Transaction, namespace: Namespace, key: str) -> ItemRow | None:
    named = sa.and_(ItemRow.namespace == _joined(namespace), ItemRow.key == key)
    return tx.scalars(sa.select(ItemRow).where(named)).one_or_none()


def _joined(namespace: Namespace) -> str:
    if any("." in label for label in namespace):
        raise ValueError(f"a label of a namespace has no dot: {namespace}")
    return ".".join(namespace)


def _split(joined: str) -> Namespace:
    return tuple(joined.split(".")) if joined else ()


def _record(row: ItemRow) -> Item:
    return Item(
        id=row.id,
        namespace=_split(row.namespace),
        key=row.key,
        value=json.loads(row.value),
        text=row.text,
        created_at=row.created_at,
        updated_at=row.updated_at,
        utterance_id=row.utterance_id,
    )
