"""What one clause leaves open and the next one says: "I have a cat. Her name is Luna." Knows no relation."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ice_agent.collect import forms
from ice_agent.collect.names import NAME


@dataclass(slots=True, kw_only=True)
class Thread:
    """What the clauses so far leave to be said."""

    question: str = ""
    """ "My cat is called": the opening that "Her name is Luna" completes, after "I have a cat"."""
    role: str = ""
    """Whom the user spoke of without a name: "my wife"."""
    value: str = ""
    """What "it" was said to be, before "That is my name"."""
    was: str = ""
    """What was so once: "I live in", before "until 2019, now it's Rotterdam"."""
    one: str = ""
    """What "one" stands for: "a carpenter"."""

    topic: str = ""
    """What was named and no more: "Jazz?", before "I can't bear it"."""

    def note(self, words: str) -> None:
        """ "I have a cat" and "My name is not Bob" leave open what the next clause may say."""
        if match := SAID_BEFORE.match(words):
            self.question = f"{match['opening']} is"
        elif match := TOLD_BEFORE.match(words):
            self.question = match["opening"]
        elif match := HAS_UNNAMED.match(words):
            self.question = f"My {match['noun']} is called"
        elif match := NO_LONGER.match(words):
            ending = "" if match["who"] in ("I", "we", "We") else "s"
            self.question = f"{match['who']} {match['verb']}{ending}{match['to']}"
        elif match := DENIED.match(words):
            self.question = match["opening"] or match["cleft"]
        elif match := WRONG.match(words):
            self.question = f"{match['noun'] or match['wrong'] or match['asked']} is"
        elif match := ATTRIBUTE.search(words):
            self.question = f"{match['what']} is"
        if match := WAS.match(words):
            self.was = f"{match['who']} {'live' if match['verb'] == 'lived' else 'work'} {match['to']}"
        if match := TOPIC.fullmatch(words) or TWO_TOPICS.match(words):
            self.topic = match["topic"]
        if match := ROLE.match(words):
            self.role = match["role"]
        if match := IT_IS.match(words):
            self.value = match["value"]
        if match := ONE.search(words):
            self.one = match["one"]

    def completed(self, words: str, before: str) -> str:
        """The words with what they leave out and earlier ones said; `before` is the text until here."""
        if self.question and (match := COMPLETES.match(words)):
            opening, self.question = self.question, ""
            # "She doesn't work for us any more, she's at Hays Travel now."
            if _WHERE_TO.match(match["value"]):
                opening = _ENDS_WITH_WHERE.sub("", opening)
            return f"{opening} {match['value']}"
        if self.topic and (match := FELT.match(words)):
            return f"{match['who']} {self.topic}"
        if self.was and (match := COMPLETES.match(words)) and _UNTIL.search(before):
            return f"{self.was} {match['value']}"
        if self.value and (match := THAT_IS.match(words)):
            return f"{match['what']} is {self.value}"
        if self.value and (match := WHO_THAT_IS.match(words)) and self.value[:1].isupper():
            return f"My {match['role']} is called {self.value}"
        if self.one and (match := IS_ONE.match(words)):
            return f"{match['who']} {self.one}"
        if self.role and (match := NAMED.match(words)):
            return f"My {self.role} is called {match['value']}"
        match = WHERE_I_LIVE.match(words)
        if match and (match["where"] or _WHERE.search(before)) and (place := BEFORE_WHERE.search(before)):
            return f"{match['who']} {match['verb']} in {place[1]}"
        if (match := THERE.match(words)) and (place := BEFORE_THERE.search(before)):
            return f"{match['who']} in {place[1]}"
        if (match := NOW_AT.match(words)) and _NOW.search(words):
            was, verb = (_LIVED, "lives in") if match["how"] == "in" else (_WORKED, "works at")
            if was.search(before):
                return f"{match['who']} {verb} {match['place']}"
        return words


# "I said my name was Bob, but it's Tom."
SAID_BEFORE = re.compile(
    r"I (?:said|wrote|typed|told you) (?:that )?(?P<opening>(?:my [a-z][\w' -]*?"
    r"|the [a-z ]+ of [A-Z][\w&' -]*?)) (?:was|is) "
)
# "I told you that Ludmila studies chemistry but it's biochemistry": the first words are taken off before.
TOLD_BEFORE = re.compile(
    rf"(?:I (?:said|wrote|told you) (?:that )?)?(?P<opening>(?:{NAME}|[Hh]e|[Ss]he|I|[Ww]e) (?:study"
    rf"|studies|works? (?:at|for|in|as)"
    r"|lives? in|plays?|drives?|speaks?)) [^,]+$"
)
HAS_UNNAMED = re.compile(
    rf"(?:I|[Ww]e) (?:just |also |recently |have |now )*(?:have|got|own|adopted|bought) (?:an?|one"
    rf"|our) (?:[a-z]+ ){{0,2}}?(?P<noun>{forms.ROLE})\b(?! (?:called|named|who))"
)
DENIED = re.compile(
    rf"(?P<opening>(?:[Mm]y|[Oo]ur|[Tt]he [a-z ]+ of {NAME}|{NAME}'s)(?: [a-z][\w '-]{{0,40}}?)? (?:is|are)"
    r"(?: called| named)?) not "
    r"|[Ii]t is not [\w' ]+? (?:(?:that|where|who) )?(?P<cleft>I (?:live in|work (?:at|for)|\w+ .+?))"
    r"(?:,| these days| any ?more|$)"
)
# "I don't drive the Golf any more, it's a Polo now."
NO_LONGER = re.compile(
    rf"(?P<who>I|[Ww]e|[Hh]e|[Ss]he|{NAME}) (?:do|does) not (?P<verb>use|drive|speak|play|work|live|study)"
    r"(?P<to>(?: (?:at|in|for|as))?) .+ (?:any ?more|any longer|now)$"
)
COMPLETES = re.compile(
    r"(?:(?:[Ii]t|[Ss]he|[Hh]e|[Tt]hat|[Mm]ine) is|(?:[Hh]er|[Hh]is|[Ii]ts) name is) (?:called |named"
    r" )?(?P<value>.+)"
)
# "You've got my birthday wrong", "My age is wrong", "My favourite band?"
WRONG = re.compile(
    r"(?:(?:[Yy]ou|I|[Tt]hey) (?:have )?(?:got|had|have|put|spelled|spelt|noted) (?P<noun>my [a-z]+(?:"
    r" [a-z]+)?) wrong"
    r"|(?P<wrong>[Mm]y [a-z]+(?: [a-z]+)?) (?:is|was) (?:wrong|incorrect|not right)|(?P<asked>[Mm]y"
    r" [a-z]+(?: [a-z]+)?))$"
)
# "They want my employer on the form, it's Brightwell Dental."
ATTRIBUTE = re.compile(
    rf"\b(?P<what>(?:my|{NAME}'s) (?:(?:car|phone|university|star sign)$|(?:employer|surname|height|age"
    rf"|birthday)\b(?! (?:is|was|has)\b)))"
)
# "Jazz? I can't bear it." "Peanuts and sesame, I'm allergic to both."
TOPIC = re.compile(
    r"(?P<topic>(?!(?:for|in|on|at|to|from|of|by|as|about|so|and|my|your|our|i|you|we|it|that|this|no|yes"
    r"|ok|thanks|hello|why|how|what|which|who|where)\b)[\w'-]+"
    r"(?:(?: and)? (?!(?:is|are|was|does|has|says|can)\b)[\w'-]+){0,2})",
    re.IGNORECASE,
)
TWO_TOPICS = re.compile(r"(?P<topic>[\w'-]+ and [\w'-]+) are (?:out|off|a no|no|not)\b")
FELT = re.compile(
    r"(?P<who>I (?:really )?(?:hate|love|like|adore|loathe|detest|am allergic to)|[Hh]ate|[Ll]ove)"
    r" (?:it|them|both|the stuff)\b"
)
IT_IS = re.compile(
    rf"(?:(?:[Ii]t|[Tt]his|[Tt]hat) is|(?:[Hh]is|[Hh]er|[Ii]ts) name is) (?P<value>{NAME}|\d[\w ]*)(?:, "
    rf"not .+| with .+)?$"
)
# "It's Caryn. My boss."
WHO_THAT_IS = re.compile(rf"(?:[Mm]y|[Oo]ur) (?P<role>{forms.ROLE})$")
THAT_IS = re.compile(r"(?:[Tt]hat|[Ii]t) is (?P<what>my (?!favou?rite$)[a-z][a-z ]{2,20})$")
ONE = re.compile(
    r"\b(?:am|is|was|were|be|being|been) (?P<one>an? [a-z][\w -]{2,30}?)(?: once| before| for .+| until"
    r" .+)?(?:,|$)"
)
IS_ONE = re.compile(r"(?P<who>.+ (?:am|is)) one$")
WAS = re.compile(r"(?P<who>I|[Ww]e) (?P<verb>lived|worked) (?P<to>in|at|for) ")
_UNTIL = re.compile(r"\b(?:until|till|up to)\b")
_WHERE_TO = re.compile(r"(?:at|in|with|for) ")
_ENDS_WITH_WHERE = re.compile(r" (?:at|in|with|for|as)$")
WHERE_I_LIVE = re.compile(
    r"(?P<where>(?:(?:and )?(?:which|that) is )?where )?(?P<who>I|we|he|she) (?P<verb>lives?|(?:am|are|is) "
    r"living|was born|were"
    r" born|grew up)$"
)
_WHERE = re.compile(r"\bwhere\s+$")
THERE = re.compile(
    rf"(?P<who>(?:I|we|[Hh]e|[Ss]he|(?:[Mm]y|[Oo]ur) [a-z]+|(?:(?:[Mm]y|[Oo]ur) [a-z-]+ )?{NAME}) "
    rf".*?(?:live|lives|living|moved)) there$"
)
NAMED = re.compile(r"(?:[Hh]er|[Hh]is|[Ii]ts) name is (?:called )?(?P<value>.+)")
ROLE = re.compile(rf"(?:My|my|Our|our) (?:[a-z]+ )?(?P<role>{forms.ROLE}) (?=[a-z])")
_BEFORE = rf"\b(?:in|at|to|from|near|around|[Ii]t's|[Ii]t is) ({NAME})[^.!?]{{0,30}}"
BEFORE_WHERE = re.compile(rf"{_BEFORE}$")
# "What time is it in Auckland? My brother lives there."
BEFORE_THERE = re.compile(rf"{_BEFORE}(?:[.!?]\s+[^.!?]{{0,30}})?$")
# "I'm in Porto now" may be a visit; after "I've moved" it is not.
NOW_AT = re.compile(
    rf"(?P<who>I|we|[Hh]e|[Ss]he|{NAME}) (?:am|is|are) (?:now |currently )?(?P<how>in|at|with)"
    rf" (?P<place>{NAME})"
    r"(?:,? (?:now|again|these days|instead|nowadays))*$"
)
_NOW = re.compile(r"\b(?:now|currently|these days|instead|nowadays)\b")
_LIVED = re.compile(
    r"\b(?:lived|lives? in|moved|relocated|left|used to live|no longer living|no longer lives?)\b"
    r"|(?:\bnot|n't) live\b"
)
_WORKED = re.compile(
    r"\b(?:worked|used to work|no longer works?|jobs?|employer|quit|left (?:[A-Z]|my job|the company"
    r"|the firm)|resigned|no longer (?:at|with)"
    r"|changed companies)\b|(?:\bnot|n't) work\b"
)
