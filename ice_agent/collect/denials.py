"""What a clause denies, ends or tells of the past, and what it says once that is taken out of its words."""

from __future__ import annotations

import re
from enum import Enum

from ice_agent.collect.clauses import Clause
from ice_agent.collect.leads import Voice
from ice_agent.collect.names import NAME


class Denial(Enum):
    """Whether a clause takes back what it names, and why."""

    NONE = "none"
    OVER = "over"  # it held until now: "I no longer live in Lisbon"
    WRONG = "wrong"  # it never did: "I don't live in Lisbon after all"


def without_denial(clause: Clause, after: str) -> tuple[str | None, Denial]:
    """The clause without its "no longer", and whether that takes the fact back; None for a plain denial.

    `after` is the text that follows the clause.
    """
    words, n_removed = _NO_LONGER.subn(" ", clause.words)
    words, n_now = _NOT_NOW.subn(r"\1", words)
    words, n_once = _USED_TO.subn(" ", words)
    words, n_over = _ONCE.subn("", words)
    words, stopped = _STOPPED.sub("", words), bool(_STOPPED.search(clause.words))
    if n_removed or n_now or n_once or n_over or stopped:
        words = _THERE.sub(r"\1 no longer there", " ".join(_NOT.sub(" ", words).split()))
        return _BEING.sub("am ", words) if stopped else words, Denial.OVER
    if not _NOT.search(words):
        return words, Denial.NONE
    subject_denied = re.match(
        rf"(?:I|[Ww]e|[Hh]e|[Ss]he|{NAME}) (?:(?:do|does) not|(?:am|is|are) not) ", words
    )
    # Not to like something takes a liking back; not to live somewhere says nothing of where one lives.
    dislikes = re.search(r" not (?:really )?(?:like|love|enjoy) ", words) is not None
    if _NEVER.match(after):
        return None, Denial.NONE
    if subject_denied and _AFTER_ALL.search(words):
        return " ".join(_AFTER_ALL.sub("", _NOT.sub(" ", words)).split()), Denial.WRONG
    if subject_denied and (clause.is_correction or clause.voice is Voice.TAKEN_BACK or dislikes):
        return " ".join(_NOT.sub(" ", words).split()), Denial.WRONG
    # "..., not Lisbon" only sets the value off against another one.
    if _SET_OFF.search(words) and not _NOT.search(_SET_OFF.sub("", words)):
        return _SET_OFF.sub("", words), Denial.NONE
    return None, Denial.NONE


def of_lead(lead: str) -> Denial:
    """What the words before a clause that they take back say of it: "It is no longer true that"."""
    return Denial.OVER if _TRUE_NO_LONGER.search(lead) else Denial.WRONG


_TRUE_NO_LONGER = re.compile(r"\b(?:no longer \w+(?: \w+)?|any ?more) that\s*$", re.IGNORECASE)
_NOT = re.compile(r"\b(?:do not|does not|have not|has not|not)\b")
_AFTER_ALL = re.compile(r" after all$")
_NO_LONGER = re.compile(r"(?:^|\s+)(?:no longer|no more|any ?more|any longer)\b(?!\s+than)")
# "He isn't my flatmate now" says that he was.
_NOT_NOW = re.compile(r"((?:\bam|\bis|\bare|\bdo|\bdoes) not .+?),? (?:now|these days)$")
_STOPPED = re.compile(
    r"\b(?:have |has )?(?:stopped|gave up|given up|quit)\s+(?=(?:living|working|liking|loving|enjoying"
    r"|being|learning|playing|studying|driving|speaking|doing|practi[cs]ing)\b)"
)
_BEING = re.compile(r"\bbeing ")
# "I don't work there anymore" means wherever it was.
_THERE = re.compile(r"\b(lives?|works?) t?here$")
# "I used to live in Lisbon" says that it is over, and not since when: it takes the fact back where it stands.
_USED_TO = re.compile(r"\s+(?:used to|formerly|previously|once(?= (?:lived|worked)))\b")
# "Freya was a carpenter once" is over, "Freya was a carpenter" may be told of any time.
_ONCE = re.compile(r"(?<=\w) once$")
# "I don't work for Acme, never have" takes nothing back.
_NEVER = re.compile(
    r"[,.;!]*\s+(?:and\s+|I\s+|we\s+|he\s+|she\s+)*never\s+(?:have|has|had|did|was|were|been"
    r"|will)\b",
    re.IGNORECASE,
)
_SET_OFF = re.compile(
    r",?\s+(?:and\s+)?not\s+(?:in\s+|at\s+|for\s+|an?\s+|the\s+)?(?:[\w' -]|\.(?=\d))+?(?=$|,)"
    r"|,\s+not\s+[\w' -]+(?=,)"
)


def as_present(words: str) -> str:
    """What was, in the words of what is: the patterns know no past, for a past without an end is no fact."""
    for past, present in _PRESENT:
        if past.search(words):
            return past.sub(present, words, count=1)
    return words


_PRESENT = tuple(
    (re.compile(past), present)
    for past, present in (
        (r"^I was\b|^I be\b", "I am"),
        (r"\bwere\b|\bbe\b", "are"),
        (r"\bwas\b", "is"),
        (r"(?i:\blived\b)", "live"),
        (r"(?i:\bworked\b)", "work"),
        (r"(?i:\bplayed\b)", "play"),
        (r"(?i:\btaught\b)", "teach"),
        (r"(?i:\bstudied\b)", "study"),
        (r"\b(like|love|drive|own|support)d\b", r"\1"),
        (r"(?i:\bdrove\b)", "drive"),
        (r"(?i:\bhad\b)", "have"),
    )
)
