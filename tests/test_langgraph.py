"""LangGraph's long-term memory over a tenant's store, held against LangGraph's own store in memory."""

from __future__ import annotations

import asyncio
import itertools
from typing import TypedDict

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

pytest.importorskip("langgraph", reason="needs langgraph (the dev extra)")

from langgraph.graph import START, StateGraph
from langgraph.store.base import BaseStore, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from ice_agent.collect import MASK
from ice_agent.config import Config
from ice_agent.errors import MemoriesError
from ice_agent.langchain import MemoryStore
from ice_agent.settings import Collect
from memory import ERASED, Archive
from tests.concepts import Concepts

ANN = ("memories", "ann")
HOME = "I live in Oslo."


@pytest.fixture
def config(tmp_path):
    return Config.model_validate(
        {"adapters": {"dir": tmp_path / "adapters"}, "store": {"url": f"sqlite:///{tmp_path / 'm.db'}"}}
    )


@pytest.fixture
def archive(config):
    with Archive.open(config.store.url) as opened:
        yield opened


@pytest.fixture
def known(archive):
    """What the tenant's own store knows."""
    return archive.store("ann")


@pytest.fixture
def memory(known, config):
    return MemoryStore(known, config)


def said(text):
    return {"kind": "Memory", "content": {"text": text}}


def statements(store):
    return [fact.statement for fact in store.facts()]


# -- as LangGraph's own --------------------------------------------------------------------------------------


LABELS = st.sampled_from(["ann", "bob", "notes", "Notes"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
KEYS = st.sampled_from(["a", "b", "A"])
# PostgreSQL holds no NUL, so the memory refuses it everywhere.
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | WORDS
VALUES = st.dictionaries(
    st.sampled_from(["n", "text", "x"]),
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner)),
    max_size=3,
)
FILTERS = st.none() | st.dictionaries(
    st.sampled_from(["n", "x"]), st.integers(-2, 2) | st.fixed_dictionaries({"$ne": st.integers(-2, 2)})
)
PUTS = st.tuples(NAMESPACES, KEYS, st.none() | VALUES)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    puts=st.lists(PUTS, max_size=8),
    prefix=st.lists(LABELS, max_size=2).map(tuple),
    wanted=FILTERS,
    depth=st.none() | st.integers(1, 3),
)
def test_it_keeps_and_finds_what_langgraphs_own_store_does(
    archive, config, numbers, puts, prefix, wanted, depth
):
    theirs, ours = InMemoryStore(), MemoryStore(archive.store(f"tenant {next(numbers)}"), config)
    for namespace, key, value in puts:
        for store in (theirs, ours):
            # As an operation, for `put` refuses what Python cannot say is a value.
            store.batch([PutOp(namespace, key, value)])
    for namespace, key, _ in puts:
        assert as_plain(ours.get(namespace, key)) == as_plain(theirs.get(namespace, key))
    found = [store.search(prefix, filter=wanted, limit=99) for store in (ours, theirs)]
    assert sorted(map(repr, map(as_plain, found[0]))) == sorted(map(repr, map(as_plain, found[1])))
    held = {item.namespace for item in theirs.search((), limit=99)}
    cut = sorted({namespace[:depth] for namespace in held})
    assert ours.list_namespaces(max_depth=depth) == cut


@pytest.fixture(scope="module")
def numbers():
    return itertools.count()


def as_plain(item):
    return None if item is None else (item.namespace, item.key, item.value)


def test_an_item_comes_back_as_it_was_put_with_its_times(memory):
    memory.put(ANN, "food", {"likes": ["tea", {"since": 2019}], "sure": 0.5, "why": None})
    item = memory.get(ANN, "food")
    assert (item.namespace, item.key) == (ANN, "food")
    assert item.value == {"likes": ["tea", {"since": 2019}], "sure": 0.5, "why": None}
    memory.put(ANN, "food", {"likes": []})
    again = memory.get(ANN, "food")
    assert again.created_at == item.created_at < item.updated_at < again.updated_at
    memory.delete(ANN, "food")
    assert memory.get(ANN, "food") is None
    memory.delete(ANN, "food")


def test_items_stay_when_the_process_ends(config):
    with Archive.open(config.store.url) as archive:
        MemoryStore(archive.store("ann"), config).put(ANN, "a", {"n": 1})
    with Archive.open(config.store.url) as archive:
        assert MemoryStore(archive.store("ann"), config).get(ANN, "a").value == {"n": 1}


def test_namespaces_are_found_by_what_they_begin_and_end_with(memory):
    for namespace in (("memories", "ann", "work"), ("memories", "bob", "work"), ("notes", "ann")):
        memory.put(namespace, "k", {})
    assert memory.list_namespaces(prefix=("memories", "*")) == [
        ("memories", "ann", "work"),
        ("memories", "bob", "work"),
    ]
    assert memory.list_namespaces(suffix=("ann",)) == [("notes", "ann")]
    assert memory.list_namespaces(max_depth=1, limit=1, offset=1) == [("notes",)]


def test_a_batch_reads_before_it_writes_and_the_last_put_of_a_name_counts(memory):
    memory.put(ANN, "a", {"n": 1})
    put = [PutOp(ANN, "a", {"n": n}) for n in (2, 3)]
    before = memory.batch([*put, SearchOp(ANN)])[-1]
    assert [item.value for item in before] == [{"n": 1}]
    assert memory.get(ANN, "a").value == {"n": 3}


def test_what_is_asked_for_at_once_comes_back_in_order(memory):
    async def both():
        await memory.aput(ANN, "a", {"n": 1})
        return await asyncio.gather(memory.aget(ANN, "a"), memory.asearch(ANN), memory.aget(ANN, "b"))

    got, found, nothing = asyncio.run(both())
    assert (got.value, [item.key for item in found], nothing) == ({"n": 1}, ["a"], None)


class Seen(TypedDict):
    seen: list[int]


def test_a_graph_finds_what_an_earlier_run_put_there(memory):
    def node(state: Seen, *, store: BaseStore) -> Seen:
        seen = [item.value["n"] for item in store.search(ANN)]
        store.put(ANN, str(len(seen)), {"n": len(seen)})
        return {"seen": seen}

    graph = StateGraph(Seen).add_node("node", node).add_edge(START, "node").compile(store=memory)
    assert [graph.invoke({"seen": []})["seen"] for _ in range(2)] == [[], [0]]


# -- a search ------------------------------------------------------------------------------------------------


def test_items_are_found_by_words_those_with_most_first(memory):
    memory.put(ANN, "a", said("Rain all week."))
    memory.put(ANN, "b", said("The train to Oslo leaves at nine."))
    assert [item.key for item in memory.search(ANN, query="train to Oslo")] == ["b", "a"]
    assert [item.key for item in memory.search(ANN, query="train to Oslo", limit=1, offset=1)] == ["a"]


def test_with_an_index_items_are_found_by_meaning_and_scored(known, config):
    concepts = Concepts()
    index = {"embed": concepts, "dims": 5, "fields": ["text"]}
    memory = MemoryStore(known, config, index=index)
    memory.put(ANN, "a", {"text": "Rain all week."})
    memory.put(ANN, "b", {"text": "Tea, please."})
    memory.put(ANN, "hidden", {"text": "More tea."}, index=False)
    for _ in range(2):
        found = memory.search(ANN, query="thirsty")
    assert [item.key for item in found] == ["b", "a", "hidden"]
    assert (found[0].score > 0.9 > found[1].score, found[2].score) == (True, None)
    assert sorted(concepts.embedded) == ["Rain all week.", "Tea, please."]
    memory.put(ANN, "a", {"text": "A beverage."})
    assert memory.search(ANN, query="thirsty")[1].score > 0.9


# -- what items tell -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [{"text": HOME}, {"content": HOME}, said(HOME), {"kind": "x", "content": {"content": HOME}}]
)
def test_what_the_text_of_an_item_tells_is_a_fact(memory, known, value):
    memory.put(ANN, "home", value)
    assert statements(known) == ["The user lives in Oslo."]
    assert known.verify().ok


def test_an_item_that_tells_nothing_is_no_fact_and_no_utterance(memory, known):
    memory.put(ANN, "a", {"text": "Where do I live?"})
    memory.put(ANN, "b", {"retries": 3})
    assert (known.facts(), known.utterances()) == ((), ())


def test_the_same_item_again_tells_nothing_new(memory, known):
    for n in range(2):
        memory.put(ANN, "home", said("I live in Oslo.") | {"n": n})
    assert (len(known.utterances()), memory.get(ANN, "home").value["n"]) == (1, 1)


def test_an_item_in_the_place_of_another_takes_its_facts_back(memory, known):
    memory.put(ANN, "a", said("I live in Oslo. I like tea."))
    memory.put(ANN, "a", said("I live in Rome."))
    assert statements(known) == ["The user lives in Rome."]
    memory.put(ANN, "a", {"n": 1})
    assert statements(known) == [], "nor does it say again what it had said before"
    memory.put(ANN, "a", said("I like tea."))
    assert "The user likes tea." in statements(known)


def test_a_fact_that_somebody_else_told_too_outlives_the_item(memory, known):
    memory.put(ANN, "a", said("I like tea."))
    memory.put(ANN, "b", said("I like tea."))
    memory.delete(ANN, "a")
    assert statements(known) == ["The user likes tea."]


def test_a_deleted_item_is_forgotten_with_the_facts_that_it_told(memory, known, tmp_path):
    memory.put(ANN, "a", said("I live in Xanadu."))
    memory.delete(ANN, "a")
    assert (known.facts(), [heard.text for heard in known.utterances()]) == ((), [ERASED])
    assert not any(b"xanadu" in path.read_bytes().lower() for path in tmp_path.glob("m.db*"))
    assert known.verify().ok


def test_a_fact_that_is_forgotten_takes_the_item_with_it(memory, known):
    memory.put(ANN, "a", said("I live in Xanadu."))
    (fact,) = known.facts()
    assert [item.key for item in known.foresee([fact.id]).items] == ["a"]
    known.forget([fact.id])
    assert memory.get(ANN, "a") is None


CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (f"pay with {CARD}", f"pay with {MASK * len(CARD)}"),
        ({"cards": [CARD, "none"]}, {"cards": [MASK * len(CARD), "none"]}),
        ({"password": "hunter.2"}, {"password": MASK * 8}),
        ({"card_number": 4111111111111111}, {"card_number": MASK * 16}),
        ({"pin": 1234, "since": 1700000000000}, {"pin": MASK * 4, "since": 1700000000000}),
        ({"note": "my badge is X-77"}, {"note": f"my badge is {MASK * 4}"}),
        ({"api_key": None, "is_open": True}, {"api_key": None, "is_open": True}),
        # What names a row somewhere else has to be found again.
        ("0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d", "0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"),
    ],
)
def test_of_an_item_no_secret_is_kept(known, config, given, kept):
    settings = config.model_copy(update={"collect": Collect(sensitive=("X-[0-9]+",))})
    memory = MemoryStore(known, settings)
    memory.put(ANN, "wallet", {"text": HOME, "x": given})
    assert memory.get(ANN, "wallet").value == {"text": HOME, "x": kept}
    assert statements(known) == ["The user lives in Oslo."]
    assert memory.search(ANN, query="Oslo")[0].value["x"] == kept


def test_a_secret_of_an_item_is_nowhere_in_the_database(memory, known, tmp_path):
    memory.put(ANN, "wallet", {"text": f"My card is {CARD}. {HOME}"})
    memory.put(ANN, "wallet", {"text": f"My card is {CARD}. {HOME}"})
    assert statements(known) == ["The user lives in Oslo."]
    assert len(known.utterances()) == 1
    held = b"".join(path.read_bytes() for path in tmp_path.glob("m.db*"))
    assert CARD.encode() not in held


def test_a_secret_in_an_item_is_no_fact(memory, known):
    memory.put(ANN, "a", {"text": "My password is hunter2."})
    assert known.facts() == ()
    assert memory.get(ANN, "a").value == {"text": f"My {MASK * 19}."}


# -- many users ----------------------------------------------------------------------------------------------


def test_a_store_for_many_users_keeps_them_apart(archive, config):
    memory = MemoryStore(lambda namespace: archive.store(namespace[1]), config)
    memory.put(("memories", "ann"), "home", said("I live in Oslo."))
    memory.put(("memories", "bob"), "home", said("I live in Rome."))
    assert statements(archive.store("ann")) == ["The user lives in Oslo."]
    assert [item.namespace for item in memory.search(("memories", "bob"))] == [("memories", "bob")]
    assert memory.list_namespaces(prefix=("memories", "ann")) == [("memories", "ann")]
    with pytest.raises(MemoriesError, match="memories does not say whose memory it is"):
        memory.search(("memories",))
