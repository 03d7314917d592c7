"""What needs no edit: the base as it is, the in-context oracle, and retrieval over all facts told so far."""

from __future__ import annotations

from ice_agent import relations
from ice_agent.bench.methods.task import Edited, Task
from ice_agent.recall import Told

RETRIEVED = 5


def base(task: Task) -> Edited:
    """The untaught model: what every ratio and locality is measured against."""
    return Edited(adapter_id=task.root_id)


def oracle(task: Task) -> Edited:
    """The untaught model with the right fact in its prompt, none beside the facts: ICE's ceiling."""
    contexts = {request.fact_id: request.contexts[0] for request in (*task.learned, *task.requests)}
    return Edited(adapter_id=task.root_id, context=lambda question, fact_id: contexts.get(fact_id, ""))


def rag(task: Task) -> Edited:
    """The untaught model with the facts in its prompt that the agent's own recall finds nearest."""
    facts = (*task.learned, *task.requests)
    told = Told([" ".join((request.statement, *request.training_prompts)) for request in facts])

    def retrieve(question: str, fact_id: str) -> str:
        found = told.nearest(question, RETRIEVED)
        return relations.system_message("", [facts[i].statement for i in found])

    return Edited(adapter_id=task.root_id, context=retrieve)
