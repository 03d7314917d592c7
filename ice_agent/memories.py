"""Memory: the verbs that people know from mem0, over the fact store. A script changes its import, and runs.

What is added is a fact of the user's tenant: the next prompt has it, and the next cycle puts it into weights.
Deleting forgets: rows, words and the adapters that were taught the fact.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from langchain_core.embeddings import Embeddings

from ice_agent import collect, config, forget, recall
from ice_agent.collect import Extractor
from ice_agent.config import Config
from ice_agent.errors import MemoriesError
from ice_agent.recall import Meanings
from memory import (
    Archive,
    Fact,
    FactStatus,
    FactStore,
    Forgetting,
    Recorded,
    UnknownFact,
)

logger = logging.getLogger(__name__)

Item = dict[str, Any]
"""A memory as mem0 gives it."""

SCOPES = ("user_id", "agent_id", "run_id")

UPDATED = ("mem0", "updated")
"""Where the store keeps, by its id, which fact a memory became."""

FORGOTTEN_ONCE = (
    "some of this was forgotten once, and is not learned again before that is allowed (`ice-agent allow`, or "
    "POST /facts/allow)"
)

FILTERED = 1000
"""Memories, the nearest to a query, that filters choose from."""


class Memory:
    """A memory of many users in one database. Every id is mem0's: a `user_id` is a tenant of its own."""

    def __init__(
        self,
        settings: Config | None = None,
        embeddings: Embeddings | Meanings | None = None,
        *,
        archive: Archive | None = None,
        extractor: Extractor | None = None,
    ) -> None:
        """An `archive` that is open already stays open: whoever opened it closes it."""
        self._config = settings or config.load()
        self._by_meaning = recall.meanings(self._config.recall.embeddings, embeddings)
        self._extractor = extractor or collect.extractor_named(self._config.collect.extractor)
        self._is_own = archive is None
        self._archive = archive or Archive.open(
            self._config.store.url, announced=self._config.hooks.of.keys()
        )

    @classmethod
    def from_config(cls, config_dict: Mapping[str, Any]) -> Self:
        """Sections as in config.toml. mem0's own (`vector_store`, `llm`, ...) have no meaning here."""
        known = {name: value for name, value in config_dict.items() if name in Config.model_fields}
        for name in config_dict.keys() - known.keys():
            logger.warning("%s has no meaning here: it is left out", name)
        return cls(Config.model_validate(known))

    def close(self) -> None:
        if self._is_own:
            self._archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def add(
        self,
        messages: str | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        filters: Mapping[str, Any] | None = None,
        infer: bool = True,
    ) -> dict[str, list[Item]]:
        """Keep what the user says in these messages; an assistant's own words are not learned from.

        `infer=False` keeps each message as it is, instead of the facts in it.
        """
        store, _ = self._scoped(filters, user_id=user_id, agent_id=agent_id, run_id=run_id)
        details = _details(metadata)
        extractor = self._extractor if infer else collect.as_it_is
        results = list[Item]()
        for role, text in _said(messages):
            if role == "user":
                heard = collect.hear(store, self._config.collect, text, extractor, details=details)
                results += [event for done in heard.recorded for event in _events(done)]
                if heard.refused:
                    results.append({"id": "", "memory": text, "event": "NONE", "reason": FORGOTTEN_ONCE})
        return {"results": results}

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        limit: int = 100,
        top_k: int | None = None,
        filters: Mapping[str, Any] | None = None,
        threshold: float | None = None,
        **unused: Any,
    ) -> dict[str, list[Item]]:
        """The memories that a query is about, best first, then the newest: as with mem0, there is always one.

        `score` is the share of the query's words in it, or its cosine if that is more; what has nothing to do
        with the query has 0.0. `top_k` is the newer name of `limit`.
        """
        _say_unused(unused)
        store, wanted = self._scoped(filters, user_id=user_id, agent_id=agent_id, run_id=run_id)
        most = limit if top_k is None else top_k
        reach = max(most, FILTERED) if wanted else most
        ranked = recall.search(store, query, reach, self._by_meaning)
        ranked |= {fact: 0.0 for fact in store.facts(newest=reach)[::-1] if fact not in ranked}
        found = [self._item(store, fact) | {"score": score} for fact, score in ranked.items()]
        return {
            "results": [
                item
                for item in found
                if _fits(item, wanted) and (threshold is None or item["score"] >= threshold)
            ][:most]
        }

    def get(self, memory_id: str) -> Item | None:
        """One memory as it is now, or None when there is none of this id."""
        try:
            store, ids = self._followed(memory_id)
        except UnknownFact:
            return None
        return self._item(store, store.fact(ids[-1]))

    def get_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 100,
        top_k: int | None = None,
        **unused: Any,
    ) -> dict[str, list[Item]]:
        """All memories that stand, oldest first."""
        _say_unused(unused)
        store, wanted = self._scoped(filters, user_id=user_id, agent_id=agent_id, run_id=run_id)
        found = (self._item(store, fact) for fact in store.facts())
        return {
            "results": [item for item in found if _fits(item, wanted)][: limit if top_k is None else top_k]
        }

    def update(self, memory_id: str, data: str, metadata: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Put other words in a memory's place; what it said before stays in its history.

        They are another fact, with an id of its own; this one goes on to mean it.
        """
        store, ids = self._followed(memory_id)
        fact, settings = store.fact(ids[-1]), self._config.collect
        changes = collect.replacing([fact], data, collect.or_as_it_is(self._extractor), settings)
        heard = collect.hear(store, settings, data, lambda _: changes, details=_details(metadata))
        told = [done.fact for done in heard.recorded if done.fact is not None]
        now = next((other for other in told if other.slot == fact.slot), told[0] if told else fact)
        if now.id not in ids:
            store.items.keep(UPDATED, fact.id, {"id": now.id}, utterance_id=heard.utterance.id)
        return {"message": FORGOTTEN_ONCE if heard.refused else "Memory updated successfully!"}

    def delete(self, memory_id: str) -> dict[str, str]:
        """Forget a memory with all that it ever said: rows, words, and every adapter that was taught it."""
        store, ids = self._whole(memory_id)
        self._attested(store, lambda: forget.forget(store, self._config, ids))
        return {"message": "Memory deleted successfully!"}

    def delete_all(
        self, user_id: str | None = None, agent_id: str | None = None, run_id: str | None = None
    ) -> dict[str, str]:
        """Forget all that is held about somebody."""
        store, _ = self._scoped(None, user_id=user_id, agent_id=agent_id, run_id=run_id)
        if store.exists():
            self._forget_everything(store)
        return {"message": "Memories deleted successfully!"}

    def history(self, memory_id: str) -> list[Item]:
        """What became of a memory: each value with the one before it, oldest first."""
        store, ids = self._whole(memory_id)
        facts = {fact.id: fact for each in ids for fact in store.history(each)}
        changes, before, last = list[Item](), None, list(facts)[-1]
        for fact in facts.values():
            said = {"memory_id": fact.id, "created_at": fact.recorded_at.isoformat(), "actor_id": None}
            event = "ADD" if before is None else "UPDATE"
            changes.append(_change(said, before, fact.statement, event))
            before = fact.statement
            if fact.status is FactStatus.RETRACTED and fact.id == last:
                changes.append(_change(said, before, None, "DELETE"))
        return changes

    def reset(self) -> None:
        """Forget everybody."""
        for tenant in self._archive.tenants():
            self._forget_everything(self._archive.store(tenant))

    def _forget_everything(self, store: FactStore) -> None:
        self._attested(store, lambda: forget.forget_everything(store, self._config))

    def _attested(self, store: FactStore, erase: Callable[[], Forgetting]) -> None:
        """The receipt lies where `ice-agent forget` puts its own: beside the checkpoints."""
        forget.attested(self._archive, store, self._config, erase)

    def _scoped(
        self, filters: Mapping[str, Any] | None, **ids: str | None
    ) -> tuple[FactStore, dict[str, Any]]:
        tenant, wanted = scope(filters, **ids)
        if tenant is None:
            raise MemoriesError("whose memory? give user_id=..., here or inside filters={...}")
        return self._archive.store(tenant), wanted

    def _followed(self, memory_id: str) -> tuple[FactStore, list[str]]:
        """Whose memory this is, and its id with those of what `update` put in its place, in turn."""
        store, ids = self._archive.owner(memory_id), [memory_id]
        while (moved := store.items.get(UPDATED, ids[-1])) is not None:
            ids.append(moved.value["id"])
        return store, ids

    def _whole(self, memory_id: str) -> tuple[FactStore, list[str]]:
        """The same, with all that it took the place of before them."""
        store, ids = self._followed(memory_id)
        moved = {item.key: item.value["id"] for item in store.items.under(UPDATED)}
        while before := [old for old, new in moved.items() if new in ids and old not in ids]:
            ids = [*before, *ids]
        return store, [each for each in ids if _is_there(store, each)]

    def _item(self, store: FactStore, fact: Fact) -> Item:
        heard = store.mentions(fact.id)[0].utterance
        return {
            "id": fact.id,
            "memory": fact.statement,
            "hash": hashlib.md5(fact.statement.encode(), usedforsecurity=False).hexdigest(),
            "metadata": dict(heard.details),
            "created_at": fact.recorded_at.isoformat(),
            "updated_at": fact.recorded_at.isoformat(),
            "user_id": store.tenant,
            "actor_id": heard.speaker,
            "role": "user",
        }


def scope(filters: Mapping[str, Any] | None, **ids: str | None) -> tuple[str | None, dict[str, Any]]:
    """The tenant that is meant, by an id at top level or among the filters, and what else is filtered by.

    None where no id is given. Raises MemoriesError for ids and filters that mean nothing.
    """
    wanted = dict(_conditions(filters or {}))
    for name in SCOPES:
        if name in wanted:
            ids[name] = wanted.pop(name)
    given = {name: value for name, value in ids.items() if value is not None}
    for name, value in given.items():
        # An empty id would be somebody's all the same: everybody's whose id got lost.
        if not isinstance(value, str) or not value.strip():
            raise MemoriesError(f"whose memory? {name} is {value!r}: give a text with a letter in it")
    # Each scope is a tenant of its own; a user's is called by the bare name.
    parts = [value if name == "user_id" else f"{name}={value}" for name, value in sorted(given.items())]
    return " ".join(sorted(parts)) or None, wanted


def _said(messages: str | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Role and text of each message, in whichever of mem0's forms it came."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, Mapping | Sequence):
        raise MemoriesError(f"add takes a text, a message or a list of messages, not {messages!r}")
    for message in [messages] if isinstance(messages, Mapping) else messages:
        if not isinstance(message, Mapping):
            raise MemoriesError(f'a message is {{"role": ..., "content": ...}}, not {message!r}')
        content = message.get("content")
        if not isinstance(content, str):
            parts = content if isinstance(content, Sequence) else ()
            content = " ".join(part["text"] for part in parts if part.get("type") == "text")
        if "role" not in message:
            raise MemoriesError('a message is {"role": ..., "content": ...}: one has no role')
        if content.strip():
            yield str(message["role"]), content


def _is_there(store: FactStore, fact_id: str) -> bool:
    try:
        return bool(store.fact(fact_id))
    except UnknownFact:
        return False


def _details(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (metadata or {}).items()}


def _events(done: Recorded) -> Iterator[Item]:
    if done.fact is not None:
        before = {"previous_memory": done.superseded[0].statement} if done.superseded else {}
        event = ("UPDATE" if done.superseded else "ADD") if done.is_new else "NONE"
        yield {"id": done.fact.id, "memory": done.fact.statement, "event": event, **before}
    for fact in done.retracted:
        yield {"id": fact.id, "memory": fact.statement, "event": "DELETE"}


def _change(said: Item, before: str | None, after: str | None, event: str) -> Item:
    deleted = {"is_deleted": int(event == "DELETE"), "updated_at": said["created_at"], "role": "user"}
    change = {"old_memory": before, "new_memory": after, "event": event}
    return {"id": f"{said['memory_id']}.{event.lower()}", **said, **change, **deleted}


def _conditions(filters: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in filters.items():
        if name == "AND" and isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
            for each in value:
                yield from _conditions(each)
        elif name in ("AND", "OR", "NOT") or isinstance(value, Mapping | list):
            raise MemoriesError(f"filters know equality and AND, not {name!r}: {value!r}")
        else:
            yield name, value


def _fits(item: Item, wanted: Mapping[str, Any]) -> bool:
    return all(item["metadata"].get(name) == str(value) for name, value in wanted.items())


def _say_unused(unused: Mapping[str, Any]) -> None:
    for name in unused:
        logger.warning("%s has no meaning here: it is left out", name)
