"""What a chat model may do with a memory: remember, recall and forget. What is refused, it is told why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import getdoc

from langchain_core.embeddings import Embeddings
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, Field

from ice_agent import collect, config, forget, recall
from ice_agent.collect import Heard
from ice_agent.config import Config
from ice_agent.errors import IceError
from memory import FactStore, StoreError


class Remember(BaseModel):
    """Keep something that the user said: the next answer knows it, and later the model's weights do."""

    text: str = Field(
        min_length=1,
        description='what the user said, in the first person and a full sentence: "I live in Lisbon."',
    )


class Recall(BaseModel):
    """Find what is known about something: one fact a line, with its id."""

    question: str = Field(description='a question or a few words: "where does the user live"')
    limit: int = Field(5, ge=1, le=50, description="facts wanted, at most")


class Forget(BaseModel):
    """Erase one fact for good, from the memory and from the model's weights. It cannot be undone.

    Only when the user asks for it.
    """

    fact_id: str = Field(description="the id that recall gave it, as f_0a1b2c3d4e5f")


def memory_tools(
    store: FactStore, settings: Config | None = None, embeddings: Embeddings | None = None
) -> list[BaseTool]:
    """The three tools over one tenant's store. Without settings, those of config.toml hold."""
    settings = settings or config.load()
    extractor = collect.or_as_it_is(collect.extractor_named(settings.collect.extractor))
    by_meaning = recall.meanings(settings.recall.embeddings, embeddings)

    def remember(text: str) -> str:
        return "\n".join(_outcome(collect.hear(store, settings.collect, text, extractor)))

    def find(question: str, limit: int) -> str:
        found = recall.search(store, question, limit, by_meaning)
        lines = (f"{fact.id}  {fact.statement} (since {fact.valid_from.date()})" for fact in found)
        return "\n".join(lines) or "Nothing is known about that."

    def erase(fact_id: str) -> str:
        taken = forget.forget(store, settings, [store.fact(fact_id).id])
        return "\n".join(f"Forgotten: {fact.statement}" for fact in taken.facts)

    return [
        _tool("remember", remember, Remember),
        _tool("recall", find, Recall),
        _tool("forget", erase, Forget),
    ]


def _tool(name: str, run: Callable[..., str], arguments: type[BaseModel]) -> BaseTool:
    @wraps(run)
    def told_why(**asked: object) -> str:
        try:
            return run(**asked)
        except (IceError, StoreError) as error:
            raise ToolException(str(error)) from error

    return StructuredTool.from_function(
        told_why, name=name, description=getdoc(arguments), args_schema=arguments, handle_tool_error=True
    )


def _outcome(heard: Heard) -> Iterator[str]:
    """What became of an utterance, in lines that a chat model reads."""
    for done in heard.recorded:
        if done.fact is not None:
            known = "Remembered" if done.is_new else "Known already"
            yield f"{known}: {done.fact.statement} ({done.fact.id})"
        for fact in done.retracted:
            yield f"Taken back: {fact.statement} ({fact.id})"
    for proposal in heard.proposed:
        yield f"Waits for a person's approval: {proposal.candidate.statement} ({proposal.id})"
    if heard.refused:
        yield "Not remembered: the user had it forgotten once."
    elif not (heard.recorded or heard.proposed):
        yield "Not remembered: it holds a secret, or was to be off the record."
