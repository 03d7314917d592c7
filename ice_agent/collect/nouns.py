"""Nouns that stand for relations: "my older brother", "our beagle", "my manager at Boots"."""

from __future__ import annotations

import re

from ice_agent import relations
from ice_agent.collect import forms, values


def relation_of(noun: str) -> tuple[str, bool]:
    """The relation that a noun names, and whether the words around it say that there are several."""
    plain = noun.strip()
    many = bool(re.match(r"(?:other|second|third|another) ", plain)) or bool(_AGED.match(plain))
    plain = re.sub(
        r"^(?:other(?! half)|second|third|another|wee|new|current|own|present|dear|beloved|lovely|two"
        r"|three|four"
        r"|five) ",
        "",
        plain,
    )
    plain = re.sub(r" (?:now|already|here|too)$", "", _AGED.sub("", plain))
    plain = re.sub(
        r"^(?:great|biggest|greatest|main|true|real|number one) (?=(?:passion|hobby|pastime|job)$)", "", plain
    )
    # "Our Maltese landlord", but "my German shepherd".
    first, _, others = plain.partition(" ")
    plain = others if others in forms.ROLES and values.is_demonym(first) else plain
    if of_role := _ROLE_WITH_PLACE.match(plain):
        plain = of_role[1]
    if (kind := _KIND.fullmatch(plain)) and plain.lower() not in forms.ROLES | relations.words():
        plain = kind[1]
    lower = plain if forms.is_favourite(plain) else plain[:1].lower() + plain[1:]
    breed = plain.split()[-1] if plain else ""
    known = "dog" if breed in _DOGS else "cat" if breed in _CATS else relations.canonical(plain)
    relation = known if known != plain.lower() or known in relations.named() else lower
    return relation, many and relation in forms.ROLES


# "My elderly neighbour", "my pen friend" and "our rescue dog" are a neighbour, a friend and a dog.
_KIND = re.compile(
    r"(?!(?:best|great|step|half|foster|god|guide) )(?:[\w-]+ ){1,2}(friend|buddy|colleague|coworker"
    r"|neighbou?r"
    r"|cousin|flatmate|housemate|roommate"
    r"|brother|sister|son|daughter|niece|nephew|aunt|uncle|dog|cat|rabbit|hamster|parrot|horse|pony"
    r"|budgie|tortoise)",
    re.IGNORECASE,
)
_AGED = re.compile(
    r"^(?:older|elder|eldest|oldest|younger|youngest|little|big|twin|baby|middle|only) (?=\w)(?!(?:name"
    r"|one)\b)"
)


def has_a_value(noun: str, relation: str) -> bool:
    is_known = relation in forms.READERS or relation in forms.PLAIN_VALUE_NOUNS or relation in forms.ROLES
    return (is_known or forms.is_favourite(relation)) and not PAST.search(noun)


def fitting(subject: str, relation: str, phrase: str) -> str:
    """A company is based where a person lives; where a country lies is its continent."""
    if relation == "home" and values.is_organisation(subject):
        return "seat"
    if relation == "home" and "to" in phrase.split() and values.is_organisation(phrase):
        return "employer"
    # Who starts at a university may as well study there.
    if relation == "employer" and _STARTS.match(phrase) and values.university(phrase.partition(" at ")[2]):
        return "university"
    return relation


def is_told_with_a_place(noun: str) -> bool:
    """ "My home is in Turin", "my birthday is on 3 May", but of no company and no person."""
    relation = relation_of(noun)[0]
    return relation in forms.READERS and relation != "employer" and noun not in forms.ROLES


def is_somebody(relation: str) -> bool:
    """Whether the noun is of a person or an animal."""
    last = relation.split()[-1]
    return (
        bool({relation, last} & {*forms.ROLES, *forms.RELATIVES})
        or relation in _PEOPLE
        or values.is_profession(last)
    )


_PEOPLE = frozenset(relations.canonical(role) for role in forms.ROLES) | frozenset(relations.relatives())
HEADS = frozenset({"boss", "head", "leader", "chief"})
"""Of a company, its chief executive."""


def is_of_no_person(relation: str) -> bool:
    """Capitals and seats belong to countries and companies; a person too may speak a language."""
    return relation != "language" and relations.relation(relation).subject_kind in ("country", "company")


PAST = re.compile(
    r"\b(?:ex|late|former|previous|old|(?:first|last)(?! (?:name|language))|next|future|dream|ideal"
    r"|would-be|imaginary"
    r"|potential)\b|^ex-"
)
_STARTS = re.compile(r"(?:(?:have|has) )?(?:just )?(?:started|began) at ")
FORMER = re.compile(
    r"(?:late|ex|former|previous)[ -]|old (?:boss|manager|flatmate|landlord|landlady|teacher|colleague"
    r"|roommate"
    r"|housemate|supervisor|coach)\b"
)
_DOGS = values.words("dog_breeds")
_CATS = values.words("cat_breeds")
# "My manager at Boots", "my best friend since school".
_ROLE_WITH_PLACE = re.compile(
    rf"((?:[\w-]+ )?(?:{'|'.join(sorted(forms.ROLES, key=len, reverse=True))})) (?:at|from|in|since) .+"
)
