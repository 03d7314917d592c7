"""What no batch may hold, read off the words alone: it is set aside before anything is trained on it.

Cheap and blunt, in front of the guards: they measure what an edit did, this keeps out what none should.
A fact that is set aside stays where it was, in the prompt, until a person releases or forgets it.
"""

from __future__ import annotations

import re
import unicodedata

from ice_agent.admission import injected
from memory import Fact

LONGEST_OBJECT = 200
"""Characters. What is longer is a text: it is recalled from the prompt better than from weights."""


def unfit(fact: Fact) -> str:
    """Why a fact must not be taught; empty for one that may be."""
    if len(fact.object) > LONGEST_OBJECT:
        return f"its object has {len(fact.object)} characters, {LONGEST_OBJECT} at most can be taught"
    if _NOTHING_KNOWN.fullmatch(fact.object.strip(" .!?")):
        return "its object says that nothing is known"
    for part, text in (("subject", fact.subject), ("relation", fact.relation), ("object", fact.object)):
        if reason := _unfit(text):
            return f"its {part} {reason}"
    return ""


def _unfit(text: str) -> str:
    return injected(text) or ("does not read like words" if _is_gibberish(text) else "")


def _is_gibberish(text: str) -> bool:
    """Keys hit at random, one thing over and over, or mostly signs. A name of any language passes."""
    words = text.split()
    signs = sum(unicodedata.category(character)[0] in "SP" for character in text)
    return (
        _OVER_AND_OVER.search(text) is not None
        or not any(character.isalnum() for character in text)
        or any(_CONSONANTS.search(word) for word in words)
        or (len(text) >= 8 and signs * 2 > len(text))
    )


# What a form or a feed holds where it has no value: to teach it would un-teach what the model knows.
_NOTHING_KNOWN = re.compile(
    r"(?:un|not )known|n/a|null|undefined|tbd|to be (?:determined|announced)|no (?:idea|data|value)|not sure"
    r"|(?:nobody|no one|who) knows"
    r"|(?:(?:i|we|they) )?(?:do not|don't|don\u2019t|cannot|can't) (?:know|say|tell)(?: that| it| this)?",
    re.IGNORECASE,
)
# The same few signs five times, or the same word or few words four times, in a row.
_OVER_AND_OVER = re.compile(r"(\S{1,6}?)\1{4}|\b(\w+(?:\W+\w+){0,5}?)(?:\W+\2\b){3}", re.IGNORECASE)
# Seven are more than any word has: "Čtvrtníček" begins with six. Capitals alone are an abbreviation.
_CONSONANTS = re.compile(r"(?=[^A-Z]*[a-z])[b-df-hj-np-tvxz]{7}", re.IGNORECASE)
