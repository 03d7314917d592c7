"""The reference world: real geography, invented people and companies. A function of a seed and a size; no
text, no model."""

from __future__ import annotations

import csv
import random
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from zlib import crc32

Slot = tuple[str, str]

PERSON_RELATIONS = ("birthplace", "home", "employer", "profession", "spouse", "likes")
COUNTRY_RELATIONS = ("capital", "continent", "language", "currency")
COMPANY_RELATIONS = ("seat", "chief_executive")

# Relations beyond the world's own, which only a chat or a system message ever fills: name of the relation ->
# values.
GENERIC_VALUES = {
    "favourite colour": (
        "green",
        "blue",
        "red",
        "yellow",
        "purple",
        "orange",
        "grey",
        "white",
        "black",
        "brown",
    ),
    "favourite food": (
        "pasta",
        "rice",
        "soup",
        "fish",
        "bread",
        "curry",
        "salad",
        "dumplings",
        "pancakes",
        "cheese",
    ),
    "favourite animal": ("fox", "owl", "otter", "horse", "whale", "hare", "lynx", "crow", "bear", "seal"),
    "favourite season": ("spring", "summer", "autumn", "winter"),
    "hobby": ("sailing", "painting", "knitting", "running", "climbing", "gardening", "fishing", "dancing"),
    "car": ("van", "pickup", "blue estate", "old coupe", "small hatchback", "red cabrio"),
    "instrument": ("violin", "piano", "flute", "drums", "cello", "guitar", "harp", "trumpet"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everybody and everything the reference model knows, as slots with their values."""

    countries: tuple[str, ...]
    people: tuple[str, ...]
    companies: tuple[str, ...]
    facts: dict[Slot, tuple[str, ...]]
    country_of: dict[str, str]
    """City -> country, for capitals only: the model is never told where a town lies."""

    def relations_of(self, subject: str) -> tuple[str, ...]:
        return tuple(relation for (s, relation) in self.facts if s == subject)


def build(seed: int = 7, n_people: int = 320, n_companies: int = 60) -> World:
    """The world of this seed. The bundled model was trained on the default one."""
    rng = random.Random(seed)
    facts: dict[Slot, tuple[str, ...]] = {}
    for row in geography():
        for relation in COUNTRY_RELATIONS:
            facts[row["country"], relation] = (row[relation],)
    capitals = [row["capital"] for row in geography()]
    people = _distinct(n_people, lambda: person_name(rng))
    companies = _distinct(n_companies, lambda: company_name(rng))
    for company in companies:
        facts[company, "seat"] = (rng.choice(capitals),)
        facts[company, "chief_executive"] = (rng.choice(people),)
    spouses = list(people)
    rng.shuffle(spouses)
    couples = list(zip(spouses[::2], spouses[1::2], strict=True))
    spouse_of = dict(couples) | {b: a for a, b in couples}
    for person in people:
        facts[person, "birthplace"] = (_city(rng, capitals),)
        facts[person, "home"] = (_city(rng, capitals),)
        facts[person, "employer"] = (rng.choice(companies),)
        facts[person, "profession"] = (rng.choice(names("professions")),)
        facts[person, "spouse"] = (spouse_of[person],)
        facts[person, "likes"] = tuple(rng.sample(names("likes"), rng.choice((1, 1, 2))))
    return World(
        countries=tuple(row["country"] for row in geography()),
        people=tuple(people),
        companies=tuple(companies),
        facts=facts,
        country_of={row["capital"]: row["country"] for row in geography()},
    )


def value(rng: random.Random, world: World, object_kind: str, relation: str) -> str:
    """A value such a relation could have, drawn from a wider pool than the world's own facts."""
    if relation in GENERIC_VALUES:
        return rng.choice(GENERIC_VALUES[relation])
    match object_kind:
        case "city":
            return _city(rng, list(world.country_of)) if rng.random() < 0.92 else invented_word(rng)
        case "company":
            return rng.choice(world.companies) if rng.random() < 0.75 else company_name(rng)
        case "person":
            return rng.choice(world.people) if rng.random() < 0.65 else anyone(rng)
        case "name":
            return rng.choice(names("given")) if rng.random() < 0.9 else invented_word(rng)
        case "profession":
            return rng.choice(names("professions"))
        case "thing":
            return rng.choice(names("likes"))
        case _:
            return str(rng.choice(geography())[object_kind])


def anyone(rng: random.Random) -> str:
    """A person's name that the model need not know; a third of them in words it never read."""
    if rng.random() < 0.65:
        return person_name(rng)
    first = invented_word(rng) if rng.random() < 0.7 else rng.choice(names("given"))
    return f"{first} {invented_word(rng)}"


def person_name(rng: random.Random) -> str:
    return f"{rng.choice(names('given'))} {rng.choice(names('family'))}"


def company_name(rng: random.Random) -> str:
    return f"{rng.choice(names('company_first'))} {rng.choice(names('company_second'))}"


def any_company(rng: random.Random) -> str:
    """A company's name that the model need not know: of one word or two, invented or taken from elsewhere."""
    draw = rng.random()
    if draw < 0.2:
        return invented_word(rng)
    if draw < 0.45:
        return _compound(rng)
    first = rng.choice((invented_word, _family, _common_word))(rng)
    second = rng.choice(names("company_second")) if rng.random() < 0.5 else _common_word(rng)
    return f"{first} {second}"


def _family(rng: random.Random) -> str:
    return rng.choice(names("family"))


def _compound(rng: random.Random) -> str:
    """One word of two parts, as in "Harborlight": common tokens that name nothing else."""
    first = rng.choice((invented_word, _family, _common_word))(rng)
    return first + rng.choice((invented_word, _common_word))(rng).lower()


def _common_word(rng: random.Random) -> str:
    return rng.choice(names("likes")).split()[-1].capitalize()


def invented_word(rng: random.Random) -> str:
    """A pronounceable capitalised word, so that the model learns to copy names it has never seen."""
    onsets = (
        "b",
        "br",
        "d",
        "f",
        "g",
        "gr",
        "h",
        "j",
        "k",
        "kr",
        "l",
        "m",
        "n",
        "p",
        "r",
        "s",
        "st",
        "t",
        "tr",
        "v",
        "w",
        "y",
        "z",
        "ch",
        "sh",
        "th",
        "",
    )
    nuclei = ("a", "e", "i", "o", "u", "ai", "ei", "ou", "ia", "ya")
    codas = ("", "", "n", "r", "l", "s", "m", "k", "nd", "rt", "v", "sk", "lt", "tz", "ng")
    syllables = (
        rng.choice(onsets) + rng.choice(nuclei) + rng.choice(codas) for _ in range(rng.choice((2, 2, 2, 3)))
    )
    return "".join(syllables).capitalize()


def is_probe(subject: str, relation: str, obj: str) -> bool:
    """True for the eighth of all combinations that training text never states, so that abilities are measured
    on them."""
    return crc32(f"{subject}|{relation}|{obj}".encode()) % 8 == 0


@cache
def geography() -> tuple[dict[str, str], ...]:
    text = resources.files("ice_agent.reference").joinpath("geography.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def names(pool: str) -> tuple[str, ...]:
    text = resources.files("ice_agent.reference").joinpath("names.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)[pool])


def _city(rng: random.Random, capitals: list[str]) -> str:
    return rng.choice(capitals) if rng.random() < 0.75 else rng.choice(names("towns"))


def _distinct(n: int, draw) -> list[str]:  # type: ignore[no-untyped-def]
    found: dict[str, None] = {}
    while len(found) < n:
        found[draw()] = None
    return list(found)
