"""Text as a database keeps it and as slots compare it."""

from __future__ import annotations

import hashlib
import re

from memory.errors import UnstorableText


def key(text: str) -> str:
    """What subjects and values are compared by: case and spacing do not count, long ones become a hash."""
    folded = " ".join(text.casefold().split())
    return folded if len(folded) <= 200 else "sha256:" + hashlib.sha256(folded.encode()).hexdigest()


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def is_storable(text: str) -> bool:
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def require_storable(**texts: str) -> None:
    for name, text in texts.items():
        if not is_storable(text):
            raise UnstorableText(f"the {name}")
