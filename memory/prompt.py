"""What only the prompt can serve: facts that the weights lack, and those that contradict them."""

from __future__ import annotations

import sqlalchemy as sa

from memory import clocks, lineage, slots, words
from memory.records import Fact, now
from memory.tables import FactRow, is_unlearned
from memory.transaction import Transaction


def recalled(tx: Transaction, about: str | None, limit: int) -> tuple[Fact, ...]:
    """What waits, was set aside or overrides the weights, in the order of its telling.

    `about` chooses what shares words with it, and then the newest.
    """
    unlearned = sa.select(FactRow).where(is_unlearned, clocks.holds(now()))
    if about is None:
        found = slots.read(tx, unlearned)
    else:
        near = words.nearest(tx, "prompt_words", about, limit)
        chosen = list(dict.fromkeys([*near, *slots.newest_unlearned(tx, limit)]))[:limit]
        found = slots.read(tx, unlearned.where(FactRow.number.in_(chosen)), numbered=True)
    found |= slots.read(tx, sa.select(FactRow).where(clocks.outlives(now()), FactRow.adapter_id.is_(None)))
    found |= {row.number: slots.fact_record(row) for row in lineage.negated(tx)}
    return tuple(found[number] for number in sorted(found))
