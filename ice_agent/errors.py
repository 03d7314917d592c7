"""The errors of ice_agent, named for what the caller does about them.

IceError                one line for the user, exit code not 0
    ConfigError         mend the settings
    ModelError          point to another model, or mend this one
    AdapterError        do not load this adapter: serve its parent, or rebuild it
    CollectError        the text was heard but not understood: mend the extractor, then collect it again
    RefreshError        the source could not be read and nothing was changed: mend it, or its settings
    CycleError          nothing was promoted; the serving adapter is untouched
        EmptyBatch      nothing to edit: not a failure for a scheduler
        AwaitsApproval  a candidate waits for a person: promote or decline it first
    EngineError         an answer could not be written; ask again, or ask for less
        PromptTooLong   leave out turns or facts
        Overloaded      come back later
        EngineClosed    somebody stopped it
    PublishError        an outside engine refuses, or is not there: mend it, then publish again

The store has its own tree in `memory`. A message names the thing and the next step.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def instead(name: str, known: Iterable[str]) -> str:
    """What somebody who wrote this name may have meant: the one that is near, else all there are."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, names))}"


class IceError(Exception):
    """Anything ice_agent refuses to do; its text is one line, fit for a user."""


class ConfigError(IceError):
    """A setting is unknown, out of its limits or unreadable."""


class ModelError(IceError):
    """The base model is missing, has no chat template or lacks the layers that an edit trains."""


class AdapterError(IceError):
    """An adapter's directory is missing, corrupt or made for another base model."""


class CollectError(IceError):
    """The extractor could not read an utterance."""


class RefreshError(IceError):
    """A source could not be read as a whole, or is not there."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")


class CycleError(IceError):
    """A cycle could not start, or ended without a verdict."""


class EmptyBatch(CycleError):
    """No fact is pending, so there is nothing to edit."""

    def __init__(self) -> None:
        super().__init__("nothing is pending (tell it something with `ice-agent add`)")


class AwaitsApproval(CycleError):
    """A candidate passed its guards, and a person has the last word."""

    def __init__(self, adapter_id: str) -> None:
        super().__init__(
            f"candidate {adapter_id} waits for approval: `ice-agent promote {adapter_id}` or "
            f"`ice-agent reject {adapter_id}` first"
        )


class EngineError(IceError):
    """An answer could not be begun, or broke off."""


class PromptTooLong(EngineError):
    """The model has no room for a prompt and an answer of one token."""

    def __init__(self, n_tokens: int, limit: int) -> None:
        super().__init__(f"the prompt has {n_tokens} tokens, and the model reads {limit} with its answer")


class Overloaded(EngineError):
    """As many answers as may wait are waiting already."""

    def __init__(self, n_waiting: int, retry_after_seconds: int) -> None:
        super().__init__(f"{n_waiting} requests are waiting already: try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class EngineClosed(EngineError):
    """It takes no more requests."""

    def __init__(self) -> None:
        super().__init__("no more requests are taken: it is being stopped")


class PublishError(IceError):
    """An outside engine cannot be reached, or refuses an adapter: in its own words."""


class MemoriesError(IceError):
    """A memory was asked for in a way that says too little, or more than it understands."""


class ForgetError(IceError):
    """Something that was to be forgotten could not be deleted; the message names it."""
