"""LangChain's interfaces: a chat model and an agent, a retriever and tools over what a tenant's store knows.

`from ice_agent.langchain import ChatIce, Ice, IceAgent, MemoryRetriever, memory_tools, MemoryStore`; the last
one is LangGraph's store, and needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, PrivateAttr

from ice_agent import recall
from ice_agent.langchain.tools import memory_tools
from ice_agent.recall import Meanings
from memory import Fact, FactStore

if TYPE_CHECKING:
    from ice_agent.langchain.assistant import IceAgent
    from ice_agent.langchain.chat import ChatIce
    from ice_agent.langchain.ice import Ice

__all__ = ["ChatIce", "Ice", "IceAgent", "MemoryRetriever", "MemoryStore", "memory_tools"]

_ANSWERING = {"ChatIce": "chat", "Ice": "ice", "IceAgent": "assistant"}
"""What is imported when it is asked for: these bring torch and transformers."""


class MemoryRetriever(BaseRetriever):
    """Finds the facts of a store that a question is about, learned ones included: one document each.

    By words, and with `embeddings` by meaning, too.
    """

    store: FactStore
    k: int = Field(default=4, ge=1)
    """Facts found, at most."""
    embeddings: Embeddings | None = None
    _by_meaning: Meanings | None = PrivateAttr(None)

    def model_post_init(self, context: Any) -> None:
        self._by_meaning = recall.meanings("", self.embeddings)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        found = recall.search(self.store, query, k or self.k, self._by_meaning)
        return [_document(fact, score) for fact, score in found.items()]


def __getattr__(name: str) -> Any:
    if name in _ANSWERING:
        return getattr(import_module(f"ice_agent.langchain.{_ANSWERING[name]}"), name)
    # Only when it is asked for: langgraph may not be there.
    if name == "MemoryStore":
        try:
            from ice_agent.langchain.graph import MemoryStore
        except ModuleNotFoundError as missing:
            raise ImportError(f"MemoryStore needs {missing.name}: pip install langgraph") from missing

        return MemoryStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _document(fact: Fact, score: float) -> Document:
    return Document(
        id=fact.id,
        page_content=fact.statement,
        metadata={
            "score": score,
            "subject": fact.subject,
            "relation": fact.relation,
            "object": fact.object,
            "status": fact.status.value,
            "source": fact.source,
            "valid_from": fact.valid_from.isoformat(),
            "recorded_at": fact.recorded_at.isoformat(),
        },
    )
