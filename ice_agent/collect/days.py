"""When a fact holds, by the words around it: "since March", "until last year". Knows no relation.

A year, month, season or week stands for its first day. What names no day ("until I was 12") is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dateutil import parser
from dateutil.easter import easter
from dateutil.relativedelta import relativedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The first day on which something holds, and the first on which it does not; None where nothing says."""

    start: date | None = None
    end: date | None = None


NEVER_SAID = Period()
"""Of words that say nothing of when."""


def period(text: str, said_on: date) -> Period:
    """The period that the words of a clause name. A day without a year is the one that the tense means."""
    start = end = None
    is_past = bool(_PAST_TENSE.search(text))
    for match in _phrases(text):
        spoken = match.groupdict()
        if spoken["range_start"] and spoken["range_end"]:
            end = _day(spoken["range_end"], said_on, _latest)
            start = _day(spoken["range_start"], end or said_on, _latest)
        elif spoken["until"]:
            end = _day(spoken["until"], said_on, _latest if is_past else _next)
        elif spoken["as_of"]:
            start = _day(spoken["as_of"], said_on, _nearest)
        elif spoken["length"]:
            start = said_on - _length(spoken["length"])
        elif spoken["since"]:
            start = _day(spoken["since"], said_on, _latest)
        else:
            start = _day(spoken["moment"], said_on, _next if _BEGINS.search(text) else _latest)
    return Period() if start and end and end < start else Period(start=start, end=end)


def untimed(text: str) -> str:
    """The words of a clause without those that name its period."""
    for match in reversed(_phrases(text)):
        text = f"{text[: match.start()].rstrip(' ,')} {text[match.end() :].lstrip(' ,')}".strip()
    return text


def is_only_a_period(text: str) -> bool:
    """ "Since March": the opening of a sentence whose next clause it is about."""
    return bool(_phrases(text)) and not untimed(text).strip(" ,")


_MONTHS = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_NUMBERS = {
    word: number
    for number, words in enumerate(
        (
            "a an one", "two couple", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
            "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
            "nineteen", "twenty",
        ),
        start=1,
    )
    for word in words.split()
} | {"thirty": 30, "forty": 40, "fifty": 50}  # fmt: skip
_YEAR = r"(?:1[5-9]|20)\d{2}"
_OF_MONTH = r"\d{1,2}(?:st|nd|rd|th)?"
_COUNT = (
    rf"(?:\d{{1,2}}|thirty|forty|fifty|(?:a )?couple of|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
)
_UNIT = r"(?:day|week|month|year)s?"
_LENGTH = rf"(?:{_COUNT} {_UNIT}|half a year)(?: and a half)?"
_PERIOD = rf"(?:week|month|year|{'|'.join(_SEASONS)}|{'|'.join(_WEEKDAYS)}|{_MONTHS})"
_NAMED_DAY = (
    rf"(?:{_YEAR}-\d{{2}}-\d{{2}}|(?:the )?{_OF_MONTH}(?: of)? {_MONTHS}\b(?:,? {_YEAR})?"
    rf"|{_MONTHS} (?:the )?{_OF_MONTH}\b(?! years)(?:,? {_YEAR})?|{_MONTHS}(?: of)?,? {_YEAR}"
    rf"|(?:the )?(?:{'|'.join(_SEASONS)})(?: of)? {_YEAR}"
    rf"|(?:the )?(?:beginning|start|end) of (?:{_MONTHS} {_YEAR}|{_YEAR}|{_MONTHS}|(?:the|this|last|next) "
    rf"(?:month|year))|{_LENGTH} ago|(?:(?:early|earlier|late|later|the) )?(?:last|this|next) {_PERIOD}"
    rf"|yesterday|today|tomorrow|christmas|easter|(?:the )?first of the month|new year(?:'s(?: day)?)?)"
)
_DAY = rf"(?:{_NAMED_DAY}|{_YEAR}|(?:the )?(?:{'|'.join(_SEASONS)})|{'|'.join(_WEEKDAYS)}|{_MONTHS})"
_STOP = r"(?![\w'-])"

_PHRASE = re.compile(
    r"(?<![\w'-])(?:"
    rf"(?:from|between) (?P<range_start>{_DAY}){_STOP} (?:to|until|till|til|and|through)"
    rf" (?P<range_end>{_DAY})"
    rf"|(?:(?:up )?(?:until|till|til)|up to) (?P<until>{_DAY})"
    rf"|(?:ever )?since (?P<since>{_DAY})"
    rf"|(?:as of|as from|from|(?:starting|beginning|effective)(?: from| in| on| with)?) (?P<as_of>{_DAY})"
    r"(?: on| onwards?)?"
    rf"|for (?:(?:about|over|almost|nearly|more than|the last|the past) )?(?P<length>{_LENGTH})"
    r"(?: now| already)?"
    rf"|(?:(?:back )?in |on |around )?(?P<moment>{_DAY})"
    rf"){_STOP}",
    re.IGNORECASE,
)
_CHANGES = re.compile(
    r"\b(?:moved|joined|married|started|began|became|relocated|settled|hired|got|adopted|bought|switched"
    r"|quit|left|resigned|stepped|fired|sacked|retired|divorced|split|broke|stopped|sold|lost|emigrated"
    r"|transferred)\b"
)
# To have been married is no event.
_STATE = re.compile(r"\bbeen married\b")
_BEGINS = re.compile(
    r"\b(?:will|shall|going to|starts?|starting|begins?|beginning|moves?|moving|joins?|joining"
    r"|relocating|becoming)\b|'ll\b"
)
_PAST_TENSE = re.compile(r"\b(?:was|were|lived|worked|had|used to|studied|owned|played|taught|spent)\b")
_PERFECT = re.compile(r"\b(?:have|has|been)\b|'ve\b|\bnow\b|'s been\b")
_BIRTH = re.compile(r"\b(?:born|birthday|bday|anniversary)\b", re.IGNORECASE)


def _phrases(text: str) -> list[re.Match[str]]:
    return [match for match in _PHRASE.finditer(text) if _names_a_period(match, text)]


def _names_a_period(match: re.Match[str], text: str) -> bool:
    """A day alone counts where something happens on it; a length, where it goes on until now."""
    if _BIRTH.search(text):
        return False
    if match["length"]:
        return bool(_PERFECT.search(text)) and not _CHANGES.search(_STATE.sub("", text))
    if match["moment"]:
        is_bare = match["moment"] == match[0]
        is_named = not is_bare or re.search(r" ago$|^(?:last|this|yester)", match[0], re.IGNORECASE)
        return bool((_CHANGES.search(text) or _BEGINS.search(text)) and is_named)
    return True


def _day(text: str, said_on: date, chosen: Callable[[date, date, relativedelta], date]) -> date | None:
    """The first day of what is named; `chosen` finds the year where the words leave it open."""
    words = re.sub(r"^(?:early|earlier|late|later|the) ", "", text.lower())
    if ago := re.fullmatch(rf"({_LENGTH}) ago", words):
        return said_on - _length(ago[1])
    if edge := re.fullmatch(r"(beginning|start|end) of (.+)", words):
        first = _day(re.sub(r"^the ", "this ", edge[2]), said_on, chosen)
        if first is None or edge[1] != "end":
            return first
        is_year = edge[2].endswith("year") or re.fullmatch(_YEAR, edge[2])
        return first + (relativedelta(years=1) if is_year else relativedelta(months=1)) - timedelta(days=1)
    if which := re.fullmatch(rf"(last|this|next) ({_PERIOD})", words):
        return _beside(which[2], which[1], said_on)
    return _plain_day(words, said_on, chosen)


def _plain_day(words: str, said_on: date, chosen: Callable[[date, date, relativedelta], date]) -> date | None:
    near = {"yesterday": -1, "today": 0, "tomorrow": 1}
    year = re.search(rf"\b{_YEAR}\b", words)
    season = next((month for name, month in _SEASONS.items() if name in words), None)
    if words in near:
        return said_on + timedelta(days=near[words])
    if words in _WEEKDAYS:
        return chosen(_weekday_of(words, said_on), said_on, relativedelta(weeks=1))
    if re.fullmatch(_YEAR, words):
        return date(int(words), 1, 1)
    if season:
        first = date(int(year[0]) if year else said_on.year, season, 1)
    elif words == "first of the month":
        return said_on.replace(day=1)
    elif words == "easter":
        first = easter(said_on.year)
        return (
            first
            if chosen(first, said_on, relativedelta(years=1)) == first
            else easter(chosen(first, said_on, relativedelta(years=1)).year)
        )
    elif words.startswith(("christmas", "new year")):
        first = date(said_on.year, 12, 25) if words == "christmas" else date(said_on.year, 1, 1)
    else:
        try:
            first = parser.parse(words, default=datetime(said_on.year, 1, 1)).date()
        except (ValueError, OverflowError):
            return None
    return first if year else chosen(first, said_on, relativedelta(years=1))


def _beside(name: str, which: str, said_on: date) -> date:
    """The week, month, year, season or weekday before, around or after the one in which it is said."""
    step = {"last": -1, "this": 0, "next": 1}[which]
    if name == "week":
        return said_on - timedelta(days=said_on.weekday()) + timedelta(weeks=step)
    if name == "month":
        return said_on.replace(day=1) + relativedelta(months=step)
    if name == "year":
        return date(said_on.year + step, 1, 1)
    choose = {"last": _latest, "this": _nearest, "next": _next}[which]
    if name in _WEEKDAYS:
        return choose(_weekday_of(name, said_on), said_on, relativedelta(weeks=1))
    month = _SEASONS.get(name) or parser.parse(name).month
    return choose(date(said_on.year, month, 1), said_on, relativedelta(years=1))


def _weekday_of(name: str, said_on: date) -> date:
    return said_on + timedelta(days=_WEEKDAYS.index(name) - said_on.weekday())


def _latest(day: date, said_on: date, step: relativedelta) -> date:
    return day if day < said_on else day - step


def _next(day: date, said_on: date, step: relativedelta) -> date:
    return day if day > said_on else day + step


def _nearest(day: date, said_on: date, step: relativedelta) -> date:
    return min(
        (_latest(day, said_on, step), _next(day, said_on, step)), key=lambda other: abs(other - said_on)
    )


def _length(text: str) -> relativedelta:
    if text.startswith("half"):
        return relativedelta(months=6)
    # "a couple of years" counts two, "a year and a half" a year and six months.
    whole = text.lower().removesuffix(" and a half")
    *_, count, unit = whole.replace("couple of", "couple").split()
    number = int(count) if count.isdigit() else _NUMBERS[count]
    half = relativedelta(months=6 if whole != text.lower() and unit.startswith("year") else 0)
    return half + number * _ONE[unit.removesuffix("s")]


_ONE = {
    "day": relativedelta(days=1),
    "week": relativedelta(weeks=1),
    "month": relativedelta(months=1),
    "year": relativedelta(years=1),
}
