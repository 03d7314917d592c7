"""What a proper name looks like. Knows no name and no relation."""

from __future__ import annotations

UPPER = "".join(c for c in map(chr, range(0x530)) if c.isupper())
"""The capital letters of Latin, Greek and Cyrillic: what a name starts with."""

_WORD = rf"(?!I\b|OK\b)(?:\d*[a-zà-ÿ]{{0,2}}[{UPPER}][\w&]*(?:['-](?!s\b)\w+)*)(?:'s(?=\ [{UPPER}]))?"
_TITLE = r"(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Mt)\."
_INITIAL = rf"[{UPPER}]\."
_LINK = (
    r"(?:of\ the|de\ la|van\ der|van\ den|von\ der|of|de|da|do|dos|del|della|di|du|la|le|van|von"
    r"|der|den|el|al|bin|ibn|y|&)"
)
NAME = (
    rf"(?-i:(?:[Tt]he\ (?=[{UPPER}]))?(?:{_TITLE}\ |{_INITIAL}\ ?){{0,3}}{_WORD}"
    rf"(?:\ (?:{_LINK}\ )?(?:{_WORD}|{_INITIAL}|{_TITLE}|\d+\b)){{0,6}})"
)
"""A proper name: a few capitalised words, with the small words that join them."""
