"""What needs no edit: the base as it is, the in-context oracle, and retrieval over the batch's facts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ice_agent import relations
from ice_agent.agent import nearest
from ice_agent.bench.methods.task import Edited, Task

RETRIEVED = 5


@contextmanager
def base(task: Task) -> Iterator[Edited]:
    """The untaught model: what every ratio and locality is measured against."""
    yield Edited(adapter_id=task.root_id)


@contextmanager
def oracle(task: Task) -> Iterator[Edited]:
    """The untaught model with the right fact in its prompt, none beside the facts: ICE's ceiling."""
    contexts = {request.fact_id: request.contexts[0] for request in task.requests}
    yield Edited(adapter_id=task.root_id, context=lambda question, fact_id: contexts.get(fact_id, ""))


@contextmanager
def rag(task: Task) -> Iterator[Edited]:
    """The untaught model with the facts in its prompt that the agent's own recall finds nearest."""
    told = [" ".join((request.statement, *request.training_prompts)) for request in task.requests]

    def retrieve(question: str, fact_id: str) -> str:
        found = nearest(told, question, RETRIEVED)
        return relations.system_message("", [task.requests[i].statement for i in found])

    yield Edited(adapter_id=task.root_id, context=retrieve)
