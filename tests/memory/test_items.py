"""What an application puts aside: it comes back as it was, with evidence, and goes without a trace."""

from __future__ import annotations

import pytest

from memory import ERASED, Among, Meaning, UnstorableText
from tests.memory.conftest import _candidate

HERE = ("notes", "Ann")


@pytest.fixture
def items(tom):
    return tom.store.items


def test_an_item_comes_back_as_it_was_kept(items):
    value = {"deep": [{"a": None}, 0.5, "\N{SNOWMAN}\0\ud800"], "": True}
    kept = items.keep(HERE, "k", value, text="a note")
    assert items.get(HERE, "k") == kept
    assert (kept.value, kept.namespace, kept.text) == (value, HERE, "a note")
    assert items.get(HERE, "K") is None


def test_an_item_takes_the_place_of_one_of_its_name_alone(items):
    first = items.keep(HERE, "k", {"n": 1})
    items.keep(("notes",), "k", {"n": 2})
    again = items.keep(HERE, "k", {"n": 3})
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert [item.value["n"] for item in items.under()] == [3, 2]


def test_items_are_found_by_the_labels_that_their_namespace_begins_with(items):
    for namespace in (("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("A",), ("a-", "b"), ("a0",)):
        items.keep(namespace, "k", {})
    assert [item.namespace for item in items.under(("a",))] == [("a",), ("a", "b"), ("a", "b", "c")]
    assert items.namespaces() == (
        ("A",), ("a",), ("a", "b"), ("a", "b", "c"), ("a-", "b"), ("a0",), ("ab",),
    )  # fmt: skip


def test_another_tenants_items_are_not_there(items, tenant_named):
    eve = tenant_named("eve").store.items
    items.keep(HERE, "k", {"n": 1})
    eve.keep(HERE, "k", {"n": 2})
    eve.drop(HERE, "k")
    assert (eve.under(), eve.namespaces(), items.get(HERE, "k").value) == ((), (), {"n": 1})


def test_what_no_database_can_keep_is_refused(items):
    with pytest.raises(UnstorableText):
        items.keep(HERE, "\0", {})
    with pytest.raises(ValueError, match="no dot"):
        items.keep(("a.b",), "k", {})


def test_every_change_has_its_entry_and_edits_are_found(tom, items, execute):
    items.keep(HERE, "k", {"n": 1})
    items.keep(HERE, "k", {"n": 2})
    items.keep(HERE, "other", {})
    items.drop(HERE, "other")
    events = [entry.event for entry in tom.store.ledger()]
    assert events == ["tenant.registered", "item.kept", "item.kept", "item.kept", "item.forgotten"]
    assert tom.store.verify().ok
    execute("UPDATE items SET value = '{\"n\": 3}'")
    assert "it was edited" in tom.store.verify().problems[0]
    execute("DELETE FROM items")
    assert "is gone" in tom.store.verify().problems[0]


def test_an_export_has_the_items(tom, items):
    item = items.keep(HERE, "k", {"n": 1})
    (line,) = [line for line in tom.store.export() if line["kind"] == "item"]
    assert (line["content"]["id"], line["content"]["value"]) == (item.id, '{"n": 1}')


def test_an_item_goes_with_the_facts_that_it_told(tom, items):
    told = tom.store.tell("I told you so.", [_candidate("Xanadu", "lives_in")])
    items.keep(HERE, "k", {"text": "Xanadu"}, text="Xanadu", utterance_id=told.utterance.id)
    (fact,) = items.told(items.get(HERE, "k"))
    assert tom.store.foresee([fact.id]).items == items.under()
    tom.store.forget([fact.id])
    assert items.under() == ()
    assert "Xanadu" not in str(list(tom.store.export()))
    assert tom.store.verify().ok


def test_a_fact_that_was_told_elsewhere_too_is_not_the_items_own(tom, items):
    told = tom.store.tell("I told you so.", [_candidate("Lyon", "lives_in")])
    item = items.keep(HERE, "k", {}, utterance_id=told.utterance.id)
    tom.tell("Lyon")
    assert items.told(item) == ()
    items.drop(HERE, "k")
    assert [heard.text for heard in tom.store.utterances()] == [ERASED, "I told you so."]
    assert tom.store.verify().ok


def test_items_go_with_their_tenant(tom, items):
    items.keep(HERE, "k", {"n": 1})
    tom.store.forget_everything()
    assert items.under() == ()


def test_the_vector_of_an_item_is_of_the_text_that_it_has_now(tom, items):
    item = items.keep(HERE, "k", {}, text="tea")
    assert tom.store.vectors.lacking("m/1", Among.ITEMS, 9) == {item.id: "tea"}
    tom.store.vectors.place("m/1", {item.id: [1.0]}, Among.ITEMS)
    here = Meaning(model="m/1", vector=(1.0,))
    assert tom.store.vectors.items(here) == {item.id: 1.0}
    items.keep(HERE, "k", {}, text="rum")
    assert tom.store.vectors.items(here) == {}
    assert tom.store.vectors.lacking("m/1", Among.ITEMS, 9) == {item.id: "rum"}
    items.keep(HERE, "k", {}, text="")
    assert tom.store.vectors.lacking("m/1", Among.ITEMS, 9) == {}
