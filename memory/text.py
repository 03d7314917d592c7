"""Text as a database keeps it and as slots compare it."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata

from memory.errors import UnstorableText

ARTICLE = re.compile(r"^(?:the|an?) (?=\S)")
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
AROUND = " \t.,;:!?\"'()[]"


def key(text: str) -> str:
    """What subjects and values are compared by.

    Case, spacing, width of letters, kind of apostrophe, a leading article and punctuation around it do not
    count: "the Hague", "Hague." and "THE  HAGUE" are one. Long ones become a hash.
    """
    folded = unicodedata.normalize("NFKC", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold()
    plain = " ".join(folded.split())
    # What is nothing but punctuation is compared as it is: "?" and "!" are two things.
    compared = ARTICLE.sub("", plain.strip(AROUND)) or plain
    return compared if len(compared) <= 200 else "sha256:" + hashlib.sha256(compared.encode()).hexdigest()


def is_storable(text: str) -> bool:
    return UNSTORABLE.search(text) is None


def require_storable(**texts: str) -> None:
    for name, text in texts.items():
        if not is_storable(text):
            raise UnstorableText(f"the {name}")


def new_id(kind: str) -> str:
    """64 random bits: of ten million ids two are the same in one of four hundred thousand databases."""
    return f"{kind}_{secrets.token_hex(8)}"
