"""What is over, by a clause or a verb phrase that says so: who split up, let somebody go, quit, sold or left.

What is named ends alone; where nothing is named, whatever the memory holds there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ice_agent.admission import conflicts
from ice_agent.collect import nouns, values
from ice_agent.collect.clauses import plain_text
from ice_agent.collect.forms import ROLE
from ice_agent.collect.found import Found
from ice_agent.collect.names import NAME
from ice_agent.collect.objects import Objects
from ice_agent.collect.predicates import BE, HAVE
from memory import USER


def of_clause(words: str, text: str, whom: Callable[[str], str | None]) -> Iterator[Found]:
    """ "Anna and I got married", "Acme let me go": one fact, about the user or about whoever is named first.

    `text` is all that was said, and `whom` finds who is meant by "me" and "my brother".
    """
    for pattern, relation in ENDED if MAY_HAVE_ENDED.search(words) else ():
        if match := pattern.fullmatch(words):
            yield from _lost(match, relation, text, whom)
            return
    if match := COUPLE.match(words):
        yield from _couple(words, match, text)


def _couple(words: str, match: re.Match[str], text: str) -> Iterator[Found]:
    ends = match["what"] not in ("married", "wed", "a married couple", "husband and wife", "together")
    # Who splits up was together, and who is divorced was married.
    is_marriage = re.search(r"marr|wed|wife|divorc|separated", match["what"]) or _is_of_marriage(text)
    relation, other = "spouse" if is_marriage else "partner", match["object"] or ""
    if other in ("I", "me") or words.startswith(("Me ", "me ")):
        yield Found(subject=USER, relation=relation, object=match["subject"], retracts=ends)
    elif other:
        yield Found(subject=match["subject"], relation=relation, object=other, retracts=ends)


def _lost(
    match: re.Match[str], relation: str, text: str, whom: Callable[[str], str | None]
) -> Iterator[Found]:
    """Who or what is lost stands where a subject does."""
    groups = match.groupdict()
    subject, lost = whom(match["subject"]), groups.get("object") or ""
    if subject is None or values.is_common_word(lost):
        return
    if noun := groups.get("noun"):
        relation = nouns.relation_of(noun)[0]
    elif relation == "partner":
        # "Tom left me" is said of a husband, too.
        yield Found(subject=subject, relation="spouse", object=lost, retracts=True)
        if _is_of_marriage(text):
            return
    yield Found(subject=subject, relation=relation, object=lost, retracts=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A clause where it stands: as it is written, in all that was said, and what is written next to it."""

    text: str
    span: str
    after: str


def of_phrase(subject: str, phrase: str, objects: Objects, said: Said, *, is_denied: bool) -> list[Found]:
    """What a verb phrase takes back."""
    if match := HAS_NO_LONGER.match(phrase):
        return [
            Found(subject=subject, relation=nouns.relation_of(match["noun"])[0], object="", retracts=True)
        ]
    for pattern in TAKES_BACK if MAY_TAKE_BACK.match(phrase) else ():
        match = pattern.match(phrase)
        # "I'm no longer retired" takes back no job.
        if match is None or (is_denied and " no longer" not in match[0]):
            continue
        if found := list(_taken_back(subject, match, objects, said)):
            return found
    return []


def _taken_back(subject: str, match: re.Match[str], objects: Objects, said: Said) -> Iterator[Found]:
    for relation, value in match.groupdict().items():
        if not value:
            yield Found(subject=subject, relation=relation, object="", retracts=True)
        relation = "spouse" if relation == "partner" and _is_of_marriage(said.text) else relation
        for one in objects.facts(subject, relation, value or ""):
            if not LEFT.match(match[0]) or values.is_organisation(one.object):
                yield replace(one, retracts=True)
            # "I left Lisbon" may be said of a home, and what is named ends nothing else.
            elif _may_have_moved(said):
                yield replace(one, relation="home", retracts=True)
                if not conflicts.is_known_place(one.object):
                    yield replace(one, retracts=True)


def _may_have_moved(said: Said) -> bool:
    if not (MAY_END.match(said.after) and LEFT_FOR_GOOD.search(said.span)):
        return False
    # "It rained when I left Lisbon" tells of a day.
    return not re.search(rf"{_WHEN} {re.escape(said.span)}", plain_text(said.text))


def topic(words: str) -> Found | None:
    """What "forget ..." names instead of stating it."""
    plain = re.sub(
        r"^(?:forget )?(?:(?:about|(?:what|everything|all) I (?:just )?(?:said|told you|wrote)(?:"
        r" earlier)? about) )?|,? please$",
        "",
        plain_text(words),
    )
    if diet := DIET_IN_TOPIC.fullmatch(plain):
        return Found(subject=USER, relation="diet", object=diet[1])
    if relation := TOPICS.get(plain):
        return Found(subject=USER, relation=relation, object="")
    if match := re.fullmatch(r"(?:[Mm]y|our) ((?:[a-z][\w'-]* ?){1,4})", plain):
        if VERB_IN_TOPIC.search(match[1]) or match[1].endswith(("'s", " here", " there")):
            return None
        noun = match[1].removeprefix("old ").removeprefix("former ")
        return Found(subject=USER, relation=nouns.relation_of(noun)[0], object="")
    return None


def _is_of_marriage(text: str) -> bool:
    return _MARRIED.search(text) is not None


_MARRIED = re.compile(r"\b(?:husband|wife|hubby|married|marriage|divorce|divorced)\b", re.IGNORECASE)
COUPLE = re.compile(
    rf"(?:[Mm]e and )?(?P<subject>{NAME})(?:,? and (?P<object>I|me|{NAME}))? (?:are (?:now |still "
    rf"|both )?|(?:have )?(?:just |recently |finally )?(?:got |gotten |been )?)"
    r"(?P<what>no longer (?:married|together)|together|divorced|separated|split up|split(?=$|,"
    r"|\s(?:last|in|on|a|this|after))|broke up|broken up"
    r"|married|wed|a married couple|husband and wife|not married anymore)\b"
)
_CHIEF = r"(?:CEO|ceo|chief exec(?:utive(?: officer)?)?|managing director|MD|boss|head)"
_PARTNER = r"[Mm]y (?P<noun>husband|wife|partner|boyfriend|girlfriend|fianc[eé]e?)"
_JUST = r"(?:(?:have|has|just|recently|finally|now) )*"
_GONE = (
    rf"(?:(?:was|is|been) )?{_JUST}(?:(?:was|been) )?(?:resigned|stepped down|stood down|left|quit|retired"
    r"|fired|sacked|ousted)"
)
_EMPLOYED = rf"(?P<subject>me|us|{NAME}|[Mm]y (?:{ROLE}))"
ENDED = tuple(
    (re.compile(pattern), relation)
    for pattern, relation in (
        (
            rf"(?:[Tt]hey|[Mm]y (?:boss|company|employer)|[Tt]he company|(?P<object>{NAME})) {_JUST}(?:fired"
            rf"|sacked|dismissed|laid off|made(?= [\w ]+ redundant$)) {_EMPLOYED}(?: redundant)?",
            "employer",
        ),
        (rf"(?P<object>{NAME}) {_JUST}let {_EMPLOYED} go", "employer"),
        (
            rf"(?P<subject>[Mm]y) contract (?:with|at) (?P<object>{NAME}) {_JUST}(?:ended|expired|run out"
            r"|ran out)",
            "employer",
        ),
        (
            rf"(?:(?P<object>{NAME})|{_PARTNER}) {_JUST}(?:left|dumped|divorced|broke up with|broken up with"
            r"|split up with) (?P<subject>me)",
            "partner",
        ),
        (
            rf"{_PARTNER} and (?P<subject>I) (?:{_JUST}(?:separated|divorced|split up|split|broke up"
            r"|broken up|called it quits)|are (?:no longer|not) together)",
            "partner",
        ),
        (
            rf"(?P<subject>{NAME}) {_JUST}(?:fired|sacked|ousted|dismissed|lost|parted ways with) its"
            rf" {_CHIEF}",
            "chief_executive",
        ),
        (
            rf"(?P<subject>{NAME}) {_JUST}(?:replaced|fired|sacked|ousted|dismissed|removed)"
            rf" (?P<object>{NAME}) as (?:its )?{_CHIEF}",
            "chief_executive",
        ),
        (rf"[Tt]he {_CHIEF} of (?P<subject>{NAME}) {_GONE}", "chief_executive"),
        (rf"(?P<subject>{NAME})(?:'s|') {_CHIEF} {_GONE}", "chief_executive"),
    )
)
"""Clauses that say what somebody has lost, and by whom: "Acme let me go"."""
MAY_HAVE_ENDED = re.compile(
    r" (?:fired|sacked|dismissed|replaced|removed|laid|made|let|ended|expired|ran|run|ousted|lost|parted"
    r"|resigned|stepped|stood|left|quit|retired|separated|divorced|split|broken?|dumped|called|together)\b"
)
"""One of the verbs of `ENDED`, and asked first: most clauses have none."""
HAS_NO_LONGER = re.compile(rf"(?:have|has|got) no longer (?P<noun>{ROLE})$")
TAKES_BACK = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:have|has) (?:finally |now |just |recently )*retired(?P<employer>$)(?P<profession>$)",
        rf"{HAVE}(?:quit|left|leaving|resigned from|lost|gave up|given up) (?:my|our|his|her|the|their) "
        r"(?:[\w-]+ )?(?:job|position|post|role|work) as (?P<profession>.+?)(?: (?:at|with|for)"
        r" (?P<employer>.+))?$",
        rf"{HAVE}(?:quit|left|leaving|resigned from|lost|gave up|given up|am leaving) (?:my|our|his"
        rf"|her|the|their) (?:[\w-]+ )?(?:job|position|post|role|work)(?: (?:at|with"
        rf"|for) (?P<employer>.+))?$",
        rf"{HAVE}(?:(?:was|were|got|been|be) )?(?:fired|laid off|let go|sacked|dismissed"
        rf"|made redundant|retired|resigned|quit|quit working)(?: (?:from|by|at"
        rf"|for) (?P<employer>.+))?$",
        rf"{HAVE}(?:come off|came off|gone off|went off|ditched|dropped|given up|gave up|quit) (?:the |my "
        rf"|that )?"
        rf"(?P<diet>vegan|vegetarian|keto|paleo|gluten[- ]free|dairy[- ]free|low[- ]fat|low[- ]carb)(?: "
        rf"diet| thing| stuff)?$",
        rf"{HAVE}(?:quit) (?P<employer>.+)",
        rf"{HAVE}(?:left|departed from|parted ways with) (?P<employer>.+)",
        rf"(?:{BE})(?:unemployed|out of work|out of a job|jobless|between jobs|retired)(?P<employer>$)",
        rf"{HAVE}(?:(?:took|taken|gone into) (?:early )?retirement|got the sack|left (?:the|my) (?:company"
        r"|firm))(?P<employer>$)",
        r"(?:have|has|got) no longer job(?P<employer>$)",
        r"(?:have|has|got) no longer car(?P<car>$)",
        rf"{HAVE}(?:had to sell|sold|scrapped|got rid of|given up|gave up) (?:my|our|his|her|the) car"
        r"(?: (?:to|for|and) .+)?(?P<car>$)",
        r"work no longer(?P<employer>$)",
        r"(?:am|is|are) no longer engaged(?P<fiance>$)",
        rf"{HAVE}called off (?:my|our|his|her|the|their) (?:engagement|wedding)(?P<fiance>$)",
        rf"{HAVE}(?:dropped out of|quit|left) (?:university|uni|college)(?P<university>$)",
        rf"{HAVE}dropped out of (?P<university>.+)",
        rf"{HAVE}(?:outgrew|outgrown|grown out of|got over) (?:my|his|her) (?P<allergy>[\w ]+?) allergy$",
        rf"{HAVE}(?:outgrew|outgrown|grown out of|got over) (?:my|his|her) allergy to (?P<allergy>.+)",
        rf"(?:{BE}|{HAVE}got |got )(?:divorced|separated|widowed"
        rf"|single)(?: again)?(?: from (?P<spouse>.+))?$",
        rf"{HAVE}(?:divorced|separated from) (?P<spouse>.+)",
        rf"(?:{HAVE}(?:got|had|been through|gone through) a divorce|{BE}a widow(?:er)?)(?P<spouse>$)",
        rf"{HAVE}(?:split up with|split from|broke up with|broken up with|split with) (?P<partner>.+)",
        rf"{HAVE}moved (?:away|out)(?: from| of) (?P<home>.+)",
        r"works? no longer there(?P<employer>$)",
        r"lives? no longer there(?P<home>$)",
        rf"{HAVE}(?:had to (?:sell|scrap|get rid of)|sold|crashed|totalled|got rid of|scrapped"
        rf"|traded in) (?:my|our|his|her"
        rf"|the) (?P<car>.+)",
        rf"{HAVE}(?:had to (?:give up|stop|quit)|given up|gave up|dropped|packed in|quit) (?P<pastime>.+)",
        rf"{HAVE}(?:had to (?:give up|stop|quit)|given up|gave up|dropped|packed in"
        rf"|quit) (?P<instrument>.+)",
        rf"{HAVE}lost (?:my|his|her) (?:taste|love|appetite) (?:for|of) (?P<likes>.+)",
        rf"{HAVE}(?:went off|gone off|lost interest in|grown tired of|fell out of love with) (?P<likes>.+)",
    )
)
"""Verb phrases that take a fact back; a group that is missing means "whatever the slot holds"."""

MAY_TAKE_BACK = re.compile("|".join(re.sub(r"\(\?P<\w+>", "(?:", one.pattern) for one in TAKES_BACK))
"""Whatever one of `TAKES_BACK` matches, and asked first: most verb phrases take nothing back."""
LEFT = re.compile(
    r"(?:(?:have|has) )?(?:\w+ )?(?:left|departed from|parted ways with) (?!(?:my|our|his|her|the|their) )"
)
LEFT_FOR_GOOD = re.compile(
    rf"(?<!\bjust )(?<!\balready )(?<!\bonly )\bleft {NAME}(?: for good| for ?ever| behind)?(?:,? "
    rf"(?:(?:back )?in (?:(?:\w+ )?\d{{4}}|(?i:{'|'.join(values.MONTHS)}))"
    r"|last (?:month|year|spring|summer|autumn|winter)|(?:\w+ ){1,2}(?:months|years) ago|long ago))?"
    r"(?: because .+)?$"
)
"""Where somebody lived, by what names no day: who left Lisbon on Friday or at five may be back by now."""
_WHEN = r"\b(?:[Ww]hen|[Aa]s|[Aa]fter|[Bb]efore|[Uu]ntil|[Ww]hile|[Ss]ince|[Oo]nce)"
MAY_END = re.compile(r"\s*(?:$|[.!?;)\n\u2013\u2014-]|,?\s(?:because|as|since|when I was)\b)")
"""What follows a clause that goes nowhere else: "We left Lisbon, then drove to Porto" tells of a journey."""
DIET_IN_TOPIC = re.compile(
    r"(?:the )?(vegan|vegetarian|veggie|keto|paleo|gluten[- ]free|dairy[- ]free|pescatarian|halal|kosher) "
    r"(?:thing|diet|phase|stuff)"
)
VERB_IN_TOPIC = re.compile(r"\b(?:is|are|was|has|lives|works|likes|loves|speaks|plays|moved|got)\b")
TOPICS = {
    "where I live": "home",
    "where I work": "employer",
    "who I work for": "employer",
    "how old I am": "age",
    "what I do": "profession",
    "who I am married to": "spouse",
    "when I was born": "birthday",
    "where I was born": "birthplace",
    "what I am called": "name",
    "what I like": "likes",
}
"""What "forget ..." may name instead of stating it."""
