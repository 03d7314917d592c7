"""What is drawn of a lineage: who was edited from whom, scores over time, which batches are still answered.

Pure functions of records and kept transcripts: the pages only place what they give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from ice_agent.probes import EDIT_SUCCESS, RETENTION
from memory import Adapter, AdapterStatus, Batch, Rate, Scores, Transcript

STEP_X: Final = 128
STEP_Y: Final = 68
MARGIN_X: Final = 66
MARGIN_Y: Final = 24
BELOW: Final = 48
"""Room for the words under the last line."""
MOST: Final = 60
"""Adapters that are drawn: the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An adapter's place, and the way to it from its parent's."""

    adapter: Adapter
    x: int
    y: int
    edge: str
    """An SVG path; empty for one whose parent is not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    nodes: tuple[Node, ...]
    width: int
    height: int
    n_earlier: int
    """Adapters that are older than all that is drawn."""


def graph(adapters: Sequence[Adapter], serving: Adapter | None) -> Graph:
    """From left to right as they were made; what leads to the serving adapter is one straight line."""
    shown = adapters[-MOST:]
    lanes = _lanes(shown, _ancestry(adapters, serving))
    places = {
        adapter.id: (MARGIN_X + STEP_X * at, MARGIN_Y + STEP_Y * lanes[adapter.id])
        for at, adapter in enumerate(shown)
    }
    nodes = tuple(
        Node(
            adapter=adapter, x=places[adapter.id][0], y=places[adapter.id][1],
            edge=_edge(places[adapter.parent_id], places[adapter.id]) if adapter.parent_id in places else "",
        )
        for adapter in shown
    )  # fmt: skip
    return Graph(
        nodes=nodes,
        width=2 * MARGIN_X + STEP_X * max(0, len(shown) - 1),
        height=MARGIN_Y + BELOW + STEP_Y * max(lanes.values(), default=0),
        n_earlier=len(adapters) - len(shown),
    )


def _ancestry(adapters: Sequence[Adapter], serving: Adapter | None) -> set[str]:
    """The serving adapter and all that it was edited from."""
    by_id = {adapter.id: adapter for adapter in adapters}
    way, at = set[str](), serving
    while at is not None and at.id not in way:
        way.add(at.id)
        at = by_id.get(at.parent_id) if at.parent_id else None
    return way


def _lanes(shown: Sequence[Adapter], straight: set[str]) -> dict[str, int]:
    """A line for each: the first for what led to what serves, below it the lowest that is free."""
    lanes, last_at = dict[str, int](), dict[int, int]()
    order = {adapter.id: at for at, adapter in enumerate(shown)}
    for at, adapter in enumerate(shown):
        parent = adapter.parent_id or ""
        begins_at = order.get(parent, at)
        lane = 0
        if adapter.id not in straight:
            beside_parent = lanes.get(parent, 0)
            lane = beside_parent if beside_parent and last_at[beside_parent] <= begins_at else 1
            while lane != beside_parent and last_at.get(lane, -1) >= begins_at:
                lane += 1
        lanes[adapter.id], last_at[lane] = lane, at
    return lanes


def _edge(parent: tuple[int, int], child: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = parent, child
    if y == to_y:
        return f"M{x} {y}H{to_x}"
    # It leaves its parent's line at once, so that it crosses nothing of that line.
    bend = x + STEP_X // 2
    return f"M{x} {y}C{bend} {y} {x + 10} {to_y} {bend} {to_y}H{to_x}"


SHOWN: Final = (
    "edit_success", "rephrase", "portability", "retention", "locality_subject", "locality_relation",
    "locality_unrelated", "locality_unknown", "locality_context",
)  # fmt: skip
"""Scores that are shares, and good when they are high."""


def measured(adapters: Sequence[Adapter]) -> list[tuple[Adapter, dict[str, Rate]]]:
    """The adapters that were measured, each with its shares; what nobody asked is left out."""
    return [
        (adapter, {name: rate for name in SHOWN if (rate := getattr(adapter.scores, name)).asked})
        for adapter in adapters
        if adapter.scores is not None
    ]


def figures(scores: Scores | None) -> dict[str, Rate | float]:
    """All that was measured of one adapter, by its name."""
    if scores is None:
        return {}
    plain = {field.name: getattr(scores, field.name) for field in fields(scores) if field.name != "suites"}
    return plain | {f"suite {suite.name}": suite.right for suite in scores.suites}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A batch, and how many of its facts each adapter still answered when it was measured."""

    batch: Batch
    taught_by: Adapter
    answered: Mapping[str, Rate]
    """By adapter."""


def retention(
    adapters: Sequence[Adapter], batches: Sequence[Batch], asked: Mapping[str, Sequence[Transcript]]
) -> tuple[list[Adapter], list[Kept]]:
    """The adapters that questions are kept of, and how each answers for every batch taught up to it.

    `asked` has the transcripts of adapters by their ids. A fact that was taught again counts for its last
    batch.
    """
    by_id = {batch.id: batch for batch in batches}
    columns = [adapter for adapter in adapters if asked.get(adapter.id) and adapter.batch_id in by_id]
    taught_in, taught_by = dict[str, str](), dict[str, Adapter]()
    counts = dict[str, dict[str, list[bool]]]()
    for adapter in columns:
        batch = by_id[adapter.batch_id or ""]
        own = {fact.id for fact in batch.facts}
        for transcript in asked[adapter.id]:
            if transcript.kind == EDIT_SUCCESS and transcript.fact_id in own:
                row = batch.id
            elif transcript.kind == RETENTION and transcript.fact_id in taught_in:
                row = taught_in[transcript.fact_id]
            else:
                continue
            counts.setdefault(row, {}).setdefault(adapter.id, []).append(transcript.is_hit)
        if adapter.status not in (AdapterStatus.REJECTED, AdapterStatus.CANDIDATE):
            taught_in |= dict.fromkeys(own, batch.id)
        if adapter.id == batch.adapter_id:
            taught_by[batch.id] = adapter
        taught_by.setdefault(batch.id, adapter)
    return columns, [
        Kept(
            batch=by_id[row],
            taught_by=taught_by[row],
            answered={id_: Rate(hits=sum(hits), asked=len(hits)) for id_, hits in answered.items()},
        )
        for row, answered in counts.items()
    ]
