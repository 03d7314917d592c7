"""Facts of two slots that cannot both be true: living in Lyon, and Spain as the country of residence.

Only what can be computed is compared, and nothing is retired by a guess: both stand and the prompt serves
both, but the newer one is kept from the weights until a person releases it or takes one of them back.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import cache
from importlib import resources
from typing import Final

from memory import CandidateFact, Fact

Excludes = Callable[[str, str, date], bool]
"""Whether two values cannot both be true on a day."""


def rivals(relation: str) -> frozenset[str]:
    """The relations whose facts may conflict with one of this relation."""
    pairs = [(a, b) for one, other, _ in _RULES for a, b in ((one, other), (other, one))]
    return frozenset().union(*(others for relations, others in pairs if relation in relations))


def conflicting(candidate: CandidateFact, standing: Iterable[Fact], today: date) -> Iterator[Fact]:
    """Those of the standing facts about the same subject that cannot be true together with the candidate."""
    for fact in standing:
        if any(excludes(*values, today) for values, excludes in _compared(candidate, fact)):
            yield fact


def is_known_place(name: str) -> bool:
    """Whether it is one of the cities and countries that are known; of others nothing is said."""
    return _plain(name) in _countries() or _plain(name) in _countries_by_name()


def _compared(candidate: CandidateFact, fact: Fact) -> Iterator[tuple[tuple[str, str], Excludes]]:
    """The two values in the order of every rule that compares their relations."""
    for relations, others, excludes in _RULES:
        if candidate.relation in relations and fact.relation in others:
            yield (candidate.object, fact.object), excludes
        elif candidate.relation in others and fact.relation in relations:
            yield (fact.object, candidate.object), excludes


def _is_elsewhere(city: str, country: str, today: date) -> bool:
    """Whether a city that is known lies in no part of a country that is known."""
    at, known = _countries().get(_plain(city)), _countries_by_name().get(_plain(country))
    return at is not None and known is not None and known not in at


def _is_another_age(age: str, birthday: str, today: date) -> bool:
    """Whether somebody born in that year cannot be so old: a birthday may be still to come."""
    said, born = re.fullmatch(r"\D*(\d{1,3})\D*", age), re.search(r"\b(?:19|20)\d\d\b", birthday)
    return said is not None and born is not None and today.year - int(born[0]) - int(said[1]) not in (0, 1)


def _is_same(one: str, other: str, today: date) -> bool:
    return _plain(one) == _plain(other)


def _is_single(spouse: str, status: str, today: date) -> bool:
    return _plain(status) in ("single", "unmarried", "not married", "divorced", "widowed", "never married")


def _is_idle(work: str, status: str, today: date) -> bool:
    return _plain(status) in ("unemployed", "out of work", "between jobs", "jobless", "retired")


_RULES: Final[tuple[tuple[frozenset[str], frozenset[str], Excludes], ...]] = (
    (frozenset({"home"}), frozenset({"country of residence", "country"}), _is_elsewhere),
    (frozenset({"birthplace"}), frozenset({"country of birth"}), _is_elsewhere),
    (frozenset({"age"}), frozenset({"birthday", "birth year"}), _is_another_age),
    (frozenset({"likes"}), frozenset({"dislikes", "hates"}), _is_same),
    (frozenset({"spouse"}), frozenset({"marital status", "relationship status"}), _is_single),
    (frozenset({"employer"}), frozenset({"employment status"}), _is_idle),
)


def _plain(text: str) -> str:
    return text.casefold().strip(" .").removeprefix("the ")


@cache
def _countries() -> dict[str, frozenset[str]]:
    """The countries that have a city of this name."""
    found: dict[str, set[str]] = {}
    for country, cities in _places()["countries"].items():
        for city in cities:
            found.setdefault(_plain(city), set()).add(country)
    return {city: frozenset(countries) for city, countries in found.items()}


@cache
def _countries_by_name() -> dict[str, str]:
    """Every name of a country, with the one that the file uses."""
    file = _places()
    other = {_plain(name): country for country, names in file["aliases"].items() for name in names}
    return {_plain(country): country for country in file["countries"]} | other


@cache
def _places() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(resources.files(__package__).joinpath("places.toml").read_text(encoding="utf-8"))
