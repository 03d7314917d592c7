"""What one adapter knows and another does not, and which of their answers differ.

Read from the store and the kept transcripts; only whoever passes `ask` has a model asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ice_agent import edit_request, transcripts
from ice_agent.config import Config
from ice_agent.probes import LOCALITY_CONTEXT
from memory import Adapter, Fact, FactStore

Ask = Callable[[Adapter, Sequence[str]], Sequence[str]]
"""An adapter's answers to questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """A question that two adapters answer differently."""

    question: str
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What two adapters of a tenant do not have in common."""

    first: Adapter
    second: Adapter
    only_first: tuple[Fact, ...]
    """Facts that the first one's weights hold, and the second one's do not."""
    only_second: tuple[Fact, ...]
    answers: tuple[Differing, ...]
    asked: int
    """Questions that the answers of both are known of."""


def difference(
    store: FactStore, config: Config, first_id: str, second_id: str, ask: Ask | None = None
) -> Difference:
    """Compare any two adapters: by the facts their weights hold, and by their answers.

    The questions are those of the facts that differ, and the probes that both were measured by. Without `ask`
    the answers are those that were kept: an adapter's own, and what its children were compared with.
    """
    first, second = store.adapter(first_id), store.adapter(second_id)
    held = [{fact.id: fact for fact in store.held_by(each.id)} for each in (first, second)]
    only_first = tuple(fact for id_, fact in held[0].items() if id_ not in held[1])
    only_second = tuple(fact for id_, fact in held[1].items() if id_ not in held[0])
    kept = [_kept_answers(store, config, each) for each in (first, second)]
    requests = edit_request.build_all((*only_first, *only_second))
    shared = [question for question in kept[0] if question in kept[1]]
    questions = list(dict.fromkeys((*(request.rewrite_prompt for request in requests), *shared)))
    if ask is not None:
        kept = [dict(zip(questions, ask(each, questions), strict=True)) for each in (first, second)]
    both = [question for question in questions if question in kept[0] and question in kept[1]]
    return Difference(
        first=first,
        second=second,
        only_first=only_first,
        only_second=only_second,
        answers=tuple(
            Differing(question=question, first=kept[0][question], second=kept[1][question])
            for question in both
            if kept[0][question] != kept[1][question]
        ),
        asked=len(both),
    )


def _kept_answers(store: FactStore, config: Config, adapter: Adapter) -> Mapping[str, str]:
    children = [each for each in store.adapters() if each.parent_id == adapter.id]
    found = {
        transcript.prompt: transcript.before
        for child in children
        for transcript in transcripts.read(config.adapters.dir, child.id) or ()
        if transcript.kind != LOCALITY_CONTEXT
    }
    own = transcripts.read(config.adapters.dir, adapter.id) or ()
    return found | {t.prompt: t.after for t in own if t.kind != LOCALITY_CONTEXT}
