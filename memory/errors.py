"""What can go wrong with the memory, named for what the caller does about it.

StoreError
├── StoreUnavailable    the database cannot be opened, read or written: look at the URL, the disk, the server
├── StoreTooNew         written by a newer version: upgrade the program
├── StoreOutdated       written by an older version and not upgraded: run `ice-agent init`
├── UnstorableText      the text holds what no database keeps
├── SharedLineage       "user" was told to a shared lineage
├── UnknownTenant, UnknownFact, UnknownUtterance, UnknownProposal, UnknownBatch, UnknownAdapter, UnknownKey
│                       no such one
├── AccessDenied        an access key that was never issued, or is revoked
├── AmbiguousId         a shortened id that fits several (also LookupError)
├── WrongState          the thing exists, and its state does not allow this
├── LeaseHeld           another cycle is at work: wait
├── StaleLease          this worker's lease is gone: stop
├── StaleParent         the candidate was measured against a parent that no longer serves
├── CannotRevert        there is nothing, or no such ancestor, to go back to
└── NotaryError         a signing key or a checkpoint is missing, damaged or too old
"""

from __future__ import annotations

from datetime import datetime
from typing import Any


class StoreError(Exception):
    """Anything the memory refuses; the message names the thing and the next step."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is made anew from its message alone, which is not what these take: a
        # worker process could not hand one back.
        return _made_anew, (type(self), str(self)), self.__dict__


class StoreUnavailable(StoreError):
    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"cannot use the memory at {url}: {reason}")


class StoreTooNew(StoreError):
    def __init__(self, url: str, revision: str) -> None:
        super().__init__(
            f"the memory at {url} was written by a newer version (schema {revision}); "
            "upgrade ice-agent, or point it at another database"
        )


class StoreOutdated(StoreError):
    def __init__(self, url: str, revision: str | None) -> None:
        found = f"has schema {revision}" if revision else "holds no tables yet"
        super().__init__(f"the memory at {url} {found}; run `ice-agent init` to bring it up to date")


class UnstorableText(StoreError, ValueError):
    def __init__(self, what: str) -> None:
        super().__init__(f"{what} holds a NUL character or half a surrogate pair; send it without")


class SharedLineage(StoreError):
    def __init__(self, tenant: str) -> None:
        super().__init__(
            f'{tenant!r} is a shared lineage: it has no "user"; name the person, or tell it to a personal one'
        )


class UnknownFact(StoreError, LookupError):
    def __init__(self, fact_id: str) -> None:
        super().__init__(f"no fact {fact_id!r} (see `ice-agent facts`)")


class UnknownUtterance(StoreError, LookupError):
    def __init__(self, utterance_id: str) -> None:
        super().__init__(f"no utterance {utterance_id!r}; `hear` it first")


class UnknownTenant(StoreError, LookupError):
    def __init__(self, tenant: str) -> None:
        super().__init__(f"nothing is known about {tenant!r}")


class UnknownProposal(StoreError, LookupError):
    def __init__(self, proposal_id: str) -> None:
        super().__init__(f"no proposal {proposal_id!r} (see `ice-agent review`)")


class UnknownKey(StoreError, LookupError):
    def __init__(self, key_id: str) -> None:
        super().__init__(f"no access key {key_id!r} (see `ice-agent keys`)")


class AccessDenied(StoreError):
    """Says nothing of the key: whoever shows a wrong one learns only that it is wrong."""

    def __init__(self) -> None:
        super().__init__("this access key opens nothing; `ice-agent keys --issue LABEL` makes one")


class UnknownBatch(StoreError, LookupError):
    def __init__(self, batch_id: str) -> None:
        super().__init__(f"no batch {batch_id!r} (see `ice-agent adapters`)")


class UnknownAdapter(StoreError, LookupError):
    def __init__(self, adapter_id: str) -> None:
        super().__init__(f"no adapter {adapter_id!r} (see `ice-agent adapters`)")


class AmbiguousId(StoreError, LookupError):
    def __init__(self, prefix: str, fits: tuple[str, ...]) -> None:
        super().__init__(f"{prefix!r} could be {' or '.join(fits)}; give more of it")


class WrongState(StoreError):
    """The message says which state the thing is in and what would be possible instead."""


class LeaseHeld(StoreError):
    """Carries the owner and the time until which to wait."""

    def __init__(self, owner: str, until: datetime) -> None:
        super().__init__(
            f"a cycle is already running: {owner} holds the lease until "
            f"{until.isoformat(sep=' ', timespec='seconds')}; wait for it (if that process is gone, the next "
            "cycle takes over then)"
        )
        self.owner = owner
        self.until = until


class StaleLease(StoreError):
    def __init__(self, owner: str) -> None:
        super().__init__(f"the lease of {owner} has ended; nothing was changed, the next cycle starts over")


class StaleParent(StoreError):
    def __init__(self, adapter_id: str, parent_id: str | None, serving_id: str | None) -> None:
        serving = f"{serving_id} serves" if serving_id else "nothing serves"
        super().__init__(
            f"adapter {adapter_id} was edited from {parent_id or 'no parent'}, but now {serving}: its scores "
            "were measured against the wrong model; run a cycle again"
        )


class NotaryError(StoreError):
    """A key or a checkpoint is missing, too old or not ours to read; the message names the next step."""


class CannotRevert(StoreError):
    """The message says why: nothing serves, the root serves, or the adapter asked for is no ancestor."""


def _made_anew(kind: type[StoreError], message: str) -> StoreError:
    error = kind.__new__(kind)
    error.args = (message,)
    return error
