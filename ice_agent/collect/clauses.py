"""An utterance cut into clauses that know where they stand and whether the speaker asserts them.

Grammar only: which clause is a question, a wish, a condition or a quote. No relation is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ice_agent.collect import days

UPPER = "".join(c for c in map(chr, range(0x530)) if c.isupper())
"""The capital letters of Latin, Greek and Cyrillic: what a name starts with."""

_WORD = rf"(?!I\b|OK\b)(?:\d*[a-zà-ÿ]{{0,2}}[{UPPER}][\w&]*(?:['-](?!s\b)\w+)*)(?:'s(?=\ [{UPPER}]))?"
_TITLE = r"(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Mt)\."
_INITIAL = rf"[{UPPER}]\."
_LINK = (
    r"(?:of\ the|de\ la|van\ der|van\ den|von\ der|of|de|da|do|dos|del|della|di|du|la|le|van|von"
    r"|der|den|el|al|bin|ibn|y|&)"
)
NAME = (
    rf"(?-i:(?:[Tt]he\ (?=[{UPPER}]))?(?:{_TITLE}\ |{_INITIAL}\ ?){{0,3}}{_WORD}"
    rf"(?:\ (?:{_LINK}\ )?(?:{_WORD}|{_INITIAL}|{_TITLE}|\d+\b)){{0,6}})"
)
"""A proper name: a few capitalised words, with the small words that join them."""

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
_ABBREVIATION = re.compile(rf"(?:^|[ (])(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Mt|vs|e\.g|i\.e|{_INITIAL[:-2]})\.$")


def _sentence_clauses(sentence: str, offset: int, number: int) -> Iterator[Clause]:
    lead, voice = _lead(sentence)
    is_unsaid = voice is Voice.UNSAID or (voice is Voice.TOLD and _is_unsaid(sentence[lead:]))
    spoiled = False
    for start, end in _segments(sentence, lead):
        if end - start > LONGEST_CLAUSE:
            continue
        words, is_correction = _without_preamble(days.untimed(sentence[start:end]).strip(" ,;:"))
        words = _written_out(words)
        spoiled = spoiled or bool(_SPOILS_THE_REST.search(words))
        # "Since I live in Turin, which ...?" asks one thing and takes the other for granted.
        is_granted = start == lead and bool(_GRANTED.match(sentence))
        stated = Voice.TOLD if is_granted else voice
        is_guess = spoiled or bool(_GUESS.search(words))
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
    text = _without_preamble(sentence)[0]
    return bool(_ASKS.match(text) or _REQUESTS.match(text) or _REPORTS.search(text) or _is_quote(sentence))


def _is_quote(sentence: str) -> bool:
    """A name may stand in quotes; a sentence in quotes is somebody else's."""
    quotes = (match[1] or match[2] or "" for match in _QUOTED.finditer(sentence))
    return any(len(quote.split()) > 4 or _FIRST_PERSON.search(quote) for quote in quotes)


_QUOTED = re.compile(r"\"([^\"]*)|(?<!\w)'(?=[^']*\s[^']*'(?!\w))([^']*)")
_FIRST_PERSON = re.compile(r"\b(?:I|I'm|my|me)\b")
_ASKS = re.compile(
    r"(?:who|whom|whose|what|where|when|why|how|which)(?:'s|\s+(?!I\s+(?:like|love|enjoy)))"
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
_REPORTS = re.compile(
    r"""\b(?:in|from)\s+(?:the|this|that|a|an|my|one)\s+(?:[\w'-]+\s+){0,3}(?:film|movie|book|novel|story
          |song|game|show|series|play
        |poem|dreams?|episode|comic|sketch|joke|scene|fairy\s+tale|musical|opera|anime|podcast|article
          |chapter)\b
    | \b(?:film|movie|book|novel|story|song|show|series|poem|lyrics?|joke|sketch)\s+(?:where|in\s+which
          |that\s+goes|says|goes|about)\b
    | \b(?:character|protagonist|narrator|heroine|hero|villain|avatar)\b
    | \b(?:says?|said|saying|claims?|claimed|thinks|thought|believes|believed|told|tells|asked|asks|wrote
          |writes|sings?|sang|quot(?:e|es|ed|ing)
        |shouted|whispered|joked|joking|insists?|insisted|pretend(?:s|ed|ing)?|imagin(?:e|es|ed|ing)
          |dreamt|dreamed|rumou?r|rumou?red|reportedly
        |heard|supposed\s+to|according\s+to|once\s+upon\s+a\s+time|the\s+line|role-?play\w*)\b
    | \bnot\s*[!.]*$ | \byeah,?\s+right\b
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
    r"|[Aa]llegedly|[Ss]upposedly|[Aa]pparently|[Pp]resumably|likely|almost|nearly|basically|practically|virtually"
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
    for cut in _CONNECTIVE.finditer(sentence, lead):
        is_relative = sentence.startswith("who", cut.end())
        if cut.start() < start or (
            not is_relative and _BARE_NAMES.fullmatch(sentence[start : cut.start()].strip())
        ):
            continue
        yield start, cut.start()
        start = cut.end()
    yield start, len(sentence)


_OPENS = (
    r"(?:[Ii]|we|he|she|they|it|you|there)\b(?=[ '])|(?:everyone|everybody|people|friends)\scalls?\b"
    r"|(?:I|he|she|it|we|they|you)'"
    r"|(?:my|our|his|her|its|their)\s|the\s(?:[\w'-]+\s){1,6}(?:is|are)\b"
    rf"|{FINITE}|{NAME}(?:'s (?:[\w-]+ ){{1,3}}(?:is|are)\b|'s (?:my|our|an?)\s|\s{FINITE})|please\b"
    rf"|if\b|remember\b"
)
_CONNECTIVE = re.compile(
    rf"\s*(?:;|\s-+\s|[\u2014\u2013])\s*(?!(?:no|scratch|sorry|wait|oops|I mean|make that|or rather)\b)"
    rf"|(?:,\s*|\s+)(?:and|but|so|yet|plus|because|although|though|while|whereas"
    rf"|then)(?:\s+then)?\s+(?={_OPENS})"
    rf"|,\s+(?={_OPENS})|,\s+(?=(?:what|which|how|do|does|can|could|should|would)\s)|:\s+(?=(?:I|my|My"
    rf"|we|our)\b)"
    r"|,?\s+(?=(?:who|whose)\s)|,?\s+(?:where|when|since|after|as)\s+(?=(?:I|we|he|she)\s)"
    r"|,?\s+(?=(?:if|unless)\s|(?:before|until)\s(?:I|we|he|she|my"
    r"|the(?!\s(?:end|beginning|start|spring|summer|autumn|winter|\d)))\b)"
)
_BARE_NAMES = re.compile(
    rf"(?:{NAME}, an? [a-z]+ of mine|[Aa]n? [a-z]+ of mine, {NAME}"
    rf"|(?:[Mm]y|[Oo]ur|[Hh]is|[Hh]er)\s[a-z]+(?:,?\s{NAME})?|{NAME},\s(?:my|our|his"
    rf"|her)\s[a-z]+(?:\s[a-z]+)?|{NAME}|[Mm]e)(?:,?\s(?:and|&)\s(?:{NAME}|I))?"
)


def _without_preamble(words: str) -> tuple[str, bool]:
    """The words without greetings, interjections and connectives, and whether they announced a correction."""
    is_correction = False
    while match := _PREAMBLE.match(words):
        is_correction = is_correction or bool(_CORRECTS.search(match[0]))
        words = words[match.end() :]
    return words.rstrip(" ,;:.!?\"'"), is_correction


_PREAMBLE = re.compile(
    r"""\s*(?:
      (?:and|but|so|also|then|plus|because|since|while|although|though|where|well|oh|ah|um|uh|hmm|yes
          |yeah|yep|ok|okay|right|sure|no|nope|nah
        |hey|hi|hello|hiya|good\s+(?:morning|afternoon|evening)|thanks|thank\s+you|please|honestly
          |frankly|seriously|really|anyway|anyways
        |actually|indeed|besides|finally|recently|nowadays|currently|now|today|yesterday|these\s+days
          |right\s+now|at\s+the\s+moment|wow|great
        |sorry|apologies|oops|correction|update|wait|news|alas|fortunately|unfortunately|luckily|sadly
          |happily|in\s+fact|of\s+course|obviously
        |by\s+the\s+way|btw|fun\s+fact|guess\s+what|you\s+know|you\s+see|let\s+me\s+see
          |to\s+be\s+(?:clear|honest|precise|exact)|for\s+what\s+it's\s+worth
        |(?:as|like)\s+(?:I|you)\s+(?:already\s+)?(?:said|know|mentioned|told\s+you)|as\s+for\s+me
          |(?:a\s+bit|a\s+little|more)?\s*about\s+me|personally|my\s+bad|by\s+(?:profession|trade
          |training|occupation)|for\s+a\s+living|I\s+(?:said|wrote|typed)\s+[\w' ]{1,30}?(?=,|\s+but\b)
          |no\s+way|you\s+can(?:\s+just|\s+also)?(?=\s+call\s+me)
        |(?:ignore|disregard)\s+what\s+I\s+(?:just\s+)?(?:said|told\s+you|wrote)(?:\s+(?:before|earlier|just\s+now))?
        |the\s+(?:truth|thing|fact|point)\s+is|I\s+(?:just\s+)?(?:meant\s+to\s+say|mean|meant)|if\s+you\s+must\s+know
          |if\s+you're\s+(?:wondering|curious)|in\s+case\s+you\s+(?:wonder|are\s+wondering|were\s+wondering)
        |I\s+(?:already\s+)?(?:told|am\s+telling)\s+you|I\s+can\s+tell\s+you|let\s+me\s+(?:correct
          |introduce)\s+(?:that|myself|you)|that's\s+(?:wrong|not\s+right|incorrect|not\s+true)
        |that\s+(?:is|was)\s+(?:wrong|not\s+right|incorrect|not\s+true|a\s+mistake)
          |I\s+(?:made\s+a\s+mistake|was\s+wrong|misspoke)|my\s+mistake|last\s+(?:week|month|year|spring
          |summer|autumn|winter)
        |(?:as\s+of|since|in|on|from)\s+(?:(?:the\s+)?\d[\w ,]*|January|February|March|April|May|June
          |July|August|September|October|November|December|Monday|today|now)(?:\s\d{4})?(?=,|\s(?:I|my
          |we)\b)
      )(?:\s+there)?(?:\s*[,:;.!-]+\s*|\s+|$)(?:that\s+(?=I\b|my\b|she\b|he\b))?
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_CORRECTS = re.compile(
    r"\b(?:actually|no|nope|sorry|correction|wrong|mistake|misspoke|meant|wait|not\s+true)\b", re.IGNORECASE
)


def _written_out(words: str) -> str:
    words = _KIN.sub(lambda kin: f"my {kin[0].lower()}", words)
    for pattern, replacement in _CONTRACTIONS:
        words = pattern.sub(replacement, words)
    return words


# "Mum is a nurse" is about mine; "Nan Goldin" is a name.
_KIN = re.compile(
    r"^(?:[Mm]um|[Mm]om|[Dd]ad|[Mm]ummy|[Dd]addy|[Gg]randma|[Gg]ranny|[Gg]ran|[Nn]an|[Nn]ana|[Gg]randpa"
    r"|[Gg]ran?dad)"
    r"\b(?=(?:'s)? [a-z])"
)
_CONTRACTIONS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Smileys and the like say nothing that is kept.
        (r"\s*(?:[:;=]-?[()DPp3]+|<3|[\u2600-\u27bf\U0001f300-\U0001faff]+)(?=\s|$)", ""),
        (r"\b(do|does|did|is|are|was|were|has|have)nt\b", r"\1 not"),
        (r"\b[Ii]ve\b", "I have"),
        (r"\b[Ii]'?m\b(?=\s)", "I am"),
        (r"\bi\b(?!\.)", "I"),
        (r"(?<=\w)'re\b", " are"),
        (r"(?<=\w)'ve\b", " have"),
        (r"(?<=\w)'ll\b", " will"),
        (r"(?<=\w)'d\b", " would"),
        (r"\b([Cc])an't\b", r"\1an not"),
        (r"\b([Ww])on't\b", r"\1ill not"),
        (r"(?<=[a-z])n't\b", " not"),
        (r"\b(?:all-time )?fav(?:e|ou?rites?)?(?= [a-z])(?! of\b)", "favourite"),
        (r"\b(favourite [a-z]+)'s (?=[\w -]+$)", r"\1 is "),
        (r"(?<=\w) (?:of all time|on earth|in the world|ever)(?= (?:is|are)\b)", ""),
        (r"\bcan ?not (?:really )?(?:stand|bear)\b", "hate"),
        (r"\bcan ?not get enough of\b", "love"),
        (r"\b(am|is) (?:not married any ?(?:more|longer)|no longer married)$", r"\1 divorced"),
        # "Olga, a friend of mine" is my friend Olga.
        (rf"^({NAME}), an? ([a-z]+) of mine\b,?", r"My \2 \1"),
        (rf"^[Aa]n? ([a-z]+) of mine,? (?:called |named )?({NAME})\b,?", r"My \1 \2"),
        # "The colour I like best" is my favourite.
        (
            r"^[Tt]he (\w+) (?:that |which )?I (?:like|love|enjoy) (?:the )?(?:best|most)(?= is\b)",
            r"my favourite \1",
        ),
        (
            r"\bfavou?rite thing to (?:do|eat|drink|watch|play)(?: (?:on|in|at|with) [\w ]+)?(?=$| is\b)",
            "favourite thing",
        ),
        (r"\b([Hh]e|[Ss]he|[Ii]t|[Tt]hat|[Tt]here|[Ww]ho)'s\b", r"\1 is"),
        (r"\bname's(?= )", "name is"),
        (r"\b(birthday|bday|age|surname|hometown)'s(?= [A-Z\d])", r"\1 is"),
        (
            r"(?<=\w)(?<!master)(?<!bachelor)'s (?=(?:called|named|married|born|based|an?|the|from|now"
            r"|not|in|my) )",
            " is ",
        ),
        # "It is Acme that I work for" puts the object first.
        (rf"^[Ii]t is (?!not\b)({NAME}) (?:that|where|who|which) (I .+)$", r"\2 \1"),
        (rf"^[Nn]ot (?:in |at |an? )?{NAME},\s+(?=I\b|my\b)", ""),
        # "not in Lisbon but in Porto": what is denied goes, what is said stays.
        (r"\bnot ((?:in|at|for|as|called|an?) )?[^,.;]{1,40}?,? but (?!I\b|my\b|we\b)", ""),
        # "Lisbon, no wait, Porto": a slip of the tongue is replaced by what follows.
        (
            r"(?:\b[\w-]+|"
            + NAME
            + r")(?:,|\s-+|\.\.\.)?(?:,?\s+(?:no,? wait|wait|no|I mean|I meant|sorry|oops|or rather"
            r"|scratch that|make that|correction)\b)+(?:,|:)?\s+(?:I meant?,? )?"
            r"(?=[\w])(?!I\b|my\b|longer\b|one\b)",
            "",
        ),
        # "a nurse, sorry, a doctor" leaves its small word twice.
        (r"\b(?:an? (?=an?\b)|(in|at|for|the) (?=\1\b))", ""),
    )
)
