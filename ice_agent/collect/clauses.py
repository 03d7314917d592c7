"""An utterance cut into clauses that know where they stand and whether the speaker asserts them.

Grammar only: which clause is a question, a wish, a condition or a quote. No relation is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ice_agent.collect import asides, days
from ice_agent.collect.names import NAME, UPPER
from ice_agent.collect.wording import as_begun, written_out

FINITE = (
    r"(?:also |now |currently |still |really |just |recently |never |always )*"
    r"(?:am|is|are|was|were|have|has|had|live|lives|work|works|working|like|likes|love|loves|enjoy"
    r"|enjoys|adore|adores"
    r"|speak|speaks|moved|married|joined|started|became|own|owns|run|runs|play|plays|study|studies|hate"
    r"|hates|grew"
    r"|come|comes|came|turned|got|quit|left|adopted|do|does|did|would|could|might|may|will|can|should"
    r"|want|wants"
    r"|hope|hopes|wish|wishes|used|prefer|prefers|relocated|settled|took|divorced|call|calls|go|goes"
    r"|lead|leads|head"
    r"|heads|resides|reside|drive|drives|think|thinks|said|says|uses|speaks|no longer|lies|makes|teach"
    r"|teaches|pay|pays)\b"
)
"""A verb that can open a clause whose subject was said before."""

LONGEST_CLAUSE = 400
"""Characters; what goes on longer without a pause is a document, not something that somebody says."""


class Voice(StrEnum):
    TOLD = "told"  # asserted in passing: "I live in Oslo"
    TAUGHT = "taught"  # asserted and asked to be kept: "Remember that ..."
    TAKEN_BACK = "taken back"  # "Forget that ...", "It is not true that ..."
    UNSAID = "unsaid"  # a question, a wish, a condition, a guess, a quote: nothing is asserted


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A stretch of an utterance. `words` is its text, written out and without its preamble."""

    words: str
    start: int
    end: int
    voice: Voice
    sentence: int
    """The number of its sentence; a subject carries over within one sentence only."""
    is_correction: bool = False


def clauses(text: str) -> tuple[Clause, ...]:
    """The clauses of a text, in its order. Spans are those of the text as it was given."""
    plain = plain_text(text)
    if _JOKE.search(plain):
        return ()
    return tuple(_clauses(plain))


def plain_text(text: str) -> str:
    """The text with typographic quotes, dashes and spaces made plain; every character keeps its place."""
    return text.translate(_PLAIN)


_PLAIN = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u00a0": " ", "\t": " "})


def _clauses(text: str) -> Iterator[Clause]:
    for number, (start, end) in enumerate(_sentences(text)):
        sentence = text[start:end]
        # "Translate this: ..." makes everything that follows material, not something the speaker says.
        if _HANDS_OVER.match(sentence):
            return
        yield from _sentence_clauses(sentence, start, number)


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for stop in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text[start : stop.start() + 1]) and text[stop.start()] == ".":
            continue
        yield from _trimmed(text, start, stop.end())
        start = stop.end()
    yield from _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    if piece.strip():
        yield start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


_SENTENCE_END = re.compile(r"[.!?]+[\"')]*(?=\s|$)|\n+")
_ABBREVIATION = re.compile(rf"(?:^|[ (])(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Mt|vs|e\.g|i\.e|[{UPPER}])\.$")


def _sentence_clauses(sentence: str, offset: int, number: int) -> Iterator[Clause]:
    lead, voice = _lead(sentence)
    is_unsaid = voice is Voice.UNSAID or (voice is Voice.TOLD and _is_unsaid(sentence[lead:]))
    reported = _reported(sentence) if voice is Voice.TOLD else ()
    spoiled = is_dated = False
    for start, end in _segments(sentence, lead):
        if end - start > LONGEST_CLAUSE:
            continue
        untimed = days.untimed(sentence[start:end])
        is_dated = is_dated or untimed != sentence[start:end]
        words, is_correction = asides.without_preamble(untimed.strip(" ,;:"))
        words = written_out(words)
        # What is sure to begin on a day is said of that day on: "I'll be living in Oslo from Monday".
        words = as_begun(words) if is_dated and not _MAY_NOT.search(sentence) else words
        spoiled = spoiled or bool(_SPOILS_THE_REST.search(words))
        # "Since I live in Turin, which ...?" asks one thing and takes the other for granted.
        is_granted = start == lead and bool(_GRANTED.match(sentence))
        stated = Voice.TOLD if is_granted else voice
        # "Ask me again when I live in Rome" does not say that I do.
        is_yet_to_come = _WHEN.search(sentence, max(0, start - 12), start) is not None
        is_guess = (
            spoiled
            or is_yet_to_come
            or _is_within(reported, start)
            or bool(_GUESS.search(words))
            or asides.is_hedged(sentence, start, end)
        )
        piece = sentence[start:end]
        start += len(piece) - len(piece.lstrip(" ,;:"))
        yield Clause(
            words=words,
            start=offset + start,
            end=offset + start + len(piece.strip(" ,;:").rstrip("!?.")),
            voice=Voice.UNSAID if is_guess or (is_unsaid and not is_granted) else stated,
            sentence=number,
            is_correction=is_correction,
        )


def _lead(sentence: str) -> tuple[int, Voice]:
    """How long the words of teaching are ("Remember that"), and what they make of the rest."""
    if sentence.rstrip("\"') ").endswith("?"):
        return 0, Voice.UNSAID
    for pattern, voice in ((_TEACHES, Voice.TAUGHT), (_TAKES_BACK, Voice.TAKEN_BACK)):
        if match := pattern.match(sentence):
            return match.end(), voice
    return 0, Voice.TOLD


_GRANTED = re.compile(r"(?:Since|As|Because|Given that|Now that) (?:I|my|we)\b[^,?]+, .+\?")
_POLITE = (
    r"(?:(?:please|hey|hi|hello|ok|okay|oh|so|and|but|well|also|actually|no|sorry|by the way"
    r"|btw)\b,?\s+)*(?:please,?\s+)?"
)
_TEACHES = re.compile(
    rf"""{_POLITE}(?:
      (?:(?:you\s+(?:should|must|need\s+to)|do)\s+)?(?:always\s+)?(?:remember|memori[sz]e|learn
        |note|know|store|save)\s+that\b
    | (?:please\s+)?(?:remember|note|memori[sz]e|learn|store|save)\s*(?:this)?\s*(?::|,|-)
    | (?:please\s+)?remember\s+(?=I'm\b
        |(?:my|I\b|our)(?:\s+\w+){{1,4}}\s+(?:is|am|are|live|work|like|love|have)\b)
    | (?:note|write|jot)\s+(?:this|that|it)\s+down\s*[:,.-]
    | keep\s+in\s+mind(?:\s+that|:|,|\s+(?=I\b|I'm\b|my\b)) | bear\s+in\s+mind(?:\s+that|:|,)
    | (?:do\s+not|don't|dont)\s+forget(?:\s+that|:|,|\s+(?=I\b|I'm\b|my\b)) | never\s+forget\s+that
    | (?:make|take)\s+(?:a\s+)?note(?:\s+that|:|,|\s+of\s+this:)
    | for\s+(?:the\s+record|your\s+information|future\s+reference)\s*[:,]? | fyi\s*[:,]?
    | just\s+so\s+(?:that\s+)?you\s+know\s*[:,]? | so\s+(?:that\s+)?you\s+know\s*[:,]
    | (?:i\s+want|i'd\s+like|i\s+would\s+like|i\s+need)\s+you\s+to\s+(?:know|remember|learn)
        \s*(?:that\b|this:|:)
    | (?:i\s+want|i'd\s+like|let\s+me)\s+(?:to\s+)?(?:tell|teach)\s+you\s+(?:that\b|something:|this:)
    | (?:here's|here\s+is)\s+(?:a|one)\s+(?:fact|thing)(?:\s+for\s+you|\s+to\s+remember)?\s*:
    )\s*(?:that\s+)?""",
    re.IGNORECASE | re.VERBOSE,
)
_TAKES_BACK = re.compile(
    rf"""{_POLITE}(?:
      forget\s+(?:about\s+)?(?:that\s+|(?=where|who|how|what|when|my|our|\w+'s|about|the\s))
    | forget\s+(?=I\b|{NAME}\s)
    | (?:it\s+is|it's|that\s+is|that's)\s+(?:not|no\s+longer)\s+(?:true|correct|right|the\s+case)
        (?:\s+anymore)?\s+that\s+
    | (?:it\s+isn't|it\s+is\s+wrong|it's\s+wrong|it's\s+false)\s*(?:true|correct|the\s+case)?
        (?:\s+anymore)?\s+that\s+
    | (?:delete|erase|remove|drop)\s+(?:the\s+fact\s+)?(?:that\s+|(?=my\s))
    | (?:you\s+can|you\s+may|you\s+should)\s+forget\s+(?:that\s+|(?=where|who|how|what|my\b))
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def _is_unsaid(sentence: str) -> bool:
    text = asides.without_preamble(sentence)[0]
    is_fiction = _FICTION.search(_attested(sentence)) or _QUOTES.match(sentence)
    return bool(_ASKS.match(text) or _REQUESTS.match(text) or is_fiction or _is_quote(sentence))


def _attested(text: str) -> str:
    """The text without what the speaker says of having said or heard it."""
    return asides.COMMENT.sub("", asides.without_preamble(text)[0])


def _reported(sentence: str) -> tuple[tuple[int, int], ...]:
    """What others say, between semicolons: "Tom says Ines moved in; she's a cellist" reports half of it."""
    parts = _PART.finditer(sentence)
    return tuple(part.span() for part in parts if _SAYS.search(_attested(part[0])))


def _is_within(spans: tuple[tuple[int, int], ...], position: int) -> bool:
    return any(start <= position < end for start, end in spans)


_PART = re.compile(r"[^;]+")


def _is_quote(sentence: str) -> bool:
    """A name may stand in quotes; a sentence in quotes is somebody else's."""
    quotes = (match[1] or match[2] or "" for match in _QUOTED.finditer(sentence))
    return any(len(quote.split()) > 4 or _FIRST_PERSON.search(quote) for quote in quotes)


_QUOTED = re.compile(r"\"([^\"]*)|(?<!\w)'(?=[^']*\s[^']*'(?!\w))([^']*)")
_FIRST_PERSON = re.compile(r"\b(?:I|I'm|my|me)\b")
_ASKS = re.compile(
    r"(?:who|whom|whose|what|where|when|why|how|which)(?:'s|\s+(?!I\s+(?:(?:really|most|do"
    r"|simply)\s+)*(?:like|love|enjoy|hate)\b))"
    r"|(?:do|does|did|is|are|am|was|were|can|could|would|will|shall|should|have|has|may|might)(?:n't"
    r"|\s+not)?\s+"
    rf"(?:I|you|we|he|she|it|they|my|your|our|his|her|their|the|a|an|there|this|that|anyone|{NAME})\b",
    re.IGNORECASE,
)
_REQUESTS = re.compile(
    r"(?:please\s+)?(?:could\s+you|can\s+you|would\s+you|write|translate|tell\s+me|say|give|show|make"
    r"|let's|let\s+us|find|explain|describe"
    r"|imagine|pretend|suppose|act\s+as|role-?play|summari[sz]e|rewrite|rephrase|correct|check|spell"
    r"|read|complete"
    r"|finish|repeat|guess|ask|answer|book|order|remind|help|draft|send|email|search|look\s+up|name"
    r"|list|recommend"
    r"|suggest|consider|assume|play|sing|draw|create|generate|compose|remember\s+(?:to|when|how)|say)\b",
    re.IGNORECASE,
)
_HANDS_OVER = re.compile(
    r"(?:(?:can|could|would|will)\s+you\s+)?(?:please\s+)?(?:write|translate|rewrite|rephrase"
    r"|summari[sz]e|correct|check|spell|proof-?read|complete|continue|repeat|say"
    r"|analy[sz]e|parse|fix|improve|edit|classify|paraphrase|read|finish|explain|type"
    r"|copy)\b[^.!?\n]*(?::|\bthis\b[^.!?\n]*[.!]|\bfollowing\b[^.!?\n]*[.!])",
    re.IGNORECASE,
)
_JOKE = re.compile(
    r"\b(?:just\s+(?:kidding|joking)|(?:only|i'm|am|i\s+was)\s+(?:kidding|joking)|jk|j/k|as\s+a\s+joke"
    r"|april\s+fools?)\b|^\W*(?:ha(?:ha)*\W+)?(?:sure|yeah|right|yep|oh\s+(?:sure|yeah"
    r"|right)),?\s+and\s+(?:i'?m|i\s+am|my)\b|(?<!\w)/s\b|(?:\.\.+|…|-)\s*not\s*[!.]*\s*$",
    re.IGNORECASE,
)
# "Here is an example: ..." hands over words that nobody means.
_QUOTES = re.compile(
    r"[^:]{0,60}\b(?:plot|examples?|sentence|joke|title|lyrics|caption|scenario|goes|quote|exercise"
    r"|prompt|setting"
    r"|premise|slogan|headline|myth|options?|dialogue|plan|idea|puzzle|riddle|quiz)\b[^:]{0,20}:\s",
    re.IGNORECASE,
)
_FICTION = re.compile(
    r"""\b(?:in|from)\s+(?:the|this|that|a|an|my|one)\s+(?!(?:free|spare)\b)(?:[\w'-]+\s+){0,3}(?:film|movie|book|novel|story
          |song|game|show|series|play
        |poem|dreams?|episode|comic|sketch|joke|scene|fairy\s+tale|musical|opera|anime|podcast|article
          |chapter)\b
    | \b(?:film|movie|book|novel|story|song|show|series|poem|lyrics?|joke|sketch)\s+(?:where|in\s+which
          |that\s+goes|says|goes|about)\b
    | \b(?:character|protagonist|narrator|heroine|hero|villain|avatar)\b
    | \bnot\s*[!.]*$ | \byeah,?\s+right\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SAYS = re.compile(
    r"""\b(?:says?|(?-i:said)|saying|claims?|claimed|thinks|thought|believes|believed|told|tells|asked|asks|wrote
          |writes|sings?|sang|quot(?:e|es|ed|ing)
        |shouted|whispered|joked|joking|insists?|insisted|pretend(?:s|ed|ing)?|imagin(?:e|es|ed|ing)
          |dreamt|dreamed|rumou?r|rumou?red|reportedly
        |heard|supposed\s+to|according\s+to|once\s+upon\s+a\s+time|the\s+line|role-?play\w*)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
# From here on the sentence is in another world: "If I lived in Rome, I ..."
_SPOILS_THE_REST = re.compile(
    r"\b(?:[Ii]f|[Uu]nless|[Ss]uppose|[Ss]upposing|[Aa]ssuming|[Ii]magine|[Ww]hether"
    r"|wish|wishes|wished|as though|in case"
    r"|wonder|wondering"
    r"|think|guess|believe|assume|suspect|doubt|reckon|suppose|hope|hopes|hoped|hoping|dream|dreams|dreaming"
    r"|not sure|not certain|unsure|hear|read that|seems?|looks like|sounds like|feel like|feels like"
    r"|(?:they|people|some) say)\b",
)
_GUESS = re.compile(
    r"\b(?:would|could|might|should|will|shall|must|can(?! ?not (?:really )?(?:stand|bear|get enough))"
    r"|ought|wants?|wanted|wanna|gonna|[Pp]robably|[Mm]aybe"
    r"|[Pp]erhaps|[Pp]ossibly"
    r"|[Aa]llegedly|[Ss]upposedly|[Aa]pparently|[Pp]resumably|likely|almost|nearly|basically"
    r"|practically|virtually"
    r"|sort of|kind of"
    r"|kinda|(?:am|is|are|was|were) (?:\w+ly )?(?:thinking|planning|considering|hoping|going to"
    r"|about to|looking|trying|due)"
    r"|plans? to|intends? to|tends? to|(?:am|is|are|get|got) used to|tomorrow"
    r"|next (?:week|month|year|summer|spring|autumn|winter)"
    r"|moving to|getting (?:married|engaged|divorced)|soon|some ?day|one day|never|died|passed away"
    r"|as a (?:child|kid|teenager)|allowed"
    r"|wanting|so-called)\b"
    r"|(?<!\d )(?<!of )\bmay\b(?! \d)",
)


def _segments(sentence: str, lead: int) -> Iterator[tuple[int, int]]:
    """The stretches between connectives. A bare name before "and" belongs to what follows: "Anna and I"."""
    start = lead
    if opening := _SPEAKS_AS.match(sentence, lead):
        yield start, opening.end()
        start = opening.end()
    for cut in _CONNECTIVE.finditer(sentence, lead):
        before = sentence[start : cut.start()]
        is_relative = sentence.startswith(("who", "which"), cut.end())
        # "It's Priya who runs Acme" is one thing said, and so is "not in Lisbon but in Porto".
        if is_relative and _CLEFT.match(before.strip()):
            continue
        if cut.start() < start or (
            not is_relative
            and _BARE_NAMES.fullmatch(before.strip())
            and not _is_addressed(sentence, before, cut)
        ):
            continue
        if _NOT_BUT.search(before) and _BUT_ONLY.match(sentence, cut.start()):
            continue
        yield start, cut.start()
        start = cut.end()
    yield start, len(sentence)


# "As a beekeeper I get stung" says two things.
_SPEAKS_AS = re.compile(
    r"(?:(?:[Aa]s|[Ss]peaking as) an?|[Bb]eing) (?:[\w-]+ ){0,3}[\w-]+(?=,? (?:I|my|we)\b)|[Aa]t"
    r" \d\d(?=,? I\b)"
)


def _is_addressed(sentence: str, before: str, cut: re.Match[str]) -> bool:
    """Whether "I" begins anew after a name: "Forget Lisbon, I live in Porto", but "Actually, I do"."""
    return bool(_I_OR_SHE.match(sentence, cut.start()) and asides.without_preamble(before)[0])


_OPENS = (
    r"(?:[Ii]|we|he|she|they|it|you|there)\b(?=[ '])|(?:everyone|everybody|people|friends)\scalls?\b"
    r"|(?:I|he|she|it|we|they|you)'"
    r"|(?:my|our|his|her|its|their)\s|the\s(?:[\w'-]+\s){1,6}(?:is|are)\b"
    rf"|{FINITE}|{NAME}(?:'s (?:[\w-]+ ){{1,3}}(?:is|are)\b|'s (?:my|our|an?)\s|\s{FINITE})|please\b"
    rf"|if\b|remember\b"
)
_CLEFT = re.compile(rf"(?:[Ii]t's|[Ii]t is) {NAME}$")
_MAY_NOT = re.compile(r"\b(?:if|unless|hopefully|provided|as long as|fingers crossed)\b", re.IGNORECASE)
_WHEN = re.compile(r"\b(?:when|whenever|after)\s+$", re.IGNORECASE)
_SOMETHING_IS = (
    r"(?:(?:nobody|no one|everybody|everyone|nothing|everything|don't|do not|never|please|keep)\b"
    r"|(?:[\w'-]+ ){1,4}?(?:is|are|was|were|isn't|aren't|can|can't|could|will|won't|would|do|does|don't"
    r"|has|have|had|must"
    r"|seems?|makes?|gets?|feels?|got|went|took|made|says?|said|told|knows?|needs?)\b)"
)
_NOT_BUT = re.compile(r"\bnot\b|n't\b")
_BUT_ONLY = re.compile(rf",?\s+but\s+(?!{_OPENS})")
_CONNECTIVE = re.compile(
    rf"\s*(?:;|\s-+\s|[\u2014\u2013])\s*(?!(?:no|scratch|sorry|wait|oops|I mean|make that|or rather)\b)"
    rf"|(?:,\s*|\s+)(?:and|but|so|yet|plus|because|although|though|while|whereas"
    rf"|then)(?:\s+then)?\s+(?={_OPENS})"
    rf"|,\s*(?:so|because|although|though|whereas|hence|plus)\s+"
    rf"|(?:,\s*|\s+)(?:but|because|although|though)\s+(?={_SOMETHING_IS})|,\s*and\s+(?={_SOMETHING_IS})"
    r"|,?\s+and\s+(?=[\w-]+(?:'s|\s+is)\s+(?:my|our|his|her)\b)"
    r"|,?\s+(?=in\s+case\b)|,\s+(?=(?:believe|guess|hope|wish|never\s+(?:have|had|did|was|will)|which"
    r"|born|that(?:'s|\s+is|\s+was)|even|no\s+need"
    r"|just\s+don't|don't|nobody|everyone)\b)"
    rf"|,\s+(?={_OPENS})|,\s+(?=(?:what|which|how|do|does|can|could|should|would)\s)|(?<!\d):\s+(?=(?:I"
    rf"|i|my|My"
    rf"|we|our|in|the)\b|{NAME}(?:'s)? [a-z])"
    r"|,?\s+(?=(?:who|whose)\s)|(?<!\bis),?\s+(?:where|when|since|after|as)\s+(?=(?:I|we|he|she)[\s'])"
    r"|,?\s+(?=(?:if|unless)\s|(?:before|until)\s(?:I|we|he|she|my"
    r"|the(?!\s(?:end|beginning|start|spring|summer|autumn|winter|\d)))\b)"
)
# "Forget Lisbon, I live in Porto"; but "Anna and I", and "Anna, my sister, lives".
_I_OR_SHE = re.compile(r",\s+(?:I|we|he|she)[\s']")
_BARE_NAMES = re.compile(
    rf"(?:{NAME}, an? [a-z]+ of mine|[Aa]n? [a-z]+ of mine, {NAME}"
    rf"|(?:[Mm]y|[Oo]ur|[Hh]is|[Hh]er)\s[a-z]+(?:,?\s{NAME})?|{NAME},\s(?:my|our|his"
    rf"|her)\s[a-z]+(?:\s[a-z]+)?|{NAME}|[Mm]e)(?:,?\s(?:and|&)\s(?:{NAME}|I))?"
)
