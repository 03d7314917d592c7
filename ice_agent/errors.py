"""The errors of ice_agent, named for what the caller does about them.

IceError                one line for the user, exit code not 0
    ConfigError         mend the settings
    ModelError          point to another model, or mend this one
    AdapterError        do not load this adapter: serve its parent, or rebuild it
    CollectError        the text was heard but not understood: mend the extractor, then collect it again
    CycleError          nothing was promoted; the serving adapter is untouched
        EmptyBatch      nothing to edit: not a failure for a scheduler

The store has its own tree in `memory`. A message names the thing and the next step.
"""


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


class CycleError(IceError):
    """A cycle could not start, or ended without a verdict."""


class EmptyBatch(CycleError):
    """No fact is pending, so there is nothing to edit."""

    def __init__(self, tenant: str) -> None:
        super().__init__(f"nothing is pending for {tenant!r} (tell it something with `ice-agent add`)")


class MemoriesError(IceError):
    """A memory was asked for in a way that says too little, or more than it understands."""


class ForgetError(IceError):
    """Something that was to be forgotten could not be deleted; the message names it."""
