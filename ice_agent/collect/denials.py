"""What a clause denies, ends or tells of the past, and what it says once that is taken out of its words."""

from __future__ import annotations

import re
from enum import Enum

from ice_agent.collect import forms
from ice_agent.collect.clauses import NEVER_SO, Clause
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
        for pattern, as_it_was in _OF_NOTHING_NAMED if not (n_once or n_over) else ():
            words = pattern.sub(as_it_was, words)
        words = _IN.sub("live in ", words) if n_removed else words
        return _BEING.sub("am ", words) if stopped else words, Denial.OVER
    if not _NOT.search(words):
        for cue, pattern, as_it_was in _OVER:
            if cue in words and pattern.search(words):
                return pattern.sub(as_it_was, words), Denial.OVER
        if _NEVER_DID.search(words):
            put_right = _THEY_NEVER.match(words) if clause.is_correction else None
            return (f"{put_right[1]}{put_right[2]}", Denial.WRONG) if put_right else (None, Denial.NONE)
        return words, Denial.NONE
    if thing := _NOT_MY_THING.fullmatch(words):
        return f"I like {thing[1]}", Denial.WRONG
    if _NOT_MY_SISTER.fullmatch(words):
        return words.replace(" not ", " "), Denial.WRONG
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
# "No, I never lived in Lisbon" puts something right; without the "no" nobody may have said so.
_NEVER_DID = re.compile(rf"\bnever (?:{NEVER_SO}) ")
_THEY_NEVER = re.compile(rf"((?:I|[Ww]e|[Hh]e|[Ss]he|[Ii]t|{NAME}) )never (.+)")
# "He isn't my flatmate now" says that he was.
_NOT_NOW = re.compile(r"((?:\bam|\bis|\bare|\bdo|\bdoes) not .+?),? (?:now|these days)$")
_STOPPED = re.compile(
    r"\b(?:have |has )?(?:stopped|gave up|given up|quit)\s+(?=(?:living|working|liking|loving|enjoying"
    r"|being|learning|playing|studying|driving|speaking|doing|practi[cs]ing)\b)"
)
_BEING = re.compile(r"\bbeing ")
# "I don't work there anymore" means wherever it was.
_THERE = re.compile(r"\b(lives?|works?) t?here$")
_OF_NOTHING_NAMED = tuple(
    (re.compile(pattern), as_it_was)
    for pattern, as_it_was in (
        # "I don't have a sister any more" means whoever she was.
        (rf"\b(have|has|got) (?:got )?(?:an?|any|no) ({forms.ROLE}|job|car)$", r"\1 no longer \2"),
        (r"\b(?:(?:am|is|are) (?:employed|working)|works?|working)$", "work no longer"),
        (r"\b(am|is|are) engaged$", r"\1 no longer engaged"),
        (rf"^({NAME}) is home$", r"\1 is my home"),
        (r"^([\w' -]{2,40}?) (?:is|are) my (?:thing|cup of tea)$", r"I like \1"),
    )
)
"""What is no longer so, in words that tell it from what is."""
# "I'm no longer in Lisbon" is said of a home, "I'm not in Lisbon now" of a journey.
_IN = re.compile(rf"\b(?:am|is|are) in (?={NAME}$)")
_WHOSE = rf"(?:an?|the|my|our|his|her|{NAME}'s)"
_OVER = tuple(
    (cue, re.compile(pattern), as_it_was)
    for cue, pattern, as_it_was in (
        # "Anna stepped down as chief executive of Acme", "I resigned as treasurer"
        (
            " as ",
            r" (?:(?:has|have|had to|was|is|am|been|just|recently|finally|now) )*(?:stepped down|step down"
            r"|stood down|resign|resigned|retired|quit|replaced|ousted|removed|dismissed|sacked|fired|out)"
            r" as (?=\w)",
            " is ",
        ),
        (
            " as ",
            r" (?:has |have )?(?:gave up|given up|left|quit|lost|resigned from|stepped down from) (?:his|her"
            r"|my|their|the) (?:job|role|post|position) as (?=(?:the )?(?:CEO|chief executive)\b.* (?:of|at)"
            r" [A-Z])",
            " is ",
        ),
        # "Tom is my ex now", "Karen is my former boss", "I'm an ex-soldier"
        (" ex", r"\b(is (?:my|our|his|her)) ex(?= now$|$)", r"\1 partner"),
        (" ex", rf"\b((?:am|is|are) {_WHOSE} )ex[- ](?=\w\w)", r"\1"),
        (" former ", rf"\b((?:am|is|are) {_WHOSE} )former ", r"\1"),
    )
)
"""What is over by what is said of it, and what was."""
_NOT_MY_THING = re.compile(r"([\w' -]{2,40}?) (?:is|are) not my (?:thing|cup of tea)")
# Who is named is taken back alone: whoever else is my sister stays that.
_NOT_MY_SISTER = re.compile(
    rf"(?:{NAME}|[Hh]e|[Ss]he) is not (?:my|our|his|her|{NAME}'s) (?:{forms.ROLE})(?:,? actually)?"
)
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
        (r"^I (?:was|be|is)\b", "I am"),
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
