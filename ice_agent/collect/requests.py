"""What the user asks to have forgotten, by the words. Reads only: it knows no store and forgets nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ice_agent.collect.clauses import plain_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetRequest:
    """A request to forget: what was said last, all about a subject, or the facts that the text names."""

    is_last: bool = False
    subject: str | None = None
    """As the user calls it: "Anna", "my sister"."""


def forget_request(text: str) -> ForgetRequest | None:
    """The request in the text, which must be nothing else; None for anything that is no such request."""
    plain = " ".join(plain_text(text).split())
    if _LAST.fullmatch(plain):
        return ForgetRequest(is_last=True)
    if match := _ALL_ABOUT.fullmatch(plain):
        return ForgetRequest(subject=match["subject"])
    return ForgetRequest() if _FACTS.match(plain) else None


_POLITE = (
    r"(?:(?:please|ok|okay|hey|actually|no|sorry|wait|oh|hmm|well|and|just|can you|could you|would you"
    r"|will you"
    r"|you can|you should|i want you to|i'd like you to)\b,?\s+)*"
)
_END = r"(?:,? (?:please|thanks|thank you))*\s*[.!?]*"
# "Forget it" means "never mind": only what names the words that were said is a request.
_LAST = re.compile(
    rf"{_POLITE}(?:forget|erase|delete|unlearn) (?:about )?(?:that|this|(?:everything|all|what)(?: that)? i"
    r"(?:'ve| have)? (?:just )?(?:said|told you|wrote|mentioned)(?: just now| a moment ago)?"
    r"|(?:the|my) last (?:thing|message|sentence|bit|part|one)(?: (?:that )?i (?:just )?(?:said"
    r"|told you|wrote))?)"
    rf"{_END}",
    re.IGNORECASE,
)
_ALL_ABOUT = re.compile(
    rf"{_POLITE}(?:forget|erase|delete|remove|unlearn) (?:everything|all|anything|whatever)(?: that)?"
    rf"(?: you(?:'ve| have)? (?:know|learned|learnt|heard))? (?:about|of|on"
    rf"|regarding) (?P<subject>[^.!?]+?){_END}",
    re.IGNORECASE,
)
_FACTS = re.compile(rf"{_POLITE}(?:forget|erase|delete|unlearn)\b(?! (?:to|it)\b)", re.IGNORECASE)
