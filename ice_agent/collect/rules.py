"""The default extractor: the common ways of stating a fact in English, read by rule. No model and no key.

When a clause might mean something else, it yields nothing: a fact that is missed can be told again, a wrong
one would be taught.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date

from ice_agent import relations
from ice_agent.collect import candidates, days, denials, endings, forms, nouns, predicates, values
from ice_agent.collect.clauses import FINITE, Clause, clauses, plain_text
from ice_agent.collect.denials import Denial
from ice_agent.collect.found import Found, told_once, without_repeats
from ice_agent.collect.leads import Voice
from ice_agent.collect.names import NAME
from ice_agent.collect.objects import Objects
from ice_agent.collect.people import People
from ice_agent.collect.thread import Thread
from memory import USER, CandidateFact, Utterance


def rules(utterance: Utterance) -> tuple[CandidateFact, ...]:
    """Every fact that the utterance states; a slot that it states twice keeps what was said last."""
    reader = _Reader(text=utterance.text, said_on=utterance.said_at.date())
    found = [candidate for clause in clauses(utterance.text) for candidate in reader.read(clause)]
    return tuple(without_repeats(found))


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads the clauses of one utterance in turn and remembers who was named, for "she" and "my sister"."""

    text: str
    said_on: date
    people: People = field(default_factory=People)
    subject: str | None = None
    leading: str | None = None
    """Whom "he", "she" or "it" at the head of the clause means, before the clause names anybody itself."""
    may_be_elided: bool = True
    """Whether a clause without a subject is about the user: "Just moved to Lisbon"."""
    lasts: bool = False
    """Whether the clause says for how long something holds, or that it does no more."""
    is_dated: bool = False
    is_denied: bool = False
    """Whether the words deny what they name: "I'm no longer retired" takes back no job."""
    said: endings.Said = field(init=False)
    """The clause as it is written, with its days."""
    sentence: int = -1
    opening: days.Period = days.NEVER_SAID
    """What "Since March," says of the next clause."""
    thread: Thread = field(default_factory=Thread)
    objects: Objects = field(init=False)

    def __post_init__(self) -> None:
        self.objects = Objects(text=self.text, people=self.people)

    def read(self, clause: Clause) -> Iterator[CandidateFact]:
        is_first = clause.sentence != self.sentence
        if is_first:
            self.sentence, self.subject, self.opening = clause.sentence, None, days.NEVER_SAID
            self.may_be_elided = True
        span = plain_text(self.text[clause.start : clause.end])
        after = plain_text(self.text[clause.end : clause.end + _NEARBY])
        self.said = endings.Said(text=self.text, span=span, after=after)
        period = days.period(span, self.said_on)
        if days.is_only_a_period(span):
            self.opening = period
            return
        period = self.opening if period == days.NEVER_SAID else period
        words, denial = denials.without_denial(clause, after)
        # Who is there since March, and who no longer is, are no visitors.
        self.is_dated = period != days.NEVER_SAID
        self.is_denied = denial is not Denial.NONE
        self.lasts = self.is_dated or self.is_denied
        if words and (self.is_denied or (period.end and period.end <= self.said_on)):
            words = denials.as_present(words)
        words = (
            self.thread.completed(words, plain_text(self.text[max(0, clause.start - _NEARBY) : clause.start]))
            if words
            else words
        )
        self.thread.note(clause.words)
        if clause.voice is Voice.UNSAID or words is None:
            if clause.voice is Voice.TAUGHT:
                yield from candidates.statement(clause, self.text)
            if clause.presupposes:
                for one in self._presupposed(clause.words):
                    ends = Denial.OVER if one.retracts else Denial.NONE
                    yield from candidates.of(one, clause, self.text, days.NEVER_SAID, ends)
            self.people.meet(clause.words, introduced=[])
            return
        found = told_once(list(self._facts(words, clause)))
        # "Forget that I left Lisbon" ends nothing.
        if clause.voice is Voice.TAKEN_BACK:
            found = [one for one in found if not one.retracts]
        # "I am called Ximena, it's Galician": "it" is nobody.
        if _IT.match(words):
            found = [one for one in found if one.relation not in _OF_PEOPLE_ALONE]
        self.may_be_elided = self.subject == USER or (
            bool(found) and all(one.subject == USER for one in found)
        )
        self.people.meet(
            clause.words,
            introduced=[one.object for one in found if one.relation in _PERSONAL],
            others=[one.object for one in found if one.relation in _NO_PERSON],
        )
        if denial is Denial.NONE and clause.voice is Voice.TAKEN_BACK:
            denial = denials.of_lead(self.text[: clause.start])
        for one in found:
            self._learn_about(one)
            # "Rupert is not my father. My father is 80": it is not Rupert who is.
            if one.retracts or (denial is not Denial.NONE and not one.in_passing):
                self.people.roles.pop((one.subject, one.relation), None)
        is_about_more = any(not one.in_passing for one in found)
        for one in found:
            own = days.NEVER_SAID if one.in_passing and is_about_more else period
            denied = Denial.NONE if one.in_passing else denial
            if one.retracts and denied is Denial.NONE:
                denied = Denial.OVER
            yield from candidates.of(one, clause, self.text, own, denied)
        # "It isn't true that I live alone, my sister's here" takes back the first half.
        if not found and (clause.voice is Voice.TAUGHT or (clause.voice is Voice.TAKEN_BACK and is_first)):
            yield from candidates.statement(clause, self.text)

    def _learn_about(self, found: Found) -> None:
        if found.relation in _OF_PERSONS:
            self.people.persons.add(found.subject)
        if found.relation in _PERSONAL:
            self.people.persons.add(found.object)
        if found.subject != USER:
            self.people.topic = found.subject
            # "Jens's wife, Hilde, is 91": it is not Jens who is.
            self.subject = self.subject if found.in_passing and self.subject else found.subject

    # Reading one clause

    def _presupposed(self, words: str) -> list[Found]:
        """What a clause takes for granted, whatever it asks or supposes: "Is my sister Anna coming?"."""
        if _CALLED.search(words):
            return []
        return [*self._appositives(self.objects.capitalised(words))[0], *self._owned(words)]

    def _owned(self, words: str) -> Iterator[Found]:
        """ "My Skoda Fabia keeps stalling" says what is driven."""
        for match in forms.OWNED.finditer("" if forms.GIVEN_AWAY.search(words) else words):
            for relation, reader in (("phone", values.phone), ("car", values.car)):
                for obj in reader(match["what"]):
                    yield Found(subject=USER, relation=relation, object=obj, in_passing=True)

    def _facts(self, words: str, clause: Clause) -> Iterator[Found]:
        if clause.voice is Voice.TAKEN_BACK and (topic := endings.topic(self.said.span)):
            yield topic
            return
        if (role := forms.SPEAKING_AS.fullmatch(words)) and forms.I_FOLLOW.match(self.text, clause.end):
            yield from self._verb_phrase(USER, f"am {role[1]}")
            return
        if (age := forms.AT_AGE.fullmatch(words)) and forms.I_AM_NOW.match(self.text, clause.end):
            yield from self.objects.facts(USER, "age", age[1])
            return
        pronoun = re.match(r"(?:[Hh]e|[Ss]he|[Ii]t)\b", words)
        self.leading = self.people.resolve(pronoun[0]) if pronoun else None
        named, words = self._appositives(self.objects.capitalised(words))
        yield from named
        yield from self._owned(words)
        for way in (self._whole, self._ended, self._inverse, self._one_of, self._attribute, self._phrase):
            found = list(way(words))
            if found:
                yield from found
                return

    def _appositives(self, words: str) -> tuple[list[Found], str]:
        """ "my sister Anna lives" and "Anna, my sister, lives": who that is, and the words without it."""
        found = []
        for pattern in (forms.NAME_FIRST, forms.APPOSITIVE):
            while match := pattern.search(words):
                owner = self.people.owner(match["owner"])
                name = values.person(match["name"])
                # "My late husband Fergus" was one.
                if owner is None or not name or nouns.FORMER.match(match["noun"]):
                    break
                relation, many = nouns.relation_of(match["noun"])
                self.people.introduce(owner, relation, match["noun"], name[0])
                if relation in {"friend", "colleague", "cousin", "coworker", "neighbour", "neighbor"}:
                    many = True
                passing = not forms.HAVING.fullmatch(words[: match.start()])
                found.append(
                    Found(
                        subject=owner,
                        relation=relation,
                        object=name[0],
                        retracts=bool(match.groupdict().get("former")),
                        many=many,
                        in_passing=passing,
                    )
                )
                words = f"{words[: match.start()]}{match['name']} {words[match.end() :].lstrip()}".strip()
        match = forms.OUR_BAKER.search(words) or forms.BAKER_FIRST.search(words)
        if match and values.is_profession(match["noun"].split()[-1]):
            found += [
                Found(subject=USER, relation=match["noun"], object=name, many=True, in_passing=True)
                for name in values.person(match["name"])
                if not values.is_organisation(name)
            ]
            self.people.mention(match["name"])
            words = f"{words[: match.start()]}{match['name']} {words[match.end() :].lstrip()}".strip()
        if several := forms.PETS_OR_KIN.search(words) or forms.WITH_SEVERAL.search(words):
            owner, (relation, _) = (
                self.people.owner(several["owner"]),
                nouns.relation_of(forms.singular(several["noun"])),
            )
            if owner is not None and relation in _PERSONAL:
                names = values.people(several["names"])
                found += [
                    Found(subject=owner, relation=relation, object=name, many=True, in_passing=True)
                    for name in names
                ]
                before = words[: several.start("noun")]
                if several.re is forms.PETS_OR_KIN:
                    is_pair = several.start() == 0 and len(names) == 2
                    before = " and ".join(names) if is_pair else f"{words[: several.start()]}We"
                words = f"{before} {words[several.end() :].lstrip()}"
        # "We had to rehome our cat Figaro": it is no pet of theirs any more.
        if forms.IS_GONE.search(words):
            found = [replace(one, retracts=True) if one.relation in _PETS else one for one in found]
        if found and forms.MOVED_OUT.search(words):
            found = [replace(one, retracts=True) if one.relation == "flatmate" else one for one in found]
        if match := forms.THE_ONE.match(words):
            found += self.objects.facts(match["name"], "profession", f"the {match['what']}")
            words = match["name"]
        match = forms.BESIDE_A_NAME.match(words)
        if match and (found or match["comma"]) and not values.is_common_word(match["name"]):
            # "Ines, a cellist, plays" and "Ines, 34, plays" say two things of her.
            found += [
                replace(one, in_passing=True)
                for one in self._verb_phrase(match["name"], f"is {match['what']}")
            ]
            self.subject = match["name"]
            words = f"{match['name']} {words[match.end() :]}".strip()
        return found, words

    def _whole(self, words: str) -> Iterator[Found]:
        for pattern, relation in forms.WHOLE:
            match = pattern.match(words)
            # "Vegan here!" is no name.
            is_place = (
                relation == "employer"
                and "where" in words
                and match
                and not values.is_organisation(match["object"])
            )
            if match and not is_place and not (relation == "name" and values.is_demonym(match["object"])):
                subject = self.people.resolve(match["subject"] or "I")
                yield from self.objects.facts(subject, relation, match["object"])
        match = forms.LEADS.match(words)
        if match and values.is_organisation(match["subject"]):
            yield from self.objects.facts(match["subject"], "chief_executive", match["object"])

    def _ended(self, words: str) -> Iterator[Found]:
        """ "Anna and I split up", "Acme let me go"."""
        yield from endings.of_clause(words, self.text, self._whom)

    def _inverse(self, words: str) -> Iterator[Found]:
        """ "Anna is my sister", "Green is my favourite colour", "Lyon is the capital of France"."""
        words = words.split(",", 1)[0]
        if match := forms.INVERSE.fullmatch(values.cut(words)):
            owner = self.people.owner(match["owner"])
            if match["owner"] == "its" and forms.IS_CHIEF.match(f"is its {match['noun']}"):
                owner = self.people.last_company()
            # "Nairobi is Kenya's capital and a lovely place."
            noun = (
                match["noun"].removesuffix(" name").removesuffix("'s")
                if match["noun"].endswith("'s name")
                else match["noun"]
            )
            noun = noun.split(" and ")[0]
            relation, many = nouns.relation_of(noun)
            if relation not in forms.READERS and (one := forms.singular(noun)) in forms.ROLES:
                relation, many = nouns.relation_of(one)[0], True
            obj = re.sub(r"^The (?=[A-Z]\w+s$)", "", match["object"].strip('"'))
            if owner is not None and nouns.has_a_value(noun, relation):
                subject_word = obj.split()[0]
                if subject_word.lower() in ("he", "she", "it"):
                    obj = self.people.resolve(subject_word) or ""
                reader = (
                    values.thing
                    if forms.is_favourite(relation) or relation in forms.PLAIN_VALUE_NOUNS
                    else None
                )
                yield from self.objects.facts(owner, relation, obj, reader=reader, many=many, whole=True)
        elif match := forms.INVERSE_OF.fullmatch(words):
            owner = self.people.owner(match["owner"])
            noun = match["owned"] if match["noun"] == "name" and match["owned"] else match["noun"]
            if owner is not None and bool(match["owned"]) == (match["noun"] == "name"):
                relation, many = nouns.relation_of(noun)
                named = match["object"]
                # "Ouagadougou! It's the capital of Burkina Faso."
                obj = self.people.last() or "" if named in ("It", "it", "That", "that") else named
                yield from self.objects.facts(owner, relation, obj, many=many, whole=True)

    def _one_of(self, words: str) -> Iterator[Found]:
        if match := forms.ONE_OF.match(words):
            owner = self.people.owner(match["owner"])
            relation, _ = nouns.relation_of(forms.singular(match["noun"]))
            if owner is not None:
                yield from self.objects.described(
                    owner, relation, match["value"], "called" in match["link"], many=True
                )

    def _attribute(self, words: str) -> Iterator[Found]:
        """ "My sister is called Anna", "Anna's husband is Tom", "The capital of France is Lyon"."""
        match = forms.ATTRIBUTE.match(words) or forms.ATTRIBUTE_OF.match(words)
        if match is None:
            return
        groups = match.groupdict()
        # "My favourite film is Amélie, my husband's is Die Hard": of what is not said again.
        if match["noun"].endswith("'s") and not groups.get("named"):
            return
        # "My grandfather used to say he was Napoleon": a clause is no noun, and a problem no relation.
        if _NO_NOUN.search(match["noun"]):
            return
        noun = forms.WHERE_KNOWN.sub("", match["noun"].removesuffix("'s"))
        owner = self.people.owner(match["owner"])
        # Who is the boss of something, and not of somebody of ours, runs it.
        if match.re is forms.ATTRIBUTE_OF and noun in nouns.HEADS and owner != USER:
            noun = "chief executive"
        if owned := groups.get("owned"):
            # "The name of my dog is Rex" is about the dog; of "The capital of my heart" we know nothing.
            if noun != "name":
                return
            noun = owned
        if of_whom := re.match(r"([\w ]+)'s (?!name$)(.+)", noun):
            # "My brother Ivan's wife" is Ivan's.
            named = re.search(rf" ({NAME})$", of_whom[1])
            owner = named[1] if named else self.people.role(match["owner"], of_whom[1])
            noun = of_whom[2]
        if noun.endswith(("'s name", " name")) and noun.rsplit(" ", 1)[0].removesuffix("'s") in forms.ROLES:
            noun = noun.rsplit(" ", 1)[0].removesuffix("'s")
        if (
            owner is None
            or nouns.PAST.search(noun)
            or (match["link"].startswith("was ") and "named" not in match["link"])
            # "My dad is at Siemens" names no father.
            # and "my cousin's wedding is in Sligo" no wedding.
            or (
                not (nouns.is_told_with_a_place(noun) or values.times(match["value"]))
                and _AT_A_PLACE.search(words, match.end("noun"), match.start("value"))
            )
        ):
            return
        is_named = bool(groups.get("named") or owned) or "called" in match["link"] or "named" in match["link"]
        plural = match["link"].startswith(("are ", "include"))
        relation, many = nouns.relation_of(forms.singular(noun) if plural else noun)
        many = many or (plural and relation != "seat")
        yield from self.objects.described(owner, relation, match["value"], is_named, many=many)

    def _phrase(self, words: str) -> Iterator[Found]:
        """A subject, then a verb phrase: "I live in Lisbon"."""
        if match := forms.TWO_PEOPLE.match(words):
            for name in (match["one"], match["other"]):
                yield from self._verb_phrase(name, words[match.end() :])
            return
        subject, rest = self._subject(words)
        # "The agency, Carelink North," says of whom the next clause speaks.
        self.subject = subject or (words if re.fullmatch(NAME, words) else None)
        if subject is None:
            return
        rest = rest[predicates.ADVERBS.match(rest).end() :]  # type: ignore[union-attr]
        if match := forms.WHO_IS.match(rest):
            yield from self._verb_phrase(subject, match["is"])
            rest = f"{match['be']} {match['who']}"
        found = list(self._verb_phrase(subject, rest))
        yield from found
        yield from self._and_also(subject, rest, {one.relation for one in found})

    def _and_also(self, subject: str, rest: str, told: set[str]) -> Iterator[Found]:
        """ "She is 73, from Graz and vegetarian": each part may say something of its own."""
        be, _, said = rest.partition(" ")
        if be not in ("am", "is", "are"):
            return
        for part in _PARTS.split(said)[1 if told else 0 :]:
            for one in self._verb_phrase(subject, f"{be} {part}"):
                is_all = _ARTICLE.sub("", part) == one.object or one.relation in _MAY_SAY_MORE
                if is_all and not one.retracts and one.relation in _MAY_STAND_BESIDE - told:
                    yield one

    def _verb_phrase(self, subject: str, rest: str) -> Iterator[Found]:
        if match := forms.HAS.match(rest):
            relation, many = nouns.relation_of(
                forms.singular(match["noun"]) if match["count"] in _SEVERAL else match["noun"]
            )
            many = many or match["count"] in _SEVERAL or match["count"] == "another"
            # A boat that is called something is nobody.
            if not nouns.is_somebody(relation) and relation not in forms.READERS:
                return
            yield from self.objects.facts(subject, relation, match["value"], reader=values.people, many=many)
            for more in forms.HAS_MORE.finditer(rest, match.start("value")):
                yield from self.objects.facts(
                    subject, nouns.relation_of(more["noun"])[0], more["value"], reader=values.people
                )
            return
        if match := forms.CHIEF_OF.match(rest):
            if values.person(subject):
                yield Found(subject=match["company"], relation="chief_executive", object=subject)
            return
        if forms.IS_CHIEF.match(rest):
            if company := self.people.last_company():
                yield Found(subject=company, relation="chief_executive", object=subject)
            return
        if predicates.BEGAN_AS.match(rest) and not self.lasts:
            return
        plain = values.cut(rest, keep_commas=True)
        if over := endings.of_phrase(subject, plain, self.objects, self.said, is_denied=self.is_denied):
            yield from over
            return
        if (match := predicates.AT.match(values.cut(rest))) and (
            # Who is no longer with a firm may have been its customer.
            (self.lasts and (self.is_dated or " at " in f" {rest}")) or values.is_workplace(match["employer"])
        ):
            yield from self.objects.facts(subject, "employer", match["employer"])
            return
        for pattern in predicates.PREDICATES:
            if match := pattern.match(rest):
                found = list(self._filled(subject, match))
                if found:
                    yield from found
                    return
        yield from self._introduction(subject, rest)

    def _filled(self, subject: str, match: re.Match[str]) -> Iterator[Found]:
        groups = match.groupdict()
        if "_years" in groups:
            groups = {"age": f"{groups['age']}{groups['_years']}"}
        for group, text in groups.items():
            if text:
                relation = nouns.fitting(subject, relations.canonical(group), match[0])
                if relation == "employer" and (groups.get("profession") or "").endswith("student"):
                    relation = "university"
                # Who studies there is a student, and that is no job beside it.
                if relation == "profession" and text.endswith("student") and groups.get("employer"):
                    continue
                if relation == "home" and forms.BASED.match(match[0]) and not self.people.is_person(subject):
                    relation = "seat"
                found = list(
                    self.objects.facts(
                        subject,
                        relation,
                        text,
                        reader=forms.READERS.get(group.replace("_", " ")),
                    )
                )
                # "a fan of the Beatles" is no job at the Beatles: what comes first must be what it seems.
                if not found:
                    return
                yield from found
                if relation in _OPPOSITE and not self.is_denied and self._is_felt_anew(match.string):
                    for one in found:
                        yield replace(one, relation=_OPPOSITE[relation], retracts=True)

    def _is_felt_anew(self, words: str) -> bool:
        return any(forms.FELT_ANEW.search(told) for told in (self.said.span, words))

    def _introduction(self, subject: str, rest: str) -> Iterator[Found]:
        """ "I am Mia": a bare name after "I am" is the speaker's."""
        match = re.fullmatch(
            rf"am ({NAME})(?:(?:,| from| with (?:an?|the|two)\b|,? and (?:I|my|we|\d|live|work|am)\b|, "
            rf"from)(?: .*)?)?",
            rest,
        )
        if subject == USER and match and len(match[1].split()) <= 3:
            name = values.person(match[1])
            # "I am Greek Cypriot" is no name either.
            if (
                name
                and not any(map(values.is_demonym, name[0].split()))
                and not name[0].startswith("Team ")
                and not name[0].isupper()
            ):
                yield Found(subject=USER, relation="name", object=name[0])
                for part in re.split(r",\s*(?:and )?|\s+and\s+", rest[match.end(1) :].strip(" ,")):
                    yield from self._beside_the_name(part)
                return
            if origin := re.search(rf" from ({NAME})", rest):
                yield Found(subject=USER, relation="hometown", object=origin[1])
        elif subject.startswith("the user's ") and (
            match := re.match(r"(?:is|are) (?:called|named) (.+)", rest)
        ):
            yield from self.objects.facts(
                USER, subject.removeprefix("the user's "), match[1], reader=values.people
            )

    def _beside_the_name(self, part: str) -> Iterator[Found]:
        """ "I am Bronagh, community nurse up in Derry" says three things."""
        if place := forms.UP_IN.search(part):
            relation = "home" if place["link"] == "in" else "hometown"
            yield from self.objects.facts(USER, relation, place["place"])
            part = part[: place.start()].strip()
        if values.profession(part):
            yield from self.objects.facts(USER, "profession", part)
        elif part:
            yield from self._verb_phrase(USER, f"am {part}")

    # Who is meant

    def _whom(self, words: str) -> str | None:
        return USER if words in _ME else self._subject(f"{words} is")[0]

    def _subject(self, words: str) -> tuple[str | None, str]:
        if match := forms.PAIR_WITH_ME.match(words):
            return USER, words[match.end() :]
        if match := re.match(r"([Ww]e|I)\b ", words):
            return USER, words[match.end() :]
        if match := re.match(r"[Tt]hey\b ", words):
            rest = words[match.end() :]
            is_of_a_country = self.people.topic and forms.OF_COUNTRIES.match(rest)
            return self.people.last_company() or (self.people.topic if is_of_a_country else None), rest
        if match := re.match(r"([Hh]e|[Ss]he|[Ii]t)\b ", words):
            return self.leading, words[match.end() :]
        if (
            self.may_be_elided
            and self.subject in (None, USER)
            and (match := forms.ELIDED.match(lowered := words[:1].lower() + words[1:]))
        ):
            opening = next(form for name, form in forms.ELIDED_FORMS.items() if match[name])
            return USER, opening + lowered[match.start("verb") :]
        if words.startswith("which ") and (company := self.people.last()) and values.is_organisation(company):
            return company, words[6:]
        if words.startswith("who "):
            return self.people.last(), words[4:]
        if re.match(FINITE, words):
            return self.subject, words
        if match := forms.ROLE_SUBJECT.match(words):
            return self.people.role(match["owner"], match["noun"]), words[match.end() :]
        if match := re.match(
            rf"(?:[Tt]he (?:company|firm|country|bank|start-?up|city) )?({NAME}) (?!of )(?=[a-z])", words
        ):
            name = match[1]
            if not values.is_common_word(name) and not values.is_listed_demonym(name):
                return re.sub(r"^The (?!Hague)", "the ", name), words[match.end() :]
        return None, words


_OPPOSITE = {"likes": "dislikes", "dislikes": "likes"}
_ME = ("me", "us", "I", "my", "My")
_NEARBY = 200
"""Characters around a clause that may say what it leaves out."""
_PERSONAL = frozenset({*forms.RELATIVES, *forms.ROLES})
_IT = re.compile(r"[Ii]t (?:is|has been|was)\b")
_OF_PEOPLE_ALONE = frozenset({"nationality", "profession", "hometown", "diet"})
_NO_PERSON = frozenset(
    {
        "birthplace", "car", "employer", "home", "hometown", "last name", "maiden name", "middle name",
        "nickname", "phone", "school", "seat", "surname", "university",
    }
)  # fmt: skip
_OF_PERSONS = frozenset(
    {*_PERSONAL, "profession", "employer", "birthplace", "likes", "age", "birthday", "home"}
)
# "Why is my cat called Salt?" may be a joke.
_CALLED = re.compile(r"\b(?:call|called|named?)\b")
_PETS = frozenset(relations.canonical(animal) for animal in values.words("animals"))
_NO_NOUN = re.compile(
    r"\b(?:he|she|it|they|I|we|you|who|that|says?|said|told|used|about|problem|point"
    r"|guess|bet|plan|idea|hope|fear|answer|choice|worry|turn|next|stop|destination|flight|train)\b"
)
_AT_A_PLACE = re.compile(r" (?:in|at|on) $")
_PARTS = re.compile(r",? and (?:also |now )?|, (?:also )?")
_ARTICLE = re.compile(r"^(?:an?|the) ")
_MAY_STAND_BESIDE = frozenset(
    {"age", "allergy", "diet", "height", "hobby", "home", "hometown", "nationality", "profession", "spouse"}
)
_MAY_SAY_MORE = frozenset({"age", "allergy", "hometown", "home", "spouse"})
_SEVERAL = frozenset({"two", "three", "four", "five", "six", "seven", "a couple of", "", *"23456789"})
