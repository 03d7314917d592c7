"""Who is meant: by "she", by "my sister", by "it". Knows the names of one utterance, in its order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ice_agent import relations
from ice_agent.collect import forms, nouns, values
from ice_agent.collect.names import NAME
from memory import USER


@dataclass(slots=True, kw_only=True)
class People:
    """Who was named so far."""

    named: list[tuple[str, str]] = field(default_factory=list)
    """Names in the order of the text, each with "she", "he" or "" where the text does not tell."""
    roles: dict[tuple[str, str], str] = field(default_factory=dict)
    """(owner, "sister") -> "Anna", so that "my sister" is Anna from then on."""
    persons: set[str] = field(default_factory=set)
    topic: str | None = None
    """What the last fact was about, when it was not the user: "it" and "its"."""

    def is_person(self, subject: str) -> bool:
        """Known to be one: the user, whoever has a role or a job, and "she"."""
        return (
            subject == USER
            or subject in self.persons
            or "'s " in subject
            or dict(self.named).get(subject, "") != ""
        )

    def resolve(self, word: str) -> str | None:
        plain = word.lower()
        if plain in ("i", "me", "we", "us", "my", "our"):
            return USER
        gender = {"him": "he", "her": "she", "his": "he", "he": "he", "she": "she"}.get(plain)
        if gender:
            fitting = [name for name, known in self.named if known == gender]
            fitting = fitting or [
                name
                for name, known in self.named
                if not known and not values.is_organisation(name) and not (name.isupper() and len(name) > 1)
            ]
            return fitting[-1] if fitting else None
        if plain in ("it", "its"):
            return self.topic or self.last()
        return None if values.is_common_word(word) else re.sub(r"^The (?!Hague)", "the ", word)

    def owner(self, word: str) -> str | None:
        """Whose: "my", "her", "Anna's"."""
        plain = word.lower()
        if plain in ("my", "our"):
            return USER
        if plain in ("his", "her", "its"):
            return self.resolve(plain)
        if plain == "their":
            return None
        return self.resolve(word.removesuffix("'s").removesuffix("'"))

    def role(self, owner_word: str, noun: str) -> str | None:
        """ "my sister" is Anna when the utterance says so, and "the user's sister" when it does not."""
        owner, relation = self.owner(owner_word), nouns.relation_of(noun)[0]
        if owner is None or nouns.PAST.search(noun):
            return None
        named = self.roles.get((owner, relation))
        whose = "the user's" if owner == USER else f"{owner}'s"
        return named or relations.canonical_subject(f"{whose} {noun}")

    def introduce(self, owner: str, relation: str, noun: str, name: str) -> None:
        last = noun.split()[-1]
        gender = "she" if last in forms.FEMALE else "he" if last in forms.MALE else ""
        self.roles[(owner, relation)] = name
        self.mention(name, gender)

    def meet(self, words: str, introduced: Sequence[str], others: Sequence[str] = ()) -> None:
        """Note the names of a clause for pronouns to come, those whose relation was told last.

        `others` are of no person: a home, a surname.

        What follows "in" or "at" is a place, not a person.
        """
        for match in _ROLE_MENTIONED.finditer(words):
            # "Rupert is not my father" speaks of Rupert.
            is_denied = words.endswith(" not ", 0, match.start())
            if not is_denied and (role := self.role("my", match["noun"])) is not None:
                gender = (
                    "she" if match["noun"] in forms.FEMALE else "he" if match["noun"] in forms.MALE else ""
                )
                if gender:
                    self.mention(role, gender)
        for match in _MENTIONED.finditer(words):
            name = re.sub(r"^The (?!Hague)", "the ", match[0].removesuffix("'s"))
            is_owner = words.startswith("'s", match.end())
            if (
                not is_owner
                and _PLACED.search(words, 0, match.start())
                and (" " not in name or values.is_organisation(name))
            ):
                continue
            if name.lower() in forms.ROLES:
                continue
            # "Apparently Velora moved" is about Velora, "take Leo off" about Leo, and "our GP" is no name.
            first, _, rest = name.partition(" ")
            name = rest if rest and first in _OPENERS else name
            if name.isupper() and values.is_profession(name):
                continue
            # "I am called Ximena, not Jimena."
            if name in others or words.endswith(" not ", 0, match.start()):
                continue
            if name not in introduced and not values.is_common_word(name) and not values.is_demonym(name):
                self.mention(name)
        for name in introduced:
            self.mention(name)

    def mention(self, name: str, gender: str = "") -> None:
        known = dict(self.named)
        self.named = [(other, sex) for other, sex in self.named if other != name]
        self.named.append((name, gender or known.get(name, "")))

    def last(self) -> str | None:
        return self.named[-1][0] if self.named else None

    def last_company(self) -> str | None:
        return next((name for name, _ in reversed(self.named) if values.is_organisation(name)), None)


_ROLE_MENTIONED = re.compile(rf"\b[Mm]y (?P<noun>{forms.ROLE})\b")
_OPENERS = values.words("before_a_name")
_MENTIONED = re.compile(rf"\b[Mm]y (?P<noun>{forms.ROLE})\b")
_ADVERBS = frozenset(
    {
        "Actually",
        "Allegedly",
        "And",
        "Apparently",
        "But",
        "Now",
        "So",
        "Still",
        "Today",
        "Tomorrow",
        "Yesterday",
    }
)
_MENTIONED = re.compile(rf"(?<![\w'-]){NAME}")
_PLACED = re.compile(r"\b(?:in|at|from|to|of|near|left|joined|quit) $")
