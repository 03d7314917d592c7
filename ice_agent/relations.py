"""The words of relations: how a fact is stated, heard, asked and answered. Knows no facts and no model.

The forms live in relations.toml; the question forms that an edit must never train on live in held_out.toml.
A relation that the file does not name is spoken of generically ("What is my favourite colour?").
"""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

from memory import STATEMENT, USER, Cardinality

logger = logging.getLogger(__name__)

VOWELS = "aeiou"
PLACEHOLDER = re.compile(r"\{(?:subject|object|a_object)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """The sentences of one relation; {subject}, {object} and {a_object} are filled in.

    `questions[0]` is the rewrite prompt. `rephrases` are set aside: they measure an edit and never train it.
    `unseen` are forms that the bundled model never met in training either.
    """

    statements: tuple[str, ...]
    questions: tuple[str, ...]
    answer: str
    heard: tuple[str, ...] = ()
    rephrases: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One relation: its cardinality, what stands at both ends, its words about others and about the user."""

    id: str
    cardinality: Cardinality
    subject_kind: str
    object_kind: str
    third: Forms
    first: Forms

    def forms(self, subject: str) -> Forms:
        return self.first if subject == USER else self.third


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A one-hop consequence: the object of `through` is the subject of `then`."""

    through: str
    then: str
    third: Forms
    first: Forms

    def forms(self, subject: str) -> Forms:
        return self.first if subject == USER else self.third


def relation(relation_id: str) -> Relation:
    """The relation with this id; an id that the file does not name gets the generic words."""
    known = _file()
    return known.get(relation_id) or _generic(relation_id)


def canonical(relation_id: str) -> str:
    """The one name of a relation, however it is spelled: "Mum" is "mother", "favorite color" one with "u"."""
    plain = " ".join(relation_id.casefold().replace("_", " ").split())
    for american, british in _BRITISH:
        plain = plain.replace(american, british)
    return _names().get(plain, plain)


def canonical_subject(subject: str) -> str:
    """Whoever is named by a relation, by its one name: "the user's mum" is "the user's mother"."""
    owner, separator, noun = subject.rpartition("'s ")
    # "Joe's Firm" is a name.
    return f"{owner}'s {canonical(noun)}" if separator and noun.islower() else subject


def cardinality(subject: str, relation_id: str) -> Cardinality:
    """One value at a time where the file says so, and of a favourite; else values live side by side."""
    # A country has one official language here; a person may speak many.
    speaks = subject == USER and relation_id == "language"
    return Cardinality.MANY if speaks else relation(relation_id).cardinality


def is_known(relation_id: str) -> bool:
    """Whether the file says how many values the relation has."""
    return relation_id in _file() or _is_functional(relation_id)


@cache
def words() -> frozenset[str]:
    """Every name of a relation that the file knows, in any spelling."""
    return frozenset({*_names(), *_names().values(), *_toml("relations.toml")["functional"]["relations"]})


@cache
def sensitive(names: tuple[str, ...]) -> frozenset[str]:
    """The relations that are never learned; any noun may be one, so a slip of the pen is only warned of."""
    wanted = frozenset(map(canonical, names))
    for name in sorted(wanted - words()):
        if near := get_close_matches(name, words(), n=1, cutoff=0.8):
            logger.warning(
                "sensitive_relations: %r is no relation known here; kept out as it stands (did you mean %r?)",
                name,
                near[0],
            )
    return wanted


def named() -> tuple[str, ...]:
    """The relations that the file names, in its order."""
    return tuple(_file())


def relatives() -> tuple[str, ...]:
    """The relations whose objects are names of relatives and animals."""
    return tuple(_toml("relations.toml")["named"]["relations"])


@cache
def hops() -> tuple[Hop, ...]:
    """The one-hop consequences; `questions` may train an edit, `rephrases` only measure it."""
    return tuple(
        Hop(
            through=row["through"],
            then=row["then"],
            third=_hop_forms(row, ""),
            first=_hop_forms(row, "_user"),
        )
        for row in _toml("relations.toml")["hops"]
    )


@cache
def reversed_forms() -> dict[str, Forms]:
    """Relations that can be asked from the object's end, by relation id."""
    return {row["relation"]: _hop_forms(row, "") for row in _toml("relations.toml")["reversed"]}


def held_out_entities(kind: str) -> tuple[str, ...]:
    """Names ("people", "companies") that no training text of the bundled model contains."""
    return tuple(_toml("held_out.toml")["entities"][kind])


def related(subject: str, relation_id: str) -> tuple[str, ...]:
    """The relations that this subject could also have, besides this one."""
    kind = relation(relation_id).subject_kind
    others = (name for name, other in _file().items() if other.subject_kind == kind and name != relation_id)
    # Only the user is asked for a name, and only of the user are relatives usually known.
    return tuple(name for name in others if subject == USER or (name != "name" and name not in relatives()))


def asked(subject: str, relation_id: str) -> tuple[str, ...]:
    """The questions about a slot that an edit may train on."""
    return tuple(fill(form, subject) for form in relation(relation_id).forms(subject).questions)


def probed(subject: str, relation_id: str) -> tuple[str, ...]:
    """The questions about a slot that only measure: no edit ever trains on these forms."""
    return tuple(fill(form, subject) for form in relation(relation_id).forms(subject).rephrases)


def asked_further(subject: str, relation_id: str) -> tuple[str, ...]:
    """The questions one hop beyond a slot that an edit may train on."""
    return _further(subject, relation_id, lambda forms: forms.questions)


def probed_further(subject: str, relation_id: str) -> tuple[str, ...]:
    """The questions one hop beyond a slot that only measure."""
    return _further(subject, relation_id, lambda forms: forms.rephrases)


def _further(subject: str, relation_id: str, of: Callable[[Forms], tuple[str, ...]]) -> tuple[str, ...]:
    follows = [hop.forms(subject) for hop in hops() if hop.through == relation_id]
    return tuple(fill(form, subject) for forms in follows for form in of(forms))


def slot_asked(question: str) -> tuple[str, str] | None:
    """The (subject, relation) that a third-person question asks for, if it is one of the forms known here."""
    for pattern, relation_id in _patterns():
        if match := pattern.fullmatch(question):
            return match["subject"], relation_id
    return None


def first_person(relation_ids: Iterable[str]) -> frozenset[str]:
    """Every question that the user may ask of these slots of their own, and of what follows from them."""
    wanted = frozenset(relation_ids)
    asked_of = (relation(id_).first for id_ in wanted)
    follows = (hop.first for hop in hops() if hop.through in wanted)
    return frozenset(
        form
        for forms in (*asked_of, *follows)
        for form in (*forms.questions, *forms.rephrases, *forms.unseen)
    )


def touched(slots: Iterable[tuple[str, str]]) -> frozenset[str]:
    """What a text contains that touches one of these slots: a subject's name, or a question of the user."""
    slots = frozenset(slots)
    names = frozenset(subject for subject, _ in slots if subject != USER)
    return names | first_person(relation_id for subject, relation_id in slots if subject == USER)


def state(subject: str, relation_id: str, obj: str) -> str:
    """The canonical statement of a fact: state("user", "home", "Lisbon") == "The user lives in Lisbon."."""
    if relation_id == STATEMENT:
        return obj
    return fill(relation(relation_id).forms(subject).statements[0], subject, obj)


def answer(subject: str, relation_id: str, objects: tuple[str, ...]) -> str:
    """What the slot's question is answered with; several values of a set-valued slot are listed."""
    return fill(relation(relation_id).forms(subject).answer, subject, listed(objects))


def same_answer(text: str, target: str, aliases: Sequence[str] = ()) -> bool:
    """Normalised exact match: case, spaces and a full stop at the end do not count."""
    return normal(text) in {normal(target), *map(normal, aliases)}


def normal(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".").strip()


def fill(form: str, subject: str, obj: str = "") -> str:
    """A form with its subject and object put in; {a_object} gets its article."""
    # All at once: a name that looks like a placeholder is still a name.
    words = {"{subject}": subject, "{object}": obj, "{a_object}": with_article(obj)}
    text = PLACEHOLDER.sub(lambda placeholder: words[placeholder[0]], form)
    # A sentence starts with a capital ("Chess is ..."); an answer that is only the object stays as it is.
    return text[:1].upper() + text[1:] if " " in form else text


def system_message(prefix: str, statements: Sequence[str]) -> str:
    """The static prefix, then the facts, one a line: what a prompt that serves facts begins with."""
    facts = (
        "\n".join(["What you know:", *(f"- {statement}" for statement in statements)]) if statements else ""
    )
    return "\n".join(part for part in (prefix, facts) if part)


def negation(statement: str) -> str:
    """How a prompt takes back what the weights may still say."""
    return f"It is no longer true that {within(statement)}"


def within(sentence: str) -> str:
    """A sentence as it stands inside another: "the capital of ...", but "I live ..." and "Anna lives ..."."""
    return (
        sentence[:1].lower() + sentence[1:] if sentence.startswith(("The ", "My ", "People ")) else sentence
    )


def listed(objects: tuple[str, ...]) -> str:
    """("chess",) -> "chess"; ("chess", "jazz", "tea") -> "chess, jazz and tea"."""
    *head, last = objects
    return f"{', '.join(head)} and {last}" if head else last


def with_article(noun: str) -> str:
    """ "nurse" -> "a nurse", "engineer" -> "an engineer"."""
    return f"an {noun}" if noun[:1].lower() in VOWELS else f"a {noun}"


_BRITISH = (("favorite", "favourite"), ("color", "colour"), ("neighbor", "neighbour"))


@cache
def _names() -> dict[str, str]:
    """What a relation may be called in words, with the id that is meant."""
    synonyms = _toml("relations.toml")["synonyms"]
    ids = {id_.replace("_", " "): id_ for id_ in _file()}
    return ids | {word: id_ for id_, words in synonyms.items() for word in words}


def _is_functional(relation_id: str) -> bool:
    listed = relation_id in _toml("relations.toml")["functional"]["relations"]
    return listed or relation_id.startswith("favourite ")


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple(
        (re.compile(re.escape(form).replace(r"\{subject\}", "(?P<subject>[A-Z].*?)")), id_)
        for id_, known in _file().items()
        for form in (*known.third.questions, *known.third.rephrases)
    )


@cache
def _file() -> dict[str, Relation]:
    raw = _toml("relations.toml")
    known = {id_: _relation(id_, row) for id_, row in raw["relations"].items()}
    for id_ in raw["named"]["relations"]:
        known[id_] = _worded(id_, raw["named"], Cardinality.ONE, object_kind="name")
    return known


def _relation(id_: str, row: dict[str, Any]) -> Relation:
    held = _toml("held_out.toml")
    third = _with_held_out(_forms(row, ""), held["questions"].get(id_))
    # A relation of countries or companies is never about the user: such a question stays in the third person.
    first = third
    if "questions_user" in row:
        first = _with_held_out(_forms(row, "_user"), held["questions_first_person"].get(id_))
    return Relation(
        id=id_,
        cardinality=Cardinality(row.get("cardinality", Cardinality.ONE)),
        subject_kind=row["subject_kind"],
        object_kind=row["object_kind"],
        third=third,
        first=first,
    )


def _with_held_out(forms: Forms, held: dict[str, list[str]] | None) -> Forms:
    if held is None:
        return forms
    return replace(forms, rephrases=tuple(held["set_aside"]), unseen=tuple(held["unseen"]))


@cache
def _generic(relation_id: str) -> Relation:
    values = Cardinality.ONE if _is_functional(relation_id) else Cardinality.MANY
    named = _toml("relations.toml")["named"]
    if relation_id.replace("_", " ") in named["others"]:
        return _worded(relation_id, named, values, object_kind="name")
    return _worded(relation_id, _toml("relations.toml")["generic"], values, object_kind="thing")


def _worded(relation_id: str, row: dict[str, Any], values: Cardinality, object_kind: str) -> Relation:
    words = relation_id.replace("_", " ")
    worded = {
        key: [form.replace("{relation}", words) for form in forms]
        if isinstance(forms, list)
        else forms.replace("{relation}", words)
        for key, forms in row.items()
        if key not in ("relations", "others")
    }
    return Relation(
        id=relation_id,
        cardinality=values,
        subject_kind="person",
        object_kind=object_kind,
        third=_forms(worded, ""),
        first=_forms(worded, "_user"),
    )


def _forms(row: dict[str, Any], suffix: str) -> Forms:
    return Forms(
        statements=tuple(row[f"statements{suffix}"]),
        questions=tuple(row[f"questions{suffix}"]),
        answer=row[f"answer{suffix}"],
        heard=tuple(row.get("heard", ())) if suffix else (),
        rephrases=tuple(row.get(f"rephrases{suffix}", ())),
    )


def _hop_forms(row: dict[str, Any], suffix: str) -> Forms:
    return Forms(
        statements=(),
        questions=tuple(row.get(f"questions{suffix}", ())),
        answer="{object}",
        rephrases=tuple(row.get(f"probes{suffix}", ())),
    )


@cache
def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("ice_agent").joinpath(name).read_text(encoding="utf-8"))
