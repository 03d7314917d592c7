"""mem0's REST form of memories: scripts for its server run as they are. Each user is a tenant of its own.

An agent or a run is one, too, alone or with a user. A key is for one of them, and needs no id.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from ice_agent import forget
from ice_agent.memories import Memory, scope
from ice_agent.server.access import Chatting, Operating, Visit
from ice_agent.server.openai import Message
from ice_agent.server.refusals import Refused, documented, example
from memory import FactStatus, UnknownFact

router = APIRouter(tags=["memories"], responses=documented(409))

TOLD = {"id": "f_1", "memory": "The user lives in Lisbon.", "event": "ADD"}
KEPT = {"id": "f_1", "memory": "The user lives in Lisbon.", "user_id": "tom", "metadata": {}}


class Scope(BaseModel):
    """Whose memory: that of a user, an agent or a run; none is needed with a key."""

    user_id: str | None = Field(default=None, examples=["tom"])
    agent_id: str | None = None
    run_id: str | None = None


class NewMemories(Scope):
    messages: str | Message | list[Message] = Field(
        examples=[[{"role": "user", "content": "I live in Lisbon."}]]
    )
    metadata: dict[str, Any] | None = None
    infer: bool = True
    """False keeps each message as it is, instead of the facts in it."""


class Search(Scope):
    query: str = Field(examples=["Where does he live?"])
    filters: dict[str, Any] | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    top_k: int | None = Field(default=None, ge=1, le=1000)
    threshold: float | None = Field(default=None, allow_inf_nan=False)


class Listing(Scope):
    limit: int = Field(default=100, ge=1, le=1000)


class NewWords(BaseModel):
    """The words under any of the names that versions of mem0 gave them."""

    text: str | None = Field(default=None, examples=["I live in Oslo."])
    memory: str | None = None
    data: str | None = None
    metadata: dict[str, Any] | None = None

    @property
    def words(self) -> str:
        for words in (self.text, self.memory, self.data):
            if words is not None and words.strip():
                return words
        raise Refused(400, "what shall it say? give text")


class Item(BaseModel):
    """A memory, or a change of one, as mem0 gives it."""

    model_config = ConfigDict(extra="allow")
    id: str


class Items(BaseModel):
    results: list[Item]


class Done(BaseModel):
    message: str


@router.post("/memories", responses=example({"results": [TOLD]}))
def add(told: NewMemories, visit: Chatting) -> Items:
    """Keep what the user says in these messages; an assistant's own words are not learned from."""
    memory, ids = _scoped(visit, told)
    messages = told.messages if isinstance(told.messages, list) else [told.messages]
    said = [
        {"role": "user", "content": m} if isinstance(m, str) else {"role": m.role, "content": m.text}
        for m in messages
    ]
    if not any(message["content"].strip() for message in said):
        raise Refused(400, "nothing is said in messages: give them words", param="messages")
    return Items.model_validate(memory.add(said, metadata=told.metadata, infer=told.infer, **ids))


@router.get("/memories", responses=example({"results": [KEPT]}))
def every(visit: Chatting, asked: Annotated[Listing, Query()]) -> Items:
    """All memories that stand, oldest first."""
    memory, ids = _scoped(visit, asked)
    return Items.model_validate(memory.get_all(limit=asked.limit, **ids))


@router.post("/search", responses=example({"results": [KEPT | {"score": 0.67}]}))
def search(asked: Search, visit: Chatting) -> Items:
    """The memories that a query is about, best first, then the newest."""
    memory, ids = _scoped(visit, asked, asked.filters)
    most, least = asked.top_k or asked.limit, asked.threshold
    found = memory.search(asked.query, filters=asked.filters, limit=most, threshold=least, **ids)
    return Items.model_validate(found)


@router.get("/memories/{memory_id}", responses=documented(404) | example(KEPT))
def one(memory_id: str, visit: Chatting) -> Item:
    """A memory as it is now."""
    found = _holding(visit, memory_id).get(memory_id)
    if found is None:
        raise UnknownFact(memory_id)
    return Item.model_validate(found)


@router.put("/memories/{memory_id}", responses=documented(404))
def update(memory_id: str, words: NewWords, visit: Operating) -> Done:
    """Put other words in its place; what it said before stays in its history."""
    return Done.model_validate(
        _holding(visit, memory_id).update(memory_id, words.words, metadata=words.metadata)
    )


@router.get("/memories/{memory_id}/history", responses=documented(404))
def history(memory_id: str, visit: Chatting) -> list[Item]:
    """What became of it: each value with the one before it, oldest first."""
    return [Item.model_validate(change) for change in _holding(visit, memory_id).history(memory_id)]


@router.delete("/memories/{memory_id}", responses=documented(404))
def delete(memory_id: str, visit: Operating) -> Done:
    """Forget it with all that it ever said: rows, words, and every adapter that was taught it."""
    done = _holding(visit, memory_id).delete(memory_id)
    visit.serving.engine.forget()
    return Done.model_validate(done)


@router.delete("/memories")
def delete_all(visit: Operating, whose: Annotated[Scope, Query()]) -> Done:
    """Forget all that is held about somebody, who has to be named where no key says who.

    With a key the tenant stays, and what was forgotten is all that it was told: else its keys would go, too.
    """
    memory, ids = _scoped(visit, whose, must_be_named=True)
    if visit.serving.is_open:
        memory.delete_all(**ids)
    else:
        _forget_all_told(visit)
    visit.serving.engine.forget()
    return Done(message="Memories deleted successfully!")


@router.post("/reset")
def reset(visit: Operating) -> Done:
    """Forget everybody; with a key, or where a tenant is named, all that this one told."""
    if visit.is_bound:
        _forget_all_told(visit)
    else:
        _memory(visit).reset()
    visit.serving.engine.forget()
    return Done(message="Memories were reset")


def _forget_all_told(visit: Visit) -> None:
    store = visit.store
    facts = [fact.id for fact in store.facts(statuses=FactStatus)]
    heard = [utterance.id for utterance in store.utterances()]
    if facts or heard:
        forget.attested(
            visit.serving.archive,
            store,
            visit.config,
            lambda: forget.forget(store, visit.config, facts, utterance_ids=heard),
        )


def _memory(visit: Visit) -> Memory:
    serving = visit.serving
    return Memory(serving.config, serving.meanings, archive=serving.archive, extractor=serving.extractor)


def _scoped(
    visit: Visit, asked: Scope, filters: dict[str, Any] | None = None, *, must_be_named: bool = False
) -> tuple[Memory, dict[str, Any]]:
    """The memory, and the ids to ask it with: those of the request, if its key is for them."""
    ids = {"user_id": asked.user_id, "agent_id": asked.agent_id, "run_id": asked.run_id}
    tenant, _ = scope(filters, **ids)
    if tenant is not None:
        visit.named(tenant, "user_id")
        return _memory(visit), ids
    if must_be_named and not visit.is_bound:
        raise Refused(400, "whose memories? give user_id, agent_id or run_id", param="user_id")
    return _memory(visit), {"user_id": visit.tenant}


def _holding(visit: Visit, memory_id: str) -> Memory:
    """The memory, if what has this id is the visitor's: another tenant's is as if it were not there."""
    owner = visit.serving.archive.owner(memory_id)
    if visit.is_bound and owner.tenant != visit.tenant:
        raise UnknownFact(memory_id)
    return _memory(visit)
