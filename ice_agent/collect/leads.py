"""How a sentence opens: whether its words are taught, mentioned or taken back."""

from __future__ import annotations

import re
from enum import StrEnum

from ice_agent.collect.names import NAME


class Voice(StrEnum):
    TOLD = "told"  # asserted in passing: "I live in Oslo"
    TAUGHT = "taught"  # asserted and asked to be kept: "Remember that ..."
    TAKEN_BACK = "taken back"  # "Forget that ...", "It is not true that ..."
    UNSAID = "unsaid"  # a question, a wish, a condition, a guess, a quote: nothing is asserted


def lead_of(sentence: str) -> tuple[int, Voice]:
    """How long the words of teaching are ("Remember that"), and what they make of the rest."""
    if sentence.rstrip("\"') ").endswith("?"):
        # "Could you note that I live in Bath?" asks for no answer.
        taught = _ASKED_TO_NOTE.match(sentence)
        return (taught.end(), Voice.TAUGHT) if taught else (0, Voice.TOLD)
    for pattern, voice in (
        (_TEACHES, Voice.TAUGHT),
        (_MENTIONS, Voice.TOLD),
        (_TAKES_BACK, Voice.TAKEN_BACK),
    ):
        if match := pattern.match(sentence):
            return match.end(), voice
    return 0, Voice.TOLD


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
    | (?:i\s+want|i'd\s+like|i\s+would\s+like|i\s+need)\s+you\s+to\s+(?:know|remember|learn)
        \s*(?:that\b|this:|:)
    | (?:i\s+want|i'd\s+like|let\s+me)\s+(?:to\s+)?(?:tell|teach)\s+you\s+(?:that\b|something:|this:)
    | (?:here's|here\s+is)\s+(?:a|one)\s+(?:fact|thing)(?:\s+for\s+you|\s+to\s+remember)?\s*:
    )\s*(?:that\s+)?""",
    re.IGNORECASE | re.VERBOSE,
)
_ASKED_TO_NOTE = re.compile(
    rf"{_POLITE}(?:\w+,\s+)?(?:can|could|would|will)\s+you\s+(?:(?:(?:please|pls|just)\s+)+remember"
    r"|(?:(?:please|pls|just)\s+)*(?:note|save|store|record|keep\s+in\s+mind|make\s+a\s+note|write\s+down"
    r"|put\s+down|add))\s+that\s+",
    re.IGNORECASE,
)
# What is mentioned so is meant to be known; it need not be a fact that is worth keeping in its own words.
_MENTIONS = re.compile(
    rf"""{_POLITE}(?:
      for\s+(?:the\s+record|your\s+(?:information|records?)|future\s+reference)\s*[:,]? | fyi\s*[:,]?
    | just\s+(?:for|so)\s+(?:that\s+)?(?:(?:you|u|ya)\s+know|your\s+records?)\s*[:,]?
        | so\s+(?:that\s+)?you\s+know\s*[:,]
    )\s*(?:that\s+)?""",
    re.IGNORECASE | re.VERBOSE,
)
_TAKES_BACK = re.compile(
    rf"""{_POLITE}(?:
      (?:take|cross|strike)\s+(?:off|out)\s+(?:that\s+|(?=my\s))
    | (?:you\s+can\s+)?(?:forget|drop|delete|remove|scrap|scratch|undo)\s+(?:about\s+)?(?:the\s+(?:bit|part
        |note|line|thing|entry)
        |what\s+I\s+(?:said|told\s+you|wrote))\s+(?:about\s+(?=\w+\s(?:being|living|working|liking|loving
        |having|driving|playing)\b)|where\s+I\s+(?:said|say)\s+(?:that\s+)?|that\s+says\s+(?:that\s+)?
        |saying\s+(?:that\s+)?)
    | forget\s+(?:about\s+)?(?:that\s+|(?=where|who|how|what|when|my|our|\w+'s|about|the\s))
    | forget\s+(?=I\b|{NAME}\s)
    | (?:it\s+is|it's|that\s+is|that's)\s+(?:not|no\s+longer)\s+(?:true|correct|right|the\s+case)
        (?:\s+anymore)?\s+that\s+
    | (?:it\s+isn't|it\s+is\s+wrong|it's\s+wrong|it's\s+false)\s*(?:true|correct|the\s+case)?
        (?:\s+anymore)?\s+that\s+
    | (?:delete|erase|remove|drop)\s+(?:the\s+fact\s+)?(?:that\s+|(?=my\s))
    | (?:you\s+can|you\s+may|you\s+should)\s+forget\s+(?:about\s+)?(?:that\s+|(?=where|who|how|what|my\b
        |the\s))
    )""",
    re.IGNORECASE | re.VERBOSE,
)
