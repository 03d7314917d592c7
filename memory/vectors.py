"""Where an embedding model places a tenant's facts and items, and which of them lie nearest to a question.

A vector is made once, by whoever has the model; here it is kept, compared, and gone with its row. Nothing
approximate: all of a tenant's vectors that are asked for are read and compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from memory import slots, tenancy
from memory.records import Fact, FactStatus, Meaning, now
from memory.tables import FactRow, ItemRow, VectorRow
from memory.transaction import Transaction

BLOCK: Final = 8192
"""Vectors that are compared at once: more of them would only cost memory."""


class Among(StrEnum):
    """What is compared with a question."""

    PROMPT = "prompt"  # facts that only the prompt can serve, and what it has to take back
    FACTS = "facts"  # all facts that stand
    ITEMS = "items"


class Vectors:
    """One tenant's vectors. A `FactStore` has them."""

    def __init__(
        self, engine: sa.Engine, reader: sa.Engine, turns: AbstractContextManager[Any], tenant: str
    ) -> None:
        self._engine, self._reader, self._turns, self._tenant = engine, reader, turns, tenant

    def lacking(self, model: str, among: Among, limit: int) -> dict[str, str]:
        """The texts, by id and newest first, that this model has not placed yet."""
        table, text, is_meant = _rows(among)
        placed = sa.exists().where(VectorRow.row_id == table.id, VectorRow.model == model)
        newest = sa.select(table.id, text).where(is_meant, ~placed).order_by(table.number.desc())
        with tenancy.reading(self._reader, self._tenant) as tx:
            return dict(tx.execute(newest.limit(limit)).all())

    def place(self, model: str, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep where this model places these rows, in the place of what another model said.

        What was forgotten since its text was read is left out.
        """
        with tenancy.writing(self._engine, self._turns, self._tenant) as tx:
            known = [
                row_id
                for table in (FactRow, ItemRow)
                for row_id in tx.scalars(sa.select(table.id).where(table.id.in_(vectors)))
            ]
            tx.execute(sa.delete(VectorRow).where(VectorRow.row_id.in_(known)))
            tx.add_all(
                VectorRow(row_id=row_id, tenant=tx.tenant, model=model, vector=_packed(vectors[row_id]))
                for row_id in known
            )

    def facts(self, meaning: Meaning, among: Among, limit: int) -> dict[Fact, float]:
        """The facts nearest in meaning, best first, each with its cosine similarity."""
        with tenancy.reading(self._reader, self._tenant) as tx:
            near = _nearest(tx, meaning, among, limit)
            rows = tx.scalars(sa.select(FactRow).where(FactRow.id.in_(near)))
            found = {fact.id: fact for fact in slots.fact_records(rows)}
            return {found[row_id]: similarity for row_id, similarity in near.items()}

    def items(self, meaning: Meaning) -> dict[str, float]:
        """The similarity of every item that was placed, by its id."""
        with tenancy.reading(self._reader, self._tenant) as tx:
            return _nearest(tx, meaning, Among.ITEMS, None)


def _nearest(tx: Transaction, meaning: Meaning, among: Among, limit: int | None) -> dict[str, float]:
    # Here, because few need it and a command line should start fast.
    import numpy as np

    table, _, is_meant = _rows(among)
    placed = (
        sa.select(table.id, VectorRow.vector)
        .join(VectorRow, VectorRow.row_id == table.id)
        .where(is_meant, VectorRow.model == meaning.model)
        .order_by(table.number.desc())
    )
    question = np.asarray(meaning.vector, np.float32)
    question /= np.linalg.norm(question) or 1
    ids, similarities = list[str](), list[Any]()
    for block in tx.execute(placed).partitions(BLOCK):
        ids += [row_id for row_id, _ in block]
        joined = np.frombuffer(b"".join(vector for _, vector in block), "<f2").reshape(len(block), -1)
        similarities.append(joined.astype(np.float32) @ question)
    every = np.concatenate(similarities) if similarities else np.empty(0)
    best = np.argsort(-every, kind="stable")[:limit]
    return {ids[i]: float(every[i]) for i in best}


def _packed(vector: Sequence[float]) -> bytes:
    """Of length one in half floats: a product is a cosine, and what is lost is no more than a thousandth."""
    import numpy as np

    whole = np.asarray(vector, np.float32)
    return (whole / (np.linalg.norm(whole) or 1)).astype("<f2").tobytes()


def _rows(among: Among) -> tuple[Any, Any, sa.ColumnElement[bool]]:
    """The table that is compared, its text, and which of its rows are meant."""
    if among is Among.ITEMS:
        return ItemRow, ItemRow.text, ItemRow.text != ""
    if among is Among.FACTS:
        return FactRow, FactRow.statement, FactRow.status.not_in(slots.ENDED)
    is_valid = sa.or_(FactRow.valid_until.is_(None), FactRow.valid_until > now())
    waits = sa.and_(FactRow.status.in_(slots.FROM_PROMPT), is_valid)
    taken_back = sa.and_(FactRow.status == FactStatus.RETRACTED, FactRow.adapter_id.is_not(None))
    return FactRow, FactRow.statement, sa.or_(waits, taken_back)
