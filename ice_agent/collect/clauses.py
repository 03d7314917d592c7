"""An utterance cut into clauses that know where they stand and whether the speaker asserts them.

Grammar only: which clause is a question, a wish, a condition or a quote. No relation is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ice_agent.collect import asides, days, forms
from ice_agent.collect.leads import Voice, lead_of
from ice_agent.collect.names import NAME, UPPER
from ice_agent.collect.wording import as_begun, written_out

NEVER_SO = "lived|worked|moved|studied|played|liked|loved|owned|drove|taught"
"""What was never done is put right ("I never lived in Lisbon"); of the rest, "never" says nothing to keep."""

FINITE = (
    r"(?:also |now |currently |still |really |just |recently |never |always )*"
    r"(?:am|is|are|was|were|have|has|had|live|lives|work|works|working|like|likes|love|loves|enjoy"
    r"|enjoys|adore|adores"
    r"|speak|speaks|moved|married|joined|started|became|own|owns|run|runs|play|plays|study|studies|hate"
    r"|hates|grew"
    r"|come|comes|came|turned|got|quit|left|adopted|do|does|did|would|could|might|may|will|can|should"
    r"|(?:wo|ca|do|does|did|is|are|was|were|have|has|had|could|would|should)n'?t"
    r"|want|wants"
    r"|hope|hopes|wish|wishes|used|prefer|prefers|relocated|settled|took|divorced|call|calls|go|goes"
    r"|lead|leads|head"
    r"|heads|resides|reside|drive|drives|think|thinks|said|says|uses|speaks|no longer|lies|makes|teach"
    r"|teaches|pay|pays|dream|dreams|miss|misses|keep|keeps|need|needs|get|gets|feel|feels|eat|eats|sell|sold"
    r"|swear|swears|know|knows|find|finds|put|puts|make|sit|sits|spend|spends|try|tries|cook|cooks)\b"
)
"""A verb that can open a clause whose subject was said before."""

LONGEST_CLAUSE = 400
"""Characters; what goes on longer without a pause is a document, not something that somebody says."""


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
    presupposes: bool = False
    """Unsaid, but whom it speaks of is so all the same: "Is my sister Anna coming?"."""


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
        # "Let's play. You're the innkeeper" and "Translate this:" make material of everything that follows.
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
_ABBREVIATION = re.compile(
    rf"(?:^|(?<! a)(?<! an)(?<!letter)[ (])(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Mt|vs|e\.g|i\.e|[{UPPER}])\.$"
)


def _sentence_clauses(sentence: str, offset: int, number: int) -> Iterator[Clause]:
    lead, voice = lead_of(sentence)
    is_foreign = voice is Voice.TOLD and _is_foreign(sentence)
    reported = _reported(sentence) if voice is Voice.TOLD else ()
    spans = [span for span in _segments(sentence, lead) if span[1] - span[0] <= LONGEST_CLAUSE]
    asked = _asked(sentence, spans) if voice is Voice.TOLD else frozenset()
    spoiled = is_guess = is_dated = is_material = is_news = False
    for start, end in spans:
        untimed = days.untimed(sentence[start:end])
        is_dated = is_dated or untimed != sentence[start:end]
        words, is_correction = asides.without_preamble(untimed.strip(" ,;:"))
        words = written_out(words)
        # What is sure to begin on a day is said of that day on: "I'll be living in Oslo from Monday".
        words = as_begun(words) if is_dated and not _MAY_NOT.search(sentence) else words
        is_foreign = is_foreign or bool(voice is Voice.TOLD and _PRETENDS.match(words))
        is_material = is_material or bool(voice is Voice.TOLD and _COMPOSES.match(words))
        spoiled = (spoiled and not _turns(sentence, start, is_guess)) or bool(_SPOILS_THE_REST.search(words))
        is_guess = spoiled and bool(_SUPPOSES.search(words) or is_guess)
        # "Ask me again when I live in Rome" does not say that I do.
        is_yet_to_come = _WHEN.search(sentence, max(0, start - 12), start) is not None
        is_unsaid = (
            is_foreign
            or is_material
            or start in asked
            or spoiled
            or is_yet_to_come
            or _is_within(reported, start)
            or bool(_GUESS.search(words))
            or asides.is_hedged(sentence, start, end)
            or asides.is_mended(sentence, start, end)
        )
        # "Forget that I was her flatmate, she has moved out": the second half is news.
        is_news = is_news or (
            voice is Voice.TAKEN_BACK and start > lead and bool(_I_OR_SHE.match(sentence, start - 2))
        )
        piece = sentence[start:end]
        start += len(piece) - len(piece.lstrip(" ,;:"))
        yield Clause(
            words=words,
            start=offset + start,
            end=offset + start + len(piece.strip(" ,;:").rstrip("!?.")),
            voice=Voice.UNSAID if is_unsaid else Voice.TOLD if is_news else voice,
            sentence=number,
            is_correction=is_correction,
            presupposes=is_unsaid and not is_foreign,
        )


def _asked(sentence: str, spans: list[tuple[int, int]]) -> frozenset[int]:
    """Where the clauses start that ask or request: "I live in Oslo, so which holidays do I get?" half asks.

    What stands beside a question is told if it opens as a statement does. A question mark without a question
    of its own, or with no more than a tag, makes a question of everything: "I live in Oslo, right?"
    """
    asking = []
    for start, end in spans:
        piece = sentence[start:end].strip(" ,;:")
        either = (piece, asides.without_preamble(piece)[0])
        begins = _after_space(sentence, start)
        is_first = start == spans[0][0] or _SO.search(sentence, max(0, begins - 6), begins)
        opens = _ASKS if is_first else _ASKS_WITHIN
        asking.append(
            any(pattern.match(words) for pattern in (opens, _REQUESTS, _ASKS_BRIEFLY) for words in either)
        )
    is_question = sentence.rstrip("\"') ").endswith("?")
    if is_question and (_TAG.search(sentence) or not (any(asking) or _FRAGMENT.search(sentence))):
        # "I play the oboe, so it can't be that hard, right?" asks whether what follows "so" follows.
        reasons = [start for start, _ in spans if _SO.search(sentence, max(0, start - 6), start)]
        since = max(reasons, default=0) if _TAG.search(sentence) else 0
        return frozenset(start for start, _ in spans if start >= since)
    unsaid, told_before = set(), False
    for asks, (start, _) in zip(asking, spans, strict=True):
        begins = _after_space(sentence, start)
        # "I live in Oslo and work at Acme, can you ...?" says two things.
        goes_on = told_before and _AND.search(sentence, max(0, begins - 8), begins)
        is_told = start == spans[0][0] or not any(asking) or goes_on or _STATES.match(sentence, begins)
        told_before = not asks and bool(is_told)
        if not told_before:
            unsaid.add(start)
    return frozenset(unsaid)


def _after_space(sentence: str, start: int) -> int:
    while sentence[start : start + 1] in (" ", ",", ";", ":"):
        start += 1
    return start


def _is_foreign(sentence: str) -> bool:
    """Whether these are somebody else's words, or of a world that is made up."""
    return bool(_FICTION.search(_attested(sentence)) or _QUOTES.match(sentence) or _is_quote(sentence))


def _attested(text: str) -> str:
    """The text without what the speaker says of having said or heard it."""
    return asides.COMMENT.sub("", asides.without_preamble(text)[0])


def _reported(sentence: str) -> tuple[tuple[int, int], ...]:
    """What others say, until a semicolon or "but I": half of "Tom says Ines moved in; she's a cellist"."""
    found = []
    for part in _PART.finditer(sentence):
        if _SAYS.search(_attested(part[0])) and (said := _SAYS.search(part[0])):
            # "She plays it, he says it is for babies" reports the second half; "..., he says" all of it.
            is_own = _I_SAY.search(part[0], 0, said.start()) is not None
            is_last = not is_own and not part[0][said.end() :].strip(" ,.!?")
            marks = (",", ";", ":", " and ")
            before = 0 if is_last else max(part[0].rfind(mark, 0, said.start()) + 1 for mark in marks)
            # "Scrap what I said about the Polo, I drive a Fiat" is over with the comma.
            end = part[0].find(",", said.end()) if is_own else -1
            end = len(part[0]) if end < 0 else end
            found.append((part.start() + before, part.start() + end))
    return tuple(found)


def _is_within(spans: tuple[tuple[int, int], ...], position: int) -> bool:
    return any(start <= position < end for start, end in spans)


_I_SAY = re.compile(r"\b(?:I|i)\s+(?:\w+\s+)?$")
_PART = re.compile(r"(?:(?!,?\sbut\s(?:[Ii]|my|[Ii]'?m|it'?s|he|she|we|he's|she's)\s)[^;])+")


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
# "Which is where I live" and "who is a chef" ask nothing where they do not open the sentence.
_ASKS_WITHIN = re.compile(
    r"(?:which|where|who|when)\s+(?:\w+\s+){0,3}?(?:do|does|did|can|could|should|would|will|shld)\s"
    r"|(?:(?:roughly|about|exactly|so|and|then)\s+)?(?:what|how|why)\s+(?!(?:I|i|my|we|a|an)\b)"
    r"|(?:do|does|did|can|could|would|will|shall|should|may|might)(?:n't|\s+not)?\s+"
    r"(?:I|you|u|we|he|she|it|they|my|your|our|his|her|their|the|a|an|there|this|that|anyone)\b"
    r"|(?:is|are|am|was|were|have|has|had)(?:n't|\s+not)?\s+(?:I|you|u|we|he|she|it|they|there|this"
    r"|that|anyone)\b",
    re.IGNORECASE,
)
_REQUESTS = re.compile(
    r"(?:please\s+|pls\s+|plz\s+)*(?:could\s+you|can\s+you|would\s+you|tell\s+me|give|show|make"
    r"|let's|let\s+us|find|explain|describe|check|ask|book|order|remind|help(?!,)|search|look\s+up"
    r"|name(?!'?s\b|\s+is)|list"
    r"|recommend|suggest|play|remember\s+(?:to|when|how)|plan|get\s+me|warn|pick|put|set|add"
    r"|don't|do\s+not)\b",
    re.IGNORECASE,
)
# What follows is made up, or what follows is material.
_PRETENDS = re.compile(
    r"(?:please\s+)?(?:(?:could|can|would)\s+you\s+)?(?:say|imagine|pretend|suppose|act\s+as|role-?play|guess"
    r"|answer|consider|assume|sing|repeat|(?:tell|give)\s+(?:me|us)"
    r"\s+(?:a|an|another)\s+(?:\w+\s+)?(?:story|joke|poem|tale|riddle|fact|example)"
    r"|make\s+(?:me\s+)?(?:a|an|up)\s+(?:\w+\s+)?(?:story|joke|poem|tale|riddle|example))\b",
    re.IGNORECASE,
)
_COMPOSES = re.compile(
    r"(?:please\s+|pls\s+)?(?:(?:could|can|would)\s+you\s+)?(?:write|translate|summari[sz]e|rewrite"
    r"|rephrase|correct|spell"
    r"|read|complete|finish|draft|send|email|draw|create|generate|compose)\b",
    re.IGNORECASE,
)
_ASKS_BRIEFLY = re.compile(
    r"(?:(?:got\s+|have\s+)?any(?:thing|one|body|where)?\b|wdyt\b|thoughts\b|ideas\b|tips\b|recs\b"
    r"|suggestions\b|recommendations\b|should\s+(?:I|we)\b"
    r"|(?:whats|hows|wheres|whos)\b|help\b(?!,)|or\b|maybe\b|you\s+know\b)",
    re.IGNORECASE,
)
# "I live in Oslo, don't I?", "I live in Oslo, right?"
_TAG = re.compile(
    r"(?:,|\s-+|\.\.+)?\s*\b(?:(?:is|are|was|were|do|does|did|am|have|has|had|will|would|can|could|should)"
    r"(?:n't|nt)?\s+(?:I|you|we|he|she|it|they|that|this)|need\s+I|ain't\s+\w+|right|correct|true|no"
    r"|yes|yeah|huh|eh|innit"
    r"|remember|(?:is|isn't)\s+(?:that|it)\s+(?:right|correct|true|so|what\b[^?]*|how\b[^?]*"
    r"|still\b[^?]*)|or\s+(?:not|what|am\s+I|do\s+I|is\s+it)"
    r"|(?:do\s+you\s+)?(?:remember|know)(?:\s+that)?|really|seriously)\s*[?!]+\W*$",
    re.IGNORECASE,
)
# "I'm 41 and my knees hurt, any good stretches?", "..., cute anniversary ideas?"
_FRAGMENT = re.compile(r",\s+(?:[a-z-]+\s){0,3}(?!(?:is|was|has|does|this|yes)\s*\?)[a-z-]+s\s*\?+\W*$")
_STATES = re.compile(
    rf"(?:I|i|[Mm]y|[Ww]e|[Oo]ur|[Hh]e|[Ss]he|[Ii]t'?s|[Ii]m|[Ii]ve|[Ss]?[Hh]es|[Tt]heyre)\b"
    rf"|{NAME}(?:'s)? (?:[a-z]|my|{FINITE})"
)
_AND = re.compile(r"\band\s+$")
_SO = re.compile(r"\bso\s+$")
_BUT = re.compile(r"\bbut\s+$")
_ANEW = re.compile(r"(?:,|;|:|\bso|\bbecause|\bsince|\bas)\s*$")


def _turns(sentence: str, start: int, is_guess: bool) -> bool:
    """Whether a clause says something of its own after what was supposed: "I think so, but I live in Oslo".

    What somebody guesses ends where a subject begins anew; "if" and "wish" hold until a "but".
    """
    begins = _after_space(sentence, start)
    if _BUT.search(sentence, max(0, begins - 8), begins):
        return True
    return is_guess and bool(
        _ANEW.search(sentence, max(0, begins - 10), begins) and _STATES.match(sentence, begins)
    )


_SUPPOSES = re.compile(
    r"\b(?:think|guess|believe|assume|suspect|doubt|reckon|hear|seems?|looks like|sounds like"
    r"|feels? like|not sure)\b"
)
_HANDS_OVER = re.compile(
    r"let's\s+(?:play|pretend|role-?play)(?:\s+(?:a\s+(?:game|role)\b[^.!?\n]*|pretend))?\s*[.!:]"
    r"|(?:(?:can|could|would|will)\s+you\s+)?(?:please\s+)?(?:write|translate|rewrite|rephrase"
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
    r"|prompt|setting|premise|slogan|headline|myth|dialogue|puzzle|riddle"
    r"|(?:my|our|the|a|an) (?:plan|idea))\b[^:]{0,20}:\s",
    re.IGNORECASE,
)
_FICTION = re.compile(
    r"""\b(?:in|(?<!that\ )(?<!this\ )(?<!it\ )from)\s+(?:the|this|that|a|an|my|one)\s+(?!(?:free
        |spare)\b)(?:[\w'-]+\s+){0,3}(?:film
    |movie|book|novel|story
          |song|game|show|series|play
        |poem|dreams?|episode|comic|sketch|joke|scene|fairy\s+tale|musical|opera|anime|podcast|article
          |chapter)\b
    | \b(?:film|movie|book|novel|story|song|show|series|poem|lyrics?|joke|sketch)\s+(?:where|in\s+which
          |that\s+goes|says|goes|about)\b
    | \b(?:character|protagonist|narrator|heroine|hero|villain|avatar)\b
    | (?:[,;]|\s-+)\s*not\s*[!.]*$ | \byeah,?\s+right\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SAYS = re.compile(
    r"""\b(?:(?<!do\ i\ )(?<!do\ you\ )(?<!to\ )says?|(?-i:said)|saying
        |(?<!the\ )(?<!that\ )(?<!my\ )(?<!a\ )(?<!no\ )claims?|claimed|thinks|thought
        |(?<!nobody\ )believes|believed
        |told|tells|ask(?:s|ed)(?=\s+(?:me\s+|us\s+)?(?:if|whether|why|how|where|what)\b)|wrote
        |writes|sings?|sang|quot(?:e|es|ed|ing)|shouted|whispered|joked|joking|insists?|insisted
        |pretend(?:s|ed|ing)?|imagin(?:e|es|ed|ing)|dreamt|dreamed|rumou?r|rumou?red|reportedly
        |heard|according\s+to|once\s+upon\s+a\s+time|the\s+line|role-?play\w*)\b
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
    r"|supposed to|plans? to|intends? to|tends? to|(?:am|is|are|get|got) used to|tomorrow"
    r"|next (?:week|month|year|summer|spring|autumn|winter)"
    r"|moving to|getting (?:married|engaged|divorced)|soon|some ?day|one day|died|passed away"
    rf"|never(?! (?:{NEVER_SO}) )"
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
            and _JOINS.search(cut[0])
            and _BARE_NAMES.fullmatch(before.strip())
            and not _is_addressed(sentence, before, cut)
        ):
            continue
        # "The bride is Yusra, my best friend" says who that is.
        if _SAYS_WHO.match(sentence, cut.start()) and (
            _ENDS_IN_NAME.search(before) or _IS_SHE.search(before)
        ):
            continue
        if _NOT_BUT.search(before) and _BUT_ONLY.match(sentence, cut.start()):
            continue
        yield start, cut.start()
        start = cut.end()
    yield start, len(sentence)


_JOINS = re.compile(r"and|&|,|^\s*$")
_ENDS_IN_NAME = re.compile(rf"{NAME}$")
_SAYS_WHO = re.compile(rf",\s+(?:my|our)\s(?:[a-z]+\s){{0,3}}(?:{forms.ROLE})(?: {NAME})?(?=[,.!?]|$)")
# "She's 43, my sister."
_IS_SHE = re.compile(r"(?:^|[,:]\s+|\b(?:no|wait|actually|and)\s+)(?:[Hh]e|[Ss]he)(?:'s|\s)[^,]*$")
# "As a beekeeper I get stung" says two things.
_SPEAKS_AS = re.compile(
    r"(?:(?:[Aa]s|[Ss]peaking as) an?|[Bb]eing) (?:[\w-]+ ){0,3}?[\w-]+(?=,? (?:(?:(?:what|where|which"
    r"|how)\s(?:\w+\s){0,2}?|(?:can|do|should|could|would)\s)?(?:[Ii]|we)|my)\b)|[Aa]t"
    r" \d\d(?=,? [Ii]\b)"
)


def _is_addressed(sentence: str, before: str, cut: re.Match[str]) -> bool:
    """Whether "I" begins anew after a name: "Forget Lisbon, I live in Porto", but "Actually, I do"."""
    return bool(_I_OR_SHE.match(sentence, cut.start()) and asides.without_preamble(before)[0])


_OPENS = (
    r"(?:[Ii]|we|he|she|they|it|you|there)\b(?=[ '])|(?:[Ii]m|[Ii]ve|[Ss]hes|[Hh]es|[Tt]heyre|[Tt]hats"
    r"|u)\s|[Ii]ts\s(?=(?:an?|the|my|me|not|called|[A-Z\d])\b)|(?:everyone|everybody|people"
    r"|friends)\scalls?\b"
    r"|(?:I|he|she|it|we|they|you)'"
    r"|(?:my|our|his|her|its|their)\s|the\s(?:[\w'-]+\s){1,6}(?:is|are)\b"
    rf"|{FINITE}|{NAME}(?:'s (?:[\w-]+ ){{1,3}}(?:is|are)\b|'s (?:my|our|an?)\s|\s{FINITE})|please\b"
    rf"|if\b|remember\b"
)
_CLEFT = re.compile(rf"(?:[Ii]t's|[Ii]t is) (?:{NAME}|(?:my|our) (?:{forms.ROLE})(?: {NAME})?)$")
_MAY_NOT = re.compile(r"\b(?:if|unless|hopefully|provided|as long as|fingers crossed)\b", re.IGNORECASE)
_WHEN = re.compile(r"\b(?:when|whenever|after)\s+$", re.IGNORECASE)
_SOMETHING_IS = (
    r"(?:(?:nobody|no one|everybody|everyone|nothing|everything|don't|do not|never|please|keep)\b"
    r"|(?:[\w'-]+ ){1,4}?(?:is|are|was|were|isn't|aren't|can|can't|could|will|won't|would|do|does|don't"
    r"|has|have|had|must"
    r"|seems?|makes?|gets?|feels?|got|went|took|made|says?|said|told|knows?|needs?)\b)"
)
_DOES = (
    r"(?:is|are|was|were|has|had|keeps?|came|went|got|wo|can|ca|wants?|needs?|makes?|says?|feels?"
    r"|looks?|hurts?)"
)
_IMPERATIVE = (
    r"(?:pls|please|plz|write|find|give|gimme|tell|show|send|book|plan|draft|recommend|rec|suggest|add"
    r"|put|stick|set"
    r"|update|redo|skip|get|pick|help|remind|order|change|cancel|stop|remove|take|cut|list|check|search"
    r"|translate|explain|leave|ditch|scrap|swap|fix|warn|ask|text|email|do\s+(?:me|the|not|it)|don't"
    r"|dont|go\s+(?:easy|with)"
    r"|(?:what|where|how|who)(?:'?s|\s+is)?|when|why|which|can|could|would|should|will|is\s+(?:it|that"
    r"|this|there)"
    r"|are\s+(?:there|they)|do\s+(?:you|i|we|they)|does\s|am\s+i|think\s+of|replace|drop|delete|save"
    r"|note|correct"
    r"|make|blame|fancy|have\s+you|got\s+any|need|looking)"
)
_NOT_BUT = re.compile(r"\bnot\b|n't\b")
_BUT_ONLY = re.compile(rf",?\s+but\s+(?!{_OPENS})")
_SAY_IT = r"(?:[Ii]'?m|[Ii]'?ve|[Ii]|my)"
_CUTS = (
    # A dash or semicolon, unless a slip of the tongue is mended: "Lisbon - no, Porto".
    r"\s*(?:;|\s-+\s|[\u2014\u2013])\s*(?!(?:no|scratch|sorry|wait|oops|I mean|make that|or rather)\b)",
    # A connective before a clause of its own: "and she works", "but it's cold", "and the dog is old".
    r"(?:,\s*|\s+)(?:and|but|so|yet|plus|because|although|though|while|whereas|then)(?:\s+then)?\s+"
    rf"(?={_OPENS})",
    r",\s*(?:(?:and\s+)?then|so|because|although|though|whereas|hence|plus)\s+",
    r",?\s+(?:bc|cos|coz|cuz|'?cause)\s+",
    r"\s+so\s+(?!much\b|many\b|bad|far\b|long\b|that\b|hard\b|very\b|so\b|what\b)",
    r"\s+n\s+(?=(?:[Ii]|[Ss]?[Hh]e|my|we)\b|[a-z]+(?:m|ve|s)\s)",
    r"\s+and\s+(?=(?:now|every|still|nothing|nobody|about|yes|no|yeah|honestly|never|frankly|luckily)\b)",
    rf",?\s+and\s+(?=(?:the|this|that|every|all|now)\s(?:[\w'-]+\s){{1,5}}?{_DOES}\b|the\s[\w-]+'s\s)",
    rf"(?:,\s*|\s+)(?:but|because|although|though)\s+(?={_SOMETHING_IS})",
    rf",\s*and\s+(?={_SOMETHING_IS})",
    r",?\s+and\s+(?=[\w-]+(?:'s|\s+is)\s+(?:my|our|his|her)\b)",
    r",\s+(?=the\s(?:[\w'-]+\s){1,3}?(?:won|said|was|were|had|did|came|went|took|got|made|kept|keeps"
    r"|[a-z]{3,}ed)\b)",
    r",\s+(?=(?:before that|after that|since then|back then|until then)\b)",
    # A comma before a clause, a request, a question or an afterthought.
    rf",\s+(?!like\s)(?={_OPENS})",
    rf",\s*(?:and\s+)?(?={_IMPERATIVE}\s)",
    r",\s+(?=(?:what|which|how|do|does|can|could|should|would)\s)",
    r",\s+(?=never\s|any\s|ideas\b|thoughts\b|wdyt\b|maybe\s|know\sany\s|no\s[a-z]+\s[a-z]+)",
    r",\s+(?=(?:looks|seems|sounds)\s|now\s(?:living|working|based|studying|it'?s|it|I|I'm|we|he|she|he's"
    r"|she's|my|our)\b)",
    r",\s+(?=(?:believe|guess|hope|wish|never\s+(?:have|had|did|was|will)|which|born|that(?:'s|\s+is|\s+was)"
    r"|even|no\s+need|just\s+don't|don't|nobody|everyone)\b)",
    r",\s+(?=(?:[\w'-]+\s){1,4}?(?:will|would|should|could|might)\b)",
    r",\s+(?=[\w-]+ is my\b|[\w -]{3,20} allergy\b)",
    # A colon before what it announces.
    rf"(?<!\d):\s+(?=(?:I|i|my|My|we|our|in|the)\b|{NAME}(?:'s)? [a-z])",
    rf":\s+(?=(?:[Ii]t|[Hh]e|[Ss]he|[Tt]hey|[Ii]m|[Ii]'m)\b|{NAME},\s(?:an?|my|our)\s)",
    # A relative clause, a time or a condition.
    r",?\s+(?=(?:who|whose)\s|in\s+case\b)",
    r"(?<!\bis),?\s+(?:where|when|since|after|as)\s+(?=(?:I|we|he|she)[\s'])",
    r",?\s+(?=(?:if|unless)\s|(?:before|until)\s(?:I|we|he|she|my"
    r"|the(?!\s(?:end|beginning|start|spring|summer|autumn|winter|\d)))\b)",
    # No comma where one belongs: "Lars isnt swedish hes norwegian", "lol im a nurse".
    r"(?<!and)(?<!that)(?<!if)(?<!when)(?<!as)(?<!like)(?<!because)(?<!so)(?<!where)(?<!now)(?<!think)"
    r"\s+(?=[Ss]?[Hh]es\s)",
    rf"(?:lol|btw|tbh|haha|pls|fyi|ngl)\s+(?={_SAY_IT}\s)",
    r"(?:a week|a month|\w+ (?:years|months|weeks)|at (?:the )?weekends?|on weekends"
    r"|every (?:day|week|morning|evening|night|\w+day))\s+(?=I(?:'ve|'m)?\s)",
    # An aside in brackets.
    r"\s*\((?=(?:[a-z']+\s){2,})",
)
_CONNECTIVE = re.compile("|".join(_CUTS))
# "Forget Lisbon, I live in Porto"; but "Anna and I", and "Anna, my sister, lives".
_I_OR_SHE = re.compile(r",\s+(?:(?:I|we|he|she)[\s']|im\s)")
_BARE_NAMES = re.compile(
    rf"(?:{NAME}, an? [a-z]+ of mine|[Aa]n? [a-z]+ of mine, {NAME}"
    rf"|(?:[Mm]y|[Oo]ur|[Hh]is|[Hh]er)\s[a-z]+(?:\s(?:one|half|friend))?(?:,?\s{NAME})?|{NAME},\s(?:my"
    rf"|our|his"
    rf"|her)\s[a-z]+(?:\s[a-z]+){{0,3}}|{NAME}|[Mm]e)(?:,?\s(?:and|&)\s(?:{NAME}|I))?"
)
