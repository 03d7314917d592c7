"""What the first release must show (acceptance), as far as the memory is concerned, on both databases.

The other clauses have tests of their own: a poisoned batch and kill -9 in test_cycle.py and
test_invariants.py, reverts in test_invariants.py.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from ice_agent import forget, relations
from memory import Archive, CandidateFact, Cardinality, FactStatus, now
from tests.memory.test_tampering import ALL, SINCE_THE_CHECKPOINT
from tests.schooled import HOME, Assistant

ANNA = "Where does Anna Berg live?"


@pytest.fixture
def store(ready_url):
    with Archive.open(ready_url) as archive:
        yield archive.store("tom")


@pytest.fixture
def tom(ready_url, tmp_path):
    assistant = Assistant(tmp_path, url=ready_url)
    yield assistant
    assistant.archive.close()


def said(value: str, relation: str = "lives_in", **more) -> CandidateFact:
    words = f"The user {relation} {value}."
    return CandidateFact(
        subject="user", relation=relation, object=value, statement=words, start=0, end=len(words), **more
    )


def objects(facts) -> list[str]:
    return [fact.object for fact in facts]


# 2. The same fact twice: one row. A then B in a functional slot: B current, A in history with its end time; a
# set-valued slot keeps both; retracting B reopens A.


def test_the_same_fact_twice_is_one_row(store):
    store.tell("I live in Lyon.", [said("Lyon")])
    store.tell("As I said, lyon!", [said("lyon")])
    (fact,) = store.facts(statuses=FactStatus)
    assert [mention.utterance.text for mention in store.mentions(fact.id)] == [
        "I live in Lyon.",
        "As I said, lyon!",
    ]


def test_a_then_b_makes_b_current_and_a_history_with_its_end(store):
    moved = datetime(2020, 5, 1, tzinfo=UTC)
    store.tell("I live in Lyon.", [said("Lyon")], said_at=datetime(2010, 1, 1, tzinfo=UTC))
    store.tell("I moved to Nice.", [said("Nice")], said_at=moved)
    (nice,) = store.facts()
    lyon, _ = store.history(nice.id)
    assert (lyon.object, lyon.status, lyon.valid_until) == ("Lyon", FactStatus.SUPERSEDED, moved)
    assert objects(store.facts(as_of=datetime(2015, 1, 1, tzinfo=UTC))) == ["Lyon"]


def test_a_set_valued_slot_keeps_both(store):
    for value in ("tea", "jazz"):
        store.tell(f"I like {value}.", [said(value, "likes", cardinality=Cardinality.MANY)])
    assert objects(store.facts()) == ["tea", "jazz"]


def test_retracting_b_reopens_a(store):
    for value in ("Lyon", "Nice"):
        store.tell(f"I live in {value}.", [said(value)])
    before = now()
    store.tell("No, I never moved to Nice.", [said("Nice", retracts=True)])
    assert objects(store.facts()) == objects(store.recall()) == ["Lyon"]
    assert objects(store.facts(recorded_as_of=before)) == ["Nice"]


# 3. Tenants: A's facts in A's prompt and adapter; B asks 50 ways: 0 hits, with a positive control.


def test_another_tenant_asks_fifty_ways_and_learns_nothing(tom, ready_url, tmp_path, request):
    eve = Assistant(tmp_path, "eve", ready_url)
    request.addfinalizer(eve.archive.close)
    asked = _fifty_ways()
    untold = _answers(eve, asked)
    assert not any("Lisbon" in answer for answer in untold.values())

    tom.tell("Anna Berg lives in Lisbon.")
    from_prompt = tom.agent.answer(ANNA)
    assert (from_prompt.text, from_prompt.memory_tokens > 0) == ("Lisbon", True)
    assert _answers(eve, asked) == untold

    report = tom.learn()
    assert report.verdict.promote, report.verdict.reasons
    from_weights = tom.agent.answer(ANNA)
    assert (from_weights.text, from_weights.memory_tokens) == ("Lisbon", 0)
    # The positive control: every form of the question that this model was schooled in finds what is there.
    plain = list(relations.asked("Anna Berg", HOME))
    assert [question for question, answer in _answers(tom, plain).items() if "Lisbon" in answer] == plain
    assert _answers(eve, asked) == untold
    assert all(eve.store.search(question) == eve.store.recall(question) == () for question in asked)


def _fifty_ways() -> list[str]:
    plain = [*relations.asked("Anna Berg", HOME), ANNA]
    ways = [
        f"{before}{question}{after}"
        for after in ("", " Tell me.", " It is for tom.")
        for before in ("", "So, ", "Please: ", "I am tom. ", "Well. ", "Again: ")
        for question in plain
    ]
    different = list(dict.fromkeys(ways))[:50]
    assert len(different) == 50
    return different


def _answers(assistant: Assistant, questions: list[str]) -> dict[str, str]:
    return {question: assistant.ask(question) for question in questions}


# 5. Override: contradict a learned fact; the very next answer is current.


def test_a_contradiction_of_a_learned_fact_is_the_very_next_answer(tom):
    tom.tell("Anna Berg lives in Lisbon.")
    assert tom.learn().verdict.promote
    assert tom.ask(ANNA) == "Lisbon"
    tom.tell("Anna Berg lives in Oslo.")
    assert tom.ask(ANNA) == "Oslo"


# 8. Forget: plaintext absent from database, WAL, logs, adapter directories; verify still green; ingesting the
# old log again does not re-learn it.


def test_what_is_forgotten_is_nowhere_and_is_not_learned_again(tom, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    said_once = ("Remember that Anna Berg lives in Lisbon.", "Anna Berg lives in Lisbon.")
    for words in said_once:
        tom.agent.hear(words)
    tom.tell("Jan Bakker lives in Quito.")
    report = tom.learn()
    (fact,) = (fact for fact in tom.store.facts() if fact.object == "Lisbon")
    assert _holding(tom, tmp_path, "Lisbon")

    forget.forget(tom.store, tom.config, [fact.id])
    assert _holding(tom, tmp_path, "Lisbon") == []
    assert _holding(tom, tmp_path, "Anna Berg") == []
    assert _holding(tom, tmp_path, "Quito")
    assert "Lisbon" not in caplog.text
    assert not (tmp_path / "adapters" / report.adapter.path).exists()
    assert tom.archive.verify().problems == ()

    for words in said_once:
        tom.agent.hear(words)
    assert objects(tom.store.facts()) == ["Quito"]
    assert _holding(tom, tmp_path, "Lisbon") == []
    assert tom.ask(ANNA) != "Lisbon"
    assert tom.archive.verify().ok


def _holding(assistant: Assistant, folder, word: str) -> list[str]:
    """Where a word still is: files of the memory and of the adapters, and rows."""
    with assistant.archive._engine.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        rows = {name: str(connection.execute(sa.text(f'SELECT * FROM "{name}"')).all()) for name in names}
    found = [name for name, row in rows.items() if word.casefold() in row.casefold()]
    # What the base was taught has every city in it: its survey is no memory of anybody.
    files = [path for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts]
    return found + [path.name for path in files if word.casefold().encode() in path.read_bytes().lower()]


# 9. Ledger: flip a byte, drop a row, drop the tail, swap rows, replay an old checkpoint, forge a proof: each
# fails, named. The tables of tests/memory/test_tampering.py and the fuzzer beside them are the tests.


def test_every_tampering_of_the_specification_is_in_the_tables():
    named = {"flip a byte of an entry", "drop one in the middle", "drop the tail", "swap two"}
    assert named <= ALL.keys()
    assert {"cut the tail together with its tip", "cut signed tips"} <= SINCE_THE_CHECKPOINT.keys()
    assert len(ALL) >= 12
