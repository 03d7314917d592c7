"""What is said of what was said: "That's wrong", "Bergen was wrong", "I lied about my age"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ice_agent.collect.clauses import plain_text
from ice_agent.collect.denials import Denial


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejoinder:
    """A denial of what was just said, or of what is named: "Bergen", "my age"."""

    denial: Denial
    topic: str = ""
    is_all: bool = False
    """All that was said about the topic is meant."""


def rejoinder(text: str) -> Rejoinder | None:
    """What the text denies, if it does nothing else."""
    plain = " ".join(plain_text(text).split())
    if _OVER.fullmatch(plain):
        return Rejoinder(denial=Denial.OVER)
    if _WRONG.fullmatch(plain):
        return Rejoinder(denial=Denial.WRONG)
    for pattern in (_ALL_ABOUT, _ABOUT, _VALUE):
        if match := pattern.fullmatch(plain):
            is_over = match.groupdict().get("over") is not None
            denial = Denial.OVER if is_over else Denial.WRONG
            return Rejoinder(denial=denial, topic=match["topic"], is_all=pattern is _ALL_ABOUT)
    return None


_LEAD = r"(?:(?:no|nope|sorry|actually|hey|oh|wait|hmm|well|but|ah)\b[,.!]?\s+)*"
_IS = r"(?:that|this|it)(?:'s| is| was)"
_IS_NOT = r"(?:(?:that|this|it)(?:'s| is| was) not|(?:that|this|it) (?:isn't|wasn't))"
_TRUE = r"(?:true|right|correct|so|the case|accurate|valid)"
_FALSE = (
    r"(?:all |quite |completely |just )?(?:wrong|false|incorrect|untrue|a mistake|an error|a lie|made up)"
)
_PAST = r"(?:out of date|outdated|old news)"
_END = r"(?:,? (?:sorry|please|thanks))?\s*[.!]*"
_OVER = re.compile(
    rf"{_LEAD}(?:{_IS} no longer {_TRUE}|{_IS_NOT} {_TRUE} (?:any ?more|any longer|now)"
    rf"|{_IS} (?:{_PAST}|over(?: now)?)|not any ?more|no longer){_END}",
    re.IGNORECASE,
)
_WRONG = re.compile(
    rf"{_LEAD}(?:{_IS} {_FALSE}|{_IS_NOT} {_TRUE}|(?:that|it) was never {_TRUE}|not {_TRUE}|wrong"
    r"|(?:scrap|scratch|strike|undo|ignore|disregard) (?:that|this|it|my last message|what i (?:just )?said)"
    r"|(?:i take|i'll take|take) (?:that|it) back"
    rf"|i was wrong(?: about (?:that|this|it))?){_END}",
    re.IGNORECASE,
)
_TOPIC = r"(?P<topic>(?!(?:that|this|it)\b)[^,.!?;:]{2,60}?)"
_SAYS_SO = (
    rf"(?:is|was|are|were)(?:(?: not|n't) {_TRUE}| {_FALSE}"
    rf"|(?P<over>(?: not|n't) {_TRUE} (?:any ?more|any longer|now)| no longer {_TRUE}| {_PAST}))"
)
_ALL_ABOUT = re.compile(
    rf"{_LEAD}(?:what|everything|all|anything|whatever) (?:that )?i(?:'ve| have)? (?:said|told you|wrote)"
    rf"(?: to you)? about {_TOPIC} {_SAYS_SO}{_END}",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    rf"{_LEAD}i (?:was wrong|lied|was mistaken|misspoke|made a mistake) about {_TOPIC}{_END}", re.IGNORECASE
)
_VALUE = re.compile(rf"{_LEAD}{_TOPIC} {_SAYS_SO}{_END}", re.IGNORECASE)
