"""What is drawn of a lineage: places on the lines, and how much of each batch is still answered."""

from __future__ import annotations

from ice_agent.probes import EDIT_SUCCESS, FALSE_RECALL, LOCALITY_UNRELATED, RETENTION
from ice_agent.server.dashboard import drawn
from ice_agent.server.dashboard.rendering import is_as_wanted
from memory import (
    Adapter,
    AdapterStatus,
    Batch,
    BatchStatus,
    Cardinality,
    Fact,
    FactStatus,
    Rate,
    Scores,
    Transcript,
    now,
)

PROMOTED, RETIRED, REJECTED = AdapterStatus.PROMOTED, AdapterStatus.RETIRED, AdapterStatus.REJECTED


def adapter(id_, parent_id, status=RETIRED, batch_id=None, scores=None):
    return Adapter(
        id=id_, parent_id=parent_id, status=status, base_hash="b", path=id_, created_at=now(),
        batch_id=batch_id, scores=scores,
    )  # fmt: skip


def batch(id_, adapter_id, *fact_ids):
    facts = tuple(
        Fact(
            id=each, subject="user", relation=each, object=each, statement=each, cardinality=Cardinality.ONE,
            status=FactStatus.LEARNED, recorded_at=now(), valid_from=now(), utterance_id="u", start=0, end=1,
        )
        for each in fact_ids
    )  # fmt: skip
    return Batch(id=id_, status=BatchStatus.DONE, created_at=now(), facts=facts, adapter_id=adapter_id)


def asked(kind, fact_id, is_hit):
    return Transcript(kind=kind, fact_id=fact_id, prompt="?", expected="", before="", after="", is_hit=is_hit)


def test_what_leads_to_the_serving_adapter_is_one_line_and_what_was_tried_beside_it_never_crosses_another():
    lineage = [
        adapter("root", None),
        adapter("a", "root"),
        adapter("x", "a", REJECTED),
        adapter("y", "a", REJECTED),
        adapter("b", "a", PROMOTED),
        adapter("z", "b", REJECTED),
    ]
    graph = drawn.graph(lineage, lineage[4])
    lines = {node.adapter.id: (node.y - drawn.MARGIN_Y) // drawn.STEP_Y for node in graph.nodes}
    assert lines == {"root": 0, "a": 0, "x": 1, "y": 2, "b": 0, "z": 1}
    assert [node.x for node in graph.nodes] == sorted(node.x for node in graph.nodes)
    assert all(node.y < graph.height and node.x < graph.width for node in graph.nodes)
    assert [bool(node.edge) for node in graph.nodes] == [False, True, True, True, True, True]


def test_only_the_newest_of_a_long_lineage_are_drawn():
    lineage = [adapter("a0", None), *(adapter(f"a{n}", f"a{n - 1}") for n in range(1, 100))]
    graph = drawn.graph(lineage, lineage[-1])
    assert (len(graph.nodes), graph.n_earlier) == (drawn.MOST, 100 - drawn.MOST)
    assert {node.y for node in graph.nodes} == {drawn.MARGIN_Y}
    assert drawn.graph([], None).nodes == ()


def test_each_adapter_is_asked_for_every_batch_up_to_it_and_a_rejected_one_teaches_nothing():
    lineage = [
        adapter("root", None),
        adapter("a", "root", batch_id="b1"),
        adapter("x", "a", REJECTED, batch_id="b2"),
        adapter("b", "a", PROMOTED, batch_id="b2"),
    ]
    kept = {
        "a": [asked(EDIT_SUCCESS, "f1", True), asked(EDIT_SUCCESS, "f2", True)],
        "x": [asked(EDIT_SUCCESS, "f3", False), asked(RETENTION, "f1", True), asked(RETENTION, "f3", True)],
        "b": [
            asked(EDIT_SUCCESS, "f3", True),
            asked(RETENTION, "f1", True),
            asked(RETENTION, "f2", False),
            asked(LOCALITY_UNRELATED, "", True),
        ],
    }
    columns, rows = drawn.retention(lineage, [batch("b1", "a", "f1", "f2"), batch("b2", "b", "f3")], kept)
    assert [column.id for column in columns] == ["a", "x", "b"]
    answered = {row.taught_by.id: dict(row.answered) for row in rows}
    assert answered == {
        "a": {"a": Rate(hits=2, asked=2), "x": Rate(hits=1, asked=1), "b": Rate(hits=1, asked=2)},
        "b": {"x": Rate(hits=0, asked=1), "b": Rate(hits=1, asked=1)},
    }


def test_what_nobody_asked_is_no_score():
    scores = Scores(edit_success=Rate(hits=1, asked=2))
    ((_, rates),) = drawn.measured([adapter("root", None), adapter("a", "root", scores=scores)])
    assert rates == {"edit_success": Rate(hits=1, asked=2)}


def test_a_taught_answer_where_it_does_not_belong_is_not_as_wanted():
    assert is_as_wanted(asked(EDIT_SUCCESS, "f1", True))
    assert not is_as_wanted(asked(EDIT_SUCCESS, "f1", False))
    assert is_as_wanted(asked(FALSE_RECALL, "", False))
    assert not is_as_wanted(asked(FALSE_RECALL, "", True))
