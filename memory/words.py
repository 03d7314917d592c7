"""Finds facts by words with the database's own full-text search: FTS5 on SQLite, tsvector on PostgreSQL.

Triggers keep the indexes: one of all facts, one of those that only a prompt can serve. A word means every
form of it ("lives", "living"); a rare word says more than one that many facts share.
"""

from __future__ import annotations

import re
from collections import defaultdict
from heapq import nlargest
from typing import Final, Literal

import sqlalchemy as sa

from memory.transaction import Transaction

Index = Literal["facts_words", "prompt_words"]

NEWEST: Final = 200
"""Facts looked at for each word: one that more of them have says little about any of them."""

_SQLITE: Final = {
    index: sa.text(f"SELECT rowid FROM {index} WHERE {index} MATCH :query ORDER BY rowid DESC LIMIT :newest")
    for index in ("facts_words", "prompt_words")
}
_POSTGRESQL: Final = {
    index: sa.text(
        f"SELECT number FROM {index} WHERE tenant = :tenant AND words @@ fact_query(:tenant, :word) "
        "ORDER BY number DESC LIMIT :newest"
    )
    for index in ("facts_words", "prompt_words")
}


def nearest(tx: Transaction, index: Index, text: str, limit: int) -> dict[int, float]:
    """The numbers of the facts that share most with a text, best first; of equals, the newest.

    Each with the share, in 0-1, of the text's words that it has.
    """
    asked = sorted(set(re.findall(r"\w+", text.casefold())))
    weights, shared = defaultdict[int, float](float), defaultdict[int, int](int)
    for word in asked:
        found = _with(tx, index, word)
        for number in found:
            weights[number] += 1 / len(found)
            shared[number] += 1
    best = nlargest(limit, weights, key=lambda number: (weights[number], number))
    return {number: shared[number] / len(asked) for number in best}


def _with(tx: Transaction, index: Index, word: str) -> list[int]:
    if tx.get_bind().dialect.name == "postgresql":
        asked = {"tenant": tx.tenant, "word": word, "newest": NEWEST}
        return list(tx.execute(_POSTGRESQL[index], asked).scalars())
    query = f'"{_as_word(tx.tenant)}" AND "{word}"'
    return list(tx.execute(_SQLITE[index], {"query": query, "newest": NEWEST}).scalars())


def _as_word(tenant: str) -> str:
    """A tenant's id as one word: the index has it in front of each fact's own."""
    return tenant.replace("_", "")
