"""Finds facts by words, with the database's own stems: of FTS5 on SQLite, of its text search on PostgreSQL.

Triggers keep the indexes: one of all facts, one of those that only a prompt can serve. A word means every
form of it ("lives", "living"); a rare word says more than one that many facts share.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from heapq import nlargest
from typing import Final, Literal

import sqlalchemy as sa

from memory.transaction import Transaction

Index = Literal["facts_words", "prompt_words"]

NEWEST: Final = 200
"""Facts looked at for each word: one that more of them have says little about any of them."""

LONGEST: Final = 100
"""Words of a text that are looked for: of a longer one, its first."""

_POSTGRESQL: Final = {
    index: sa.text(
        "SELECT asked.place, found.number FROM unnest(CAST(:words AS text[])) WITH ORDINALITY "
        "AS asked(word, place), unnest(to_tsvector('every_word', asked.word)) AS stem(word), LATERAL ("
        f"SELECT number FROM {index} WHERE tenant = :tenant AND word = stem.word "
        "ORDER BY number DESC LIMIT :newest) AS found"
    )
    for index in ("facts_words", "prompt_words")
}


def nearest(tx: Transaction, index: Index, text: str, limit: int) -> dict[int, float]:
    """The numbers of the facts that share most with a text, best first; of equals, the newest.

    Each with the share, in 0-1, of the text's words that it has.
    """
    asked = list(dict.fromkeys(re.findall(r"[^\W_]+", text.casefold())))[:LONGEST]
    found = defaultdict[int, list[int]](list)
    for place, number in _hits(tx, index, asked):
        found[place].append(number)
    weights, shared = defaultdict[int, float](float), defaultdict[int, int](int)
    for numbers in found.values():
        for number in numbers:
            weights[number] += 1 / len(numbers)
            shared[number] += 1
    best = nlargest(limit, weights, key=lambda number: (weights[number], number))
    return {number: shared[number] / len(asked) for number in best}


def _hits(tx: Transaction, index: Index, asked: Sequence[str]) -> Iterable[tuple[int, int]]:
    """The place of a word among those asked for, with the number of a fact that has it."""
    if not asked:
        return ()
    if tx.get_bind().dialect.name == "postgresql":
        words = {"tenant": tx.tenant, "words": list(asked), "newest": NEWEST}
        return ((place, number) for place, number in tx.connection().execute(_POSTGRESQL[index], words))
    queries = {f"word_{place}": f'"{_as_word(tx.tenant)}" AND "{word}"' for place, word in enumerate(asked)}
    query = _sqlite(index, len(asked))
    return ((place, number) for place, number in tx.connection().execute(query, queries | {"newest": NEWEST}))


@cache
def _sqlite(index: Index, n_words: int) -> sa.TextClause:
    return sa.text(
        " UNION ALL ".join(
            f"SELECT {place}, rowid FROM (SELECT rowid FROM {index} WHERE {index} MATCH :word_{place} "
            "ORDER BY rowid DESC LIMIT :newest)"
            for place in range(n_words)
        )
    )


def _as_word(tenant: str) -> str:
    """A tenant's id as one word: the index has it in front of each fact's own."""
    return tenant.replace("_", "")
