"""What is to be learned together, put into words: requests for what is new, taken back, and known already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ice_agent import edit_request, relations, watch
from ice_agent.editor import Editor, Job
from ice_agent.plan import whole_slots
from ice_agent.settings import EditSettings
from ice_agent.suites import GuardSuite
from memory import EditRequest, Fact, FactStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a candidate is taught on top of: the adapters below it, and what their weights hold."""

    root_id: str
    parent_id: str
    generation: int
    standing: tuple[Fact, ...]
    """All facts that stand, in the order they were told."""
    known: tuple[Fact, ...]
    """The facts that the weights answer."""
    taught: tuple[Fact, ...]
    """The same with those that ended since, and that the weights still hold."""

    @property
    def digest(self) -> str:
        """What was known, as an adapter's manifest has it: enough to tell whether it is the same again."""
        return digest(*(f.commitment for f in self.known), "", *(f.commitment for f in self.taught))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Facts to be learned together, put into words."""

    facts: tuple[Fact, ...]
    removals: tuple[Fact, ...]
    job: Job
    ground: Ground

    @property
    def members(self) -> tuple[Fact, ...]:
        return (*self.facts, *self.removals)


@watch.stage("putting into words")
def put_into_words(
    store: FactStore,
    editor: Editor,
    ground: Ground,
    facts: Sequence[Fact],
    removals: Sequence[Fact],
    settings: EditSettings,
    guard_suites: tuple[GuardSuite, ...] = (),
) -> Work:
    """Requests for what is new and what was taken back, and for all that the weights know already."""
    told = whole_slots(facts, ground.standing, ground.known)
    new = edit_request.build_all(told, {fact.id: _heard(store, fact) for fact in told})
    edited = {(r.subject, r.relation) for r in new}
    emptied = {fact.slot: fact for fact in removals if fact.slot not in edited}
    back = [_taken_back(editor, ground, fact) for fact in emptied.values()]
    return Work(
        facts=tuple(facts),
        removals=tuple(removals),
        ground=ground,
        job=Job(
            root_id=ground.root_id,
            parent_id=ground.parent_id,
            generation=ground.generation,
            requests=(*new, *back),
            learned=tuple(edit_request.build_all([f for f in ground.known if f.slot not in edited])),
            taught=frozenset(fact.slot for fact in ground.taught),
            settings=settings,
            suites=guard_suites,
        ),
    )


def _taken_back(editor: Editor, ground: Ground, fact: Fact) -> EditRequest:
    """The request that returns a slot to what still stands in it, or else to the root's answer."""
    standing = [f for f in ground.known if f.slot == fact.slot]
    if standing:
        return replace(edit_request.build(standing), fact_id=fact.id)
    request = edit_request.build([fact])
    (answer,) = editor.ask(ground.root_id, [request.rewrite_prompt])
    return replace(
        request,
        target=answer,
        aliases=(),
        contexts=(),
        indirect_prompts=(),
        portability=(),
        statement=relations.negation(fact.statement),
    )


def _heard(store: FactStore, fact: Fact) -> str:
    """The words in which a fact was heard."""
    return store.mentions(fact.id)[0].words


def digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
