"""Where an embedding model places a tenant's facts and items, and which of them lie nearest to a question.

A vector is made once, by whoever has the model; here it is kept, compared, and gone with its row. Nothing
approximate: all of a tenant's vectors that are asked for are read and compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from memory import slots
from memory.clocks import holds
from memory.records import Fact, FactStatus, Meaning, now
from memory.tables import UNLEARNED, FactRow, FactVectorRow, ItemRow, ItemVectorRow, is_current
from memory.tenancy import Door
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

    def __init__(self, door: Door) -> None:
        self._door = door

    def lacking(self, model: str, among: Among, limit: int) -> dict[str, str]:
        """The texts, by id and newest first, that this model has not placed yet."""
        table, vectors, text, is_meant = _rows(among)
        placed = sa.exists().where(vectors.number == table.number, vectors.model == model)
        newest = sa.select(table.id, text).where(is_meant, ~placed).order_by(table.number.desc())
        with self._door.reading() as tx:
            return dict(tx.execute(newest.limit(limit)).all())

    def place(self, model: str, vectors: Mapping[str, Sequence[float]], among: Among) -> None:
        """Keep where this model places these rows, in the place of what another model said.

        What was forgotten since its text was read is left out.
        """
        table, kept, _, _ = _rows(among)
        with self._door.writing() as tx:
            known = tx.execute(sa.select(table.number, table.id).where(table.id.in_(vectors))).all()
            tx.execute(sa.delete(kept).where(kept.number.in_([number for number, _ in known])))
            tx.add_all(
                kept(number=number, tenant=tx.tenant, model=model, vector=_packed(vectors[row_id]))
                for number, row_id in known
            )

    def facts(self, meaning: Meaning, among: Among, limit: int) -> dict[Fact, float]:
        """The facts nearest in meaning, best first, each with its cosine similarity."""
        is_valid = holds(now())
        is_past = FactRow.status == FactStatus.RETRACTED
        with self._door.reading() as tx:
            near = _nearest(tx, meaning, among, limit)
            stands = sa.select(FactRow).where(FactRow.number.in_(near), sa.or_(is_valid, is_past))
            found = slots.read(tx, stands, numbered=True)
            return {found[number]: near[number] for number in near if number in found}

    def items(self, meaning: Meaning) -> dict[str, float]:
        """The similarity of every item that was placed, by its id, best first."""
        with self._door.reading() as tx:
            near = _nearest(tx, meaning, Among.ITEMS, None)
            ids = dict(tx.execute(sa.select(ItemRow.number, ItemRow.id)).all())
            return {ids[number]: similarity for number, similarity in near.items()}


def _nearest(tx: Transaction, meaning: Meaning, among: Among, limit: int | None) -> dict[int, float]:
    """The numbers of the nearest rows, best first and of equals the newest."""
    # Here, because few need it and a command line should start fast.
    import numpy as np

    table, vectors, _, is_meant = _rows(among)
    placed = (
        sa.select(table.number, vectors.vector)
        .join(vectors, vectors.number == table.number)
        .where(is_meant, vectors.model == meaning.model)
        # Said here, because of so many rows none goes through the session that would say it.
        .where(table.tenant == tx.tenant, vectors.tenant == tx.tenant)
    )
    question = np.asarray(meaning.vector, np.float32)
    question /= np.linalg.norm(question) or 1
    numbers, similarities = list[int](), list[Any]()
    for block in tx.connection().execute(placed).partitions(BLOCK):
        some, packed = zip(*block, strict=True)
        joined = np.frombuffer(b"".join(packed), "<f2").reshape(len(some), -1)
        numbers += some
        similarities.append(joined.astype(np.float32) @ question)
    every = np.concatenate(similarities) if similarities else np.empty(0)
    best = np.lexsort((np.array(numbers), every))[::-1][:limit]
    return {numbers[i]: float(every[i]) for i in best}


def _packed(vector: Sequence[float]) -> bytes:
    """Of length one in half floats: a product is a cosine, and what is lost is no more than a thousandth."""
    import numpy as np

    whole = np.asarray(vector, np.float32)
    return (whole / (np.linalg.norm(whole) or 1)).astype("<f2").tobytes()


def _rows(among: Among) -> tuple[Any, Any, Any, sa.ColumnElement[bool]]:
    """The table that is compared, its vectors, its text, and which of its rows are meant."""
    if among is Among.ITEMS:
        return ItemRow, ItemVectorRow, ItemRow.text, ItemRow.text != ""
    if among is Among.FACTS:
        return FactRow, FactVectorRow, FactRow.statement, is_current
    # As the index has it: only of what was taken back the row itself has to be read.
    waits_or_past = FactRow.status.in_((*UNLEARNED, FactStatus.RETRACTED))
    is_meant = sa.or_(FactRow.status != FactStatus.RETRACTED, FactRow.adapter_id.is_not(None))
    return FactRow, FactVectorRow, FactRow.statement, sa.and_(waits_or_past, is_meant)
