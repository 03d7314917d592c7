"""LangGraph's long-term memory over a tenant's store: items go in and come out as they are, less secrets.

What the text of an item tells becomes facts besides: the agent knows them, and a cycle teaches them. An item
that takes another's place takes its facts back, and one that is deleted has them forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langgraph.store import base
from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    ensure_embeddings,
    get_text_at_path,
    tokenize_path,
)
from langgraph.store.memory import InMemoryStore

from ice_agent import collect, config, forget, recall
from ice_agent.config import Config
from ice_agent.errors import MemoriesError
from memory import Among, FactStore, Item

Namespace = tuple[str, ...]

WITHOUT_WORDS = "(an item without words)"
"""What is heard of an item that says nothing any more, and takes back what it said before."""


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class MemoryStore(BaseStore):
    """`graph.compile(store=MemoryStore(archive.store("ann")))`: a store for one user, who is one tenant.

    For a graph that serves many, give a function from a namespace to its store, such as
    `lambda namespace: archive.store(namespace[1])`. It is asked with what a search gives of a namespace, too.
    A search is by words, and by meaning as `index` says, as in LangGraph, or the settings.
    """

    def __init__(
        self,
        store: FactStore | Callable[[Namespace], FactStore],
        settings: Config | None = None,
        *,
        index: IndexConfig | None = None,
    ) -> None:
        self._whose = (lambda namespace: store) if isinstance(store, FactStore) else store
        self._settings = settings or config.load()
        self._extractor = collect.extractor_named(self._settings.collect.extractor)
        self._fields = (index or {}).get("fields") or ["$"]
        embeddings: Embeddings | None = ensure_embeddings(index["embed"]) if index else None
        self._by_meaning = recall.meanings(self._settings.recall.embeddings, embeddings)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do several things. What is read is read before anything is written; of two puts the last counts."""
        results, puts = list[Result](), dict[tuple[Namespace, str], PutOp]()
        for op in ops:
            if isinstance(op, PutOp):
                puts[op.namespace, op.key] = op
                results.append(None)
            else:
                results.append(self._read(op))
        for op in puts.values():
            self._write(op)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return await run_in_executor(None, self.batch, list(ops))

    def _read(self, op: Op) -> Result:
        if isinstance(op, GetOp):
            found = self._store(op.namespace).items.get(op.namespace, op.key)
            return base.Item(**_named(found)) if found else None
        if isinstance(op, SearchOp):
            return self._search(op)
        if isinstance(op, ListNamespacesOp):
            return _matching_namespaces(self._store(_prefix(op)).items.namespaces(), op)
        raise ValueError(f"LangGraph asks for something new: {type(op).__name__}")

    def _store(self, namespace: Namespace) -> FactStore:
        try:
            return self._whose(namespace)
        except LookupError as error:
            given = ".".join(namespace) or "no namespace"
            raise MemoriesError(f"{given} does not say whose memory it is: give more of it") from error

    def _search(self, op: SearchOp) -> list[SearchItem]:
        store = self._store(op.namespace_prefix)
        found, similar = _matching(store.items.under(op.namespace_prefix), op), dict[str, float]()
        if op.query and found:
            meaning = self._by_meaning.of(op.query, store, Among.ITEMS) if self._by_meaning else None
            similar = store.vectors.items(meaning) if meaning else {}
            score = recall.scores({item.id: item.text for item in found}, op.query, list(similar))
            found = sorted(found, key=lambda item: score[item.id], reverse=True)
        page = found[op.offset : op.offset + op.limit]
        return [SearchItem(**_named(item), score=similar.get(item.id)) for item in page]

    def _write(self, op: PutOp) -> None:
        store = self._store(op.namespace)
        held = store.items.get(op.namespace, op.key)
        if op.value is None:
            self._delete(store, held)
            return
        kept = self._kept(op.value)
        store.items.keep(
            op.namespace,
            op.key,
            kept,
            text=self._text(kept, op.index),
            utterance_id=self._hear(store, held, op.value, kept),
        )

    def _delete(self, store: FactStore, item: Item | None) -> None:
        if item is None:
            return
        if told := store.items.told(item):
            forget.forget(store, self._settings, [fact.id for fact in told])
        store.items.drop(item.namespace, item.key)

    def _text(self, value: Mapping[str, Any], index: Sequence[str] | bool | None) -> str:
        """The words that an item is found by; `index=False` leaves it without any."""
        if isinstance(index, bool):
            return ""
        texts = list[str]()
        for path in self._fields if index is None else index:
            texts += _words(value) if path == "$" else get_text_at_path(value, tokenize_path(path))
        return "\n".join(texts)

    def _kept(self, value: Any, name: str = "") -> Any:
        """A value with every secret masked: in its words, as of an utterance, or whole if it is named as one.

        A number is masked by its name alone, and a UUID, which has the shape of a key, is an id elsewhere.
        """
        if isinstance(value, Mapping):
            return {key: self._kept(each, str(key)) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._kept(each, name) for each in value]
        if value is None or isinstance(value, bool):
            return value
        if self._masked(named := f"{name.replace('_', ' ')}: it") != named:
            return collect.MASK * len(str(value))
        return self._masked(value) if isinstance(value, str) and not _UUID.fullmatch(value) else value

    def _masked(self, text: str) -> str:
        return collect.kept_words(text, self._settings.collect)

    def _hear(
        self, store: FactStore, held: Item | None, value: Mapping[str, Any], kept: Mapping[str, Any]
    ) -> str | None:
        """Keep the facts that an item's words tell, in the place of those that it told before."""
        said = _said(value)
        if held is not None and _said(held.value) == _said(kept):
            return held.utterance_id
        before = store.items.told(held) if held else ()
        changes = collect.replacing(before, said, self._extractor, self._settings.collect)
        if not changes:
            return None
        words = said or WITHOUT_WORDS
        return collect.hear(store, self._settings.collect, words, lambda _: changes).utterance.id


def _words(value: Any) -> Iterator[str]:
    """All that a value says, without the names that it says it under."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _words(part)
    elif value is not None:
        yield str(value)


def _said(value: Mapping[str, Any]) -> str:
    """What an item says in words, as LangGraph's and LangMem's examples write it: text, content, memory."""
    for name in ("text", "content", "memory"):
        told = value.get(name)
        if isinstance(told, str):
            return told
        if isinstance(told, Mapping):
            return _said(told)
    return ""


def _named(item: Item) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "key": item.key,
        "value": dict(item.value),
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }


def _matching(items: Sequence[Item], op: SearchOp) -> Sequence[Item]:
    """Those that a filter lets through. LangGraph's own store decides, so that it means the same here."""
    if not op.filter:
        return items
    theirs = InMemoryStore()
    theirs.batch(PutOp(("items",), item.id, dict(item.value)) for item in items)
    let_through = {each.key for each in theirs.search(("items",), filter=op.filter, limit=len(items))}
    return [item for item in items if item.id in let_through]


def _matching_namespaces(namespaces: Iterable[Namespace], op: ListNamespacesOp) -> list[Namespace]:
    theirs = InMemoryStore()
    theirs.batch(PutOp(namespace, "", {}) for namespace in namespaces)
    matching: Any = theirs.batch([op])[0]
    return list(matching)


def _prefix(op: ListNamespacesOp) -> Namespace:
    """As much of a namespace as is asked for, to know whose it is."""
    for condition in op.match_conditions or ():
        if condition.match_type == "prefix":
            return tuple(condition.path)
    return ()
