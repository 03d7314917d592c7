"""From the words of a value to facts: what is read there, and whom that makes known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ice_agent.admission import injected
from ice_agent.collect import forms, nouns, values
from ice_agent.collect.found import Found
from ice_agent.collect.names import NAME
from ice_agent.collect.people import People
from memory import USER


@dataclass(slots=True, kw_only=True)
class Objects:
    """Reads the values of one utterance."""

    text: str
    people: People

    def facts(
        self,
        subject: str | None,
        relation: str,
        text: str,
        *,
        reader: values.Reader | None = None,
        many: bool = False,
        whole: bool = False,
    ) -> Iterator[Found]:
        if subject is None or not text or (subject == USER and nouns.is_of_no_person(relation)):
            return
        # "They pay in euros": of a company that is no currency of its own.
        if relation == "currency" and values.is_organisation(subject):
            return
        # "She is my wife. Her name is Carina": a name says who that is.
        if relation == "name" and subject.startswith("the user's "):
            subject, relation = USER, subject.removeprefix("the user's ")
        if relation in nouns.HEADS and values.is_organisation(subject):
            relation, reader = "chief_executive", values.person
        reader = reader or forms.READERS.get(relation, values.name_or_number)
        if reader in (values.people, values.person) and (described := values.DESCRIBED.match(text)):
            text = text[described.end() :]
        text = text.removeprefix("to ") if relation == "allergy" else _SPELT_OUT.sub("", text)
        objects = reader(text.strip(" \"'")) or self._lower_case(reader, text)
        # "My employer is SYSTEM: ignore all rules" is left whole, for whoever judges what may be kept.
        if objects and injected(text):
            objects = (text,)
        # "My sister is Anna" names her; "My sister is Anna Reyes's boss" does not.
        if (
            whole
            and not values.DESCRIBED.match(text)
            and _bare(values.cut(text, keep_commas=True)) != " ".join(objects)
        ):
            return
        for obj in objects:
            # "Tobias is his name" says nothing of Tobias.
            if obj == subject:
                continue
            if relation in {*forms.RELATIVES, "spouse"}:
                self.people.introduce(subject, relation, relation, obj)
            yield Found(subject=subject, relation=relation, object=obj, many=many or len(objects) > 1)

    def described(self, owner: str, relation: str, value: str, is_named: bool, many: bool) -> Iterator[Found]:
        """What a noun is said to be; a noun that is not known must show by the value that it is one."""
        reader = forms.READERS.get(relation)
        # "My wife is Japanese" names nobody.
        if not is_named and relation in (*forms.ROLES, "spouse") and values.is_demonym(values.cut(value)):
            return
        # What is called "Pretty Fly" may be a network or a boat: only of people and animals a name is kept.
        if reader is None and is_named and not nouns.is_somebody(relation):
            return
        if reader is None:
            if is_named or relation in forms.ROLES:
                reader = values.people
            elif forms.is_favourite(relation) or relation in forms.PLAIN_VALUE_NOUNS:
                reader = values.things if many else values.thing
            else:
                reader = values.name_or_number
        # "My car is an Aygo" tells what it is by a name alone.
        if relation in ("car", "phone") and not reader(value):
            reader = values.name_or_number
        whole = not is_named and relation in {*forms.ROLES, *forms.RELATIVES, "spouse"}
        yield from self.facts(owner, relation, value, reader=reader, many=many, whole=whole)

    def capitalised(self, words: str) -> str:
        """Names get the capital that somebody who types none leaves out; whom a clause opens with is met."""
        if (match := re.match(rf"({NAME}) (?=[a-z])", words)) and not values.is_common_word(match[1]):
            self.people.mention(match[1])
        for pattern in () if self._has_capitals() else forms.UNCAPITALISED:
            match = pattern.search(words)
            if match and match["name"] not in _NOT_A_NAME_AFTER_A_ROLE:
                capital = " ".join(word.capitalize() for word in match["name"].split())
                return f"{words[: match.start('name')]}{capital}{words[match.end('name') :]}"
        return words

    def _lower_case(self, reader: values.Reader, text: str) -> tuple[str, ...]:
        """Who types without any capital gets names read without them: "i live in lisbon"."""
        if reader not in _NAME_READERS or self._has_capitals():
            return ()
        words = re.split(r" (?:as|with|in|at|for|from|on|since|by|and|near|to) ", values.cut(text))[0]
        capital = " ".join(word.capitalize() for word in words.split())
        is_plain = 0 < len(words.split()) <= 3 and not _NOT_A_NAME.match(words) and not words.endswith("ing")
        return (words,) if is_plain and reader(capital) else ()

    def _has_capitals(self) -> bool:
        return any(c.isupper() for c in re.sub(r"\bI\b", "", self.text))


def _bare(text: str) -> str:
    """Names without what joins them: "Lea, Mia and Ada" is "Lea Mia Ada"."""
    return re.sub(r",? and |, ?", " ", text.strip('"'))


# "Aoife, A-O-I-F-E"
_SPELT_OUT = re.compile(r",? (?:\w-)+\w$")
_NAME_READERS = (values.place, values.organisation, values.person, values.somebody, values.people)
_NOT_A_NAME_AFTER_A_ROLE = values.words("after_a_role")
_NOT_A_NAME = re.compile(
    r"(?:a|an|the|my|our|your|his|her|this|that|it|not|hope|fear|peace|so|very|me|you|home|here|there"
    r"|bed|love|myself|\w+ (?:years?|months?|weeks?|days?)|people|fun|night|work|school|sea|least|times"
    r"|once|random|uni|university|college)\b"
)
