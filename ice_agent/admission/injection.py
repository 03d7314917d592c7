"""Prompt injection: words addressed to the model that reads them, markup, and signs that nobody sees.

Rules, and so evadable; the guards of a cycle measure what they let by.
"""

from __future__ import annotations

import re
import unicodedata


def injected(text: str) -> str:
    """What in these words is not for a reader of facts; empty for words that only say something."""
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cn") for sign in _JOINERS.sub("", text)):
        return "has characters that nobody sees"
    if _MARKER.search(text):
        return "has marks of a chat template or of a page in it"
    if _INSTRUCTS.search(text):
        return "gives instructions instead of saying what is so"
    return ""


# Persian, Hindi and emoji are spelt with joiners, and a hyphen may be soft.
_JOINERS = re.compile(r"(?<=\S)[\u200c\u200d\u00ad](?=\S)")
_MARKER = re.compile(
    r"<\|[^|>]{0,40}\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|^\s*(?:system|assistant)\s*:"
    r"|#{2,}\s*(?:system|assistant|human|user|instruction|response)\b"
    # Tags of a page, and what a template would fill in.
    r"|</?[a-z][\w-]*(?:\s[^<>]*)?/?>|\{\{.*\}\}|\{%.*%\}",
    re.IGNORECASE | re.MULTILINE,
)
_INSTRUCTS = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:instructions?|prompts?|rules?|guidelines?|guards?)\b"
    r"|\bsystem prompt\b|\byou (?:are now|must (?:always|never|now)|will (?:always|now))\b"
    r"|\b(?:always|never|only) (?:answer|say|reply|respond|reveal|output|print)\b"
    r"|\bfrom now on,? (?:you|answer|say|reply|respond)\b",
    re.IGNORECASE | re.DOTALL,
)
