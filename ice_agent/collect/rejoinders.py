"""What a turn says of the one before it: "That's wrong", "That is no longer true". It reads no more."""

from __future__ import annotations

import re

from ice_agent.collect.clauses import plain_text
from ice_agent.collect.denials import Denial


def rejoinder(text: str) -> Denial:
    """Whether the text denies what was just said, and does nothing else."""
    plain = " ".join(plain_text(text).split())
    if _OVER.fullmatch(plain):
        return Denial.OVER
    return Denial.WRONG if _WRONG.fullmatch(plain) else Denial.NONE


_LEAD = r"(?:(?:no|nope|sorry|actually|hey|oh|wait|hmm|well|but|ah)\b[,.!]?\s+)*"
_IS = r"(?:that|this|it)(?:'s| is| was)"
_IS_NOT = r"(?:(?:that|this|it)(?:'s| is| was) not|(?:that|this|it) (?:isn't|wasn't))"
_TRUE = r"(?:true|right|correct|so|the case|accurate|valid)"
_END = r"(?:,? (?:sorry|please|thanks))?\s*[.!]*"
_OVER = re.compile(
    rf"{_LEAD}(?:{_IS} no longer {_TRUE}|{_IS_NOT} {_TRUE} (?:any ?more|any longer|now)"
    rf"|{_IS} (?:out of date|outdated|over(?: now)?|old news)|not any ?more|no longer){_END}",
    re.IGNORECASE,
)
_WRONG = re.compile(
    rf"{_LEAD}(?:{_IS} (?:all |quite |completely |just )?(?:wrong|false|incorrect|a mistake|an error)"
    rf"|{_IS_NOT} {_TRUE}|(?:that|it) was never {_TRUE}|not {_TRUE}|wrong"
    r"|(?:scrap|scratch|strike|undo|ignore|disregard) (?:that|this|it|my last message|what i (?:just )?said)"
    r"|(?:i take|i'll take|take) (?:that|it) back"
    rf"|i was wrong(?: about (?:that|this|it))?){_END}",
    re.IGNORECASE,
)
