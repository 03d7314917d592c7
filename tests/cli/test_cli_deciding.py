"""What a person decides about facts on the command line."""

from __future__ import annotations


def test_released_facts_wait_for_the_next_cycle(ice, said, promoted, store):
    ice("revert")
    (fact,) = store.facts()
    assert "set aside" in ice("pending")[1]
    assert said("release", fact.id)["released"][0]["status"] == "pending"
    assert [f["id"] for f in said("pending")["learn"]] == [fact.id]


def test_a_fact_is_set_aside_by_hand_until_it_is_released(ice, said, store):
    said("add", "I live in Lisbon.")
    id_ = said("facts")["facts"][0]["id"]
    (fact,) = said("quarantine", id_, "--reason", "who says so?")["quarantined"]
    assert (fact["status"], fact["quarantine_reason"]) == ("quarantined", "who says so?")
    assert said("pending")["learn"] == []
    assert ice("release", id_)[0] == 0
    assert [each["id"] for each in said("pending")["learn"]] == [id_]


def test_what_is_taken_back_was_wrong_or_is_over(ice, said, store):
    for text in ("I live in Oslo.", "I live in Rome.", "I like tea."):
        ice("add", text)
    rome, tea = store.facts()
    assert ice("retract", tea.id, "f_nosuch")[0] == 1
    assert store.facts() == (rome, tea), "none, where one is not known"
    assert "stands again: The user lives in Oslo." in ice("retract", rome.id)[1]
    assert ice("retract", rome.id)[0] == 1
    ice("add", "I live in Rome.")
    (again,) = store.facts(relation="home")
    assert said("retract", again.id, tea.id, "--over")["recorded"][0]["reopened"] == []
    assert store.facts() == ()
