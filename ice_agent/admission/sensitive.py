"""What must never be kept: secrets by their shape or by their name, and whatever is said off the record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

_OFF_RECORD = re.compile(
    r"""(?<!\bi )(?<!\bwe )(?<!\bthey )(?<!\byou )
    \b(?:do\s+not|don't|dont|please\s+never|never)\s+
      (?:remember|memori[sz]e|store|save|record|keep|log|note|learn|write\s+down|repeat)\s+
      (?:this|that(?=\s*(?:[.,;:!)]|$|please))|it|any\s+of\s+(?:this|that|it)|anything|what\s+i)\b
    | \boff[\s-]the[\s-]record\b
    | \bnot\s+for\s+the\s+record\b
    | \b(?:no\s+need|(?:do\s+not|don't)\s+need|need\s+not)\s+(?:to\s+)?(?:remember|save|store|keep)\b
    | \bforget\s+(?:that\s+)?i\s+(?:ever\s+)?(?:said|told|mentioned)\b
    | \bkeep\s+(?:this|it|that)\s+(?:between\s+us|to\s+yourself|secret|private|out\s+of\s+your\s+memory)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)

_NAMED_SECRET = re.compile(
    r"""\b(?:pass(?:word|phrase|code|wd)|pin|pin[\s-](?:code|number)|cvv|cvc
      | (?:security|locker|door|alarm|entry|gate|safe|lock)\s+(?:code|number)
      | social\s+security\s+number|ssn|iban|(?:passport|driver'?s?\s+licen[cs]e|driving\s+licen[cs]e
      |national\s+insurance|tax\s+(?:id|file|identification)|id\s+card|health\s+insurance)(?:\s+(?:no|number|id))
      | (?:api|access|secret|private|encryption|ssh|licen[cs]e|recovery|seed)[\s_-]?(?:key|phrase|code)
      | (?:access|api|auth|bearer|bot|refresh|session|security|secret)[\s_-]?token
      | (?:credit|debit|bank)\s+card(?:\s+number)?|card\s+number|(?:bank\s+)?account\s+number|bank\s+account
      |sort\s+code|log-?in(?:\s+details|\s+data)?(?=\s*:))s?
      \b(?:\s+(?:for|of|to|on|at)\s+[^.;:=!?]{1,40}?)?\s*
      (?::|=|\b(?:is|are|was|to|will\s+be)\b|'s\b)\s*[^.!?\n]+""",
    re.IGNORECASE | re.VERBOSE,
)

_SECRET_SHAPES = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\b(?:sk|pk|rk)[-_][\w-]{10,}"),
    re.compile(r"\b(?:ghp|gho|ghu|ghs|ghr|github_pat|glpat|hf|xox[abprs])[-_][\w-]{10,}"),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}\b|\bAIza[\w-]{20,}"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.?[\w-]*"),
    re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    re.compile(r"\b[a-z][a-z0-9+]*://[^\s/:@]+:[^\s/@]+@", re.IGNORECASE),
)
_LONG_RUN = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")


def is_off_record(text: str) -> bool:
    """True when the speaker asks that this not be remembered."""
    return bool(_OFF_RECORD.search(text.replace("\u2019", "'")))


def secret_spans(text: str, sensitive: tuple[str, ...] = ()) -> tuple[tuple[int, int], ...]:
    """Where secrets stand in the text, and whatever matches a pattern of the settings."""
    return tuple(_secrets(text.replace("\u2019", "'"), sensitive))


def _secrets(text: str, sensitive: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    for pattern in (_NAMED_SECRET, *_SECRET_SHAPES, *map(_compiled, sensitive)):
        yield from (match.span() for match in pattern.finditer(text))
    yield from (match.span() for match in _LONG_RUN.finditer(text) if _looks_random(match[0]))
    yield from (match.span() for match in _CARD.finditer(text) if _passes_luhn(match[0]))
    yield from (match.span() for match in _IBAN.finditer(text) if _passes_mod_97(match[0]))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _looks_random(run: str) -> bool:
    """Words joined by hyphens are no key; a key mixes digits and letters throughout."""
    return sum(c.isdigit() for c in run) >= 4 and sum(c.isalpha() for c in run) >= 6


def _passes_luhn(number: str) -> bool:
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _passes_mod_97(iban: str) -> bool:
    compact = iban.replace(" ", "")
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
