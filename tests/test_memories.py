"""A script that was written for mem0 runs with its import changed."""

from __future__ import annotations

import pytest

from ice_agent import Memory
from ice_agent.config import Config
from ice_agent.errors import CollectError, MemoriesError
from memory import Notary, UnknownFact, broken_receipt, opened_receipt
from tests.concepts import Concepts

LIKES_TEA = "The user likes tea."


@pytest.fixture
def memory(tmp_path):
    sections = {
        "store": {"url": f"sqlite:///{tmp_path / 'm.db'}"},
        "adapters": {"dir": str(tmp_path / "adapters")},
        "ledger": {"key": str(tmp_path / "ledger.key"), "checkpoints": str(tmp_path / "checkpoints")},
    }
    with Memory.from_config(sections) as opened:
        yield opened


def memories(found):
    return [item["memory"] for item in found["results"]]


def test_a_script_for_mem0_runs(memory):
    messages = [
        {"role": "user", "content": "Hi, I live in Lisbon and I like chess."},
        {"role": "assistant", "content": "Lovely! I live in Rome."},
        {"role": "user", "content": [{"type": "text", "text": "My sister is Ada."}]},
    ]
    added = memory.add(messages, user_id="ann", metadata={"category": "chat"})
    assert [item["event"] for item in added["results"]] == ["ADD", "ADD", "ADD"]

    found = memory.search("Where does she live?", user_id="ann", limit=1)["results"]
    assert found[0]["memory"] == "The user lives in Lisbon."
    assert found[0]["metadata"] == {"category": "chat"}
    assert (0 < found[0]["score"] <= 1, found[0]["user_id"]) == (True, "ann")

    home = found[0]["id"]
    assert memory.get(home)["memory"] == "The user lives in Lisbon."
    memory.update(memory_id=home, data="I live in Oslo.")
    assert "The user lives in Oslo." in memories(memory.get_all(user_id="ann"))
    assert memory.get(home)["memory"] == "The user lives in Oslo."
    assert [row["event"] for row in memory.history(home)] == ["ADD", "UPDATE"]

    chess = next(i["id"] for i in memory.get_all(user_id="ann")["results"] if "chess" in i["memory"])
    assert memory.delete(chess) == {"message": "Memory deleted successfully!"}
    assert memory.get(chess) is None
    memory.delete_all(user_id="ann")
    assert memory.get_all(user_id="ann") == {"results": []}


def test_a_newer_value_is_an_update_and_the_same_again_is_none(memory):
    memory.add("I live in Lisbon.", user_id="ann")
    (moved,) = memory.add("I live in Oslo.", user_id="ann")["results"]
    assert (moved["event"], moved["previous_memory"]) == ("UPDATE", "The user lives in Lisbon.")
    assert memory.add("I live in Oslo.", user_id="ann")["results"][0]["event"] == "NONE"
    assert [row["old_memory"] for row in memory.history(moved["id"])] == [None, "The user lives in Lisbon."]


def test_an_id_may_stand_at_top_level_or_among_the_filters(memory):
    memory.add("I like tea.", user_id="ann")
    ann = {"user_id": "ann"}
    for way in (ann, {"filters": ann}, {"filters": {"AND": [ann]}}):
        assert memories(memory.get_all(**way)) == ["The user likes tea."]
        assert memories(memory.search("tea", **way)) == ["The user likes tea."]


def test_users_agents_and_runs_see_nothing_of_each_other(memory):
    memory.add("I like tea.", user_id="ann")
    memory.add("I like jazz.", agent_id="ann")
    memory.add("I like rum.", user_id="ann", run_id="1")
    assert memories(memory.get_all(user_id="ann")) == ["The user likes tea."]
    assert memories(memory.get_all(agent_id="ann")) == ["The user likes jazz."]
    assert memories(memory.get_all(run_id="1", user_id="ann")) == ["The user likes rum."]
    assert memory.search("tea", user_id="bob") == {"results": []}


def test_memories_are_filtered_by_their_metadata(memory):
    memory.add("I like tea.", user_id="ann", metadata={"topic": "food", "turn": 3})
    memory.add("I like jazz.", user_id="ann", metadata={"topic": "music"})
    food = memory.get_all(user_id="ann", filters={"topic": "food", "turn": 3})
    assert memories(food) == ["The user likes tea."]
    with pytest.raises(MemoriesError, match="equality and AND"):
        memory.get_all(user_id="ann", filters={"turn": {"gte": 2}})


def test_without_inference_a_message_is_kept_as_it_is(memory):
    memory.add("The spare key is under the mat.", user_id="ann", infer=False)
    assert memories(memory.get_all(user_id="ann")) == ["The spare key is under the mat."]


def test_who_is_meant_has_to_be_said(memory):
    for call in (lambda: memory.add("I like tea."), lambda: memory.search("tea"), memory.get_all):
        with pytest.raises(MemoriesError, match="user_id"):
            call()


@pytest.mark.parametrize("nobody", ["", "  ", 42])
def test_an_id_that_names_nobody_is_nobodys_memory(memory, nobody):
    for call in (
        lambda: memory.add("I like rum.", user_id=nobody),
        lambda: memory.get_all(filters={"user_id": nobody}),
        lambda: memory.delete_all(user_id=nobody),
    ):
        with pytest.raises(MemoriesError, match="user_id is"):
            call()


@pytest.mark.parametrize("messages", [None, 3, ["I like tea."]])
def test_what_is_no_message_is_refused(memory, messages):
    with pytest.raises(MemoriesError, match="message"):
        memory.add(messages, user_id="ann")


def test_a_book_is_not_read_as_one_utterance(memory):
    with pytest.raises(CollectError, match=r"1,200,000 characters.*50,000 at most: tell it in parts"):
        memory.add("I like tea. " * 100_000, user_id="ann")


def test_an_unknown_id_is_named(memory):
    assert memory.get("f_nothing") is None
    for verb in (memory.delete, memory.history):
        with pytest.raises(UnknownFact, match="f_nothing"):
            verb("f_nothing")


def test_a_reset_forgets_everybody(memory):
    memory.add("I like tea.", user_id="ann")
    memory.add("I like tea.", user_id="bob")
    memory.reset()
    assert memory.get_all(user_id="ann") == memory.get_all(user_id="bob") == {"results": []}


def test_whatever_is_forgotten_leaves_a_signed_receipt(memory, tmp_path):
    (ann,) = memory.add("I like tea.", user_id="ann")["results"]
    for name in ("bob", "eve"):
        memory.add("I like tea.", user_id=name)

    def receipts():
        key = Notary.at(tmp_path / "ledger.key", memory._archive.origin).key
        return [opened_receipt(p.read_text(), key) for p in (tmp_path / "checkpoints").glob("*.receipt")]

    memory.delete(ann["id"])
    assert [receipt["facts"] for receipt in receipts()] == [[ann["id"]]]
    memory.delete_all(user_id="bob")
    assert len(receipts()) == 2
    memory.reset()
    assert len(receipts()) == 4
    for receipt in receipts():
        assert list(broken_receipt(receipt, memory._archive.chain(receipt["tenant"]))) == []


def test_the_settings_of_mem0_are_left_out_and_ours_are_read(tmp_path, caplog):
    url = f"sqlite:///{tmp_path / 'm.db'}"
    theirs = {"vector_store": {"provider": "qdrant"}, "store": {"url": url}}
    with Memory.from_config(theirs) as memory:
        assert memory._config == Config.model_validate({"store": {"url": url}})
    assert "vector_store has no meaning here" in caplog.text


# -- as mem0's documentation writes it -----------------------------------------------------------------------


def test_the_quick_start_of_mem0_runs(memory):
    """Its README: recall, answer, add; the chat model is left out."""

    def chat_with_memories(message: str, user_id: str = "default_user") -> str:
        relevant_memories = memory.search(query=message, user_id=user_id, limit=3)
        memories_str = "\n".join(f"- {entry['memory']}" for entry in relevant_memories["results"])
        system_prompt = f"Answer based on query and memories.\nUser Memories:\n{memories_str}"
        messages = [{"role": "system", "content": system_prompt}, {"role": "user", "content": message}]
        messages.append({"role": "assistant", "content": "I live in Rome."})
        memory.add(messages, user_id=user_id)
        return system_prompt

    chat_with_memories("Hi, I'm Alex. I love basketball and I live in Lisbon.")
    assert "lives in Lisbon" in chat_with_memories("Where do I live?")
    assert "basketball" in chat_with_memories("What do you know about me?")
    assert not any("Rome" in said for said in memories(memory.get_all(user_id="default_user")))


def test_the_newer_way_to_name_whose_memory_and_how_many(memory):
    memory.add([{"role": "user", "content": "I like tea. I like rum."}], user_id="alex")
    found = memory.search("rum", filters={"user_id": "alex"}, top_k=1)
    assert memories(found) == ["The user likes rum."]
    assert len(memory.get_all(filters={"user_id": "alex"}, top_k=1)["results"]) == 1


def test_a_search_that_shares_no_word_with_any_memory_gives_the_newest_with_a_score_of_nothing(memory):
    memory.add("I like tea. I like rum.", user_id="ann")
    found = memory.search("zebra", user_id="ann")
    assert memories(found) == ["The user likes rum.", "The user likes tea."]
    assert [item["score"] for item in found["results"]] == [0.0, 0.0]
    assert memory.search("zebra", user_id="ann", threshold=0.1) == {"results": []}


@pytest.mark.parametrize("words", ["I like chess.", "I live in Oslo.", "The key is under the mat."])
def test_an_updated_memory_goes_on_under_its_id_and_is_deleted_by_it(memory, words):
    (added,) = memory.add("I like tea.", user_id="ann")["results"]
    memory.update(added["id"], data="I like rum.")
    memory.update(added["id"], words)
    now = memories(memory.get_all(user_id="ann"))
    assert [memory.get(added["id"])["memory"]] == now
    history = memory.history(added["id"])
    assert [row["event"] for row in history] == ["ADD", "UPDATE", "UPDATE"]
    assert (history[1]["old_memory"], history[1]["new_memory"]) == (LIKES_TEA, "The user likes rum.")
    memory.delete(added["id"])
    assert memory.get_all(user_id="ann") == {"results": []}
    assert memory.get(added["id"]) is None


def test_an_updated_memory_that_is_deleted_does_not_become_what_it_was_before(memory):
    (added,) = memory.add("I live in Lisbon.", user_id="ann")["results"]
    memory.update(added["id"], "I live in Oslo.")
    (now,) = memory.get_all(user_id="ann")["results"]
    memory.delete(now["id"])
    assert memory.get_all(user_id="ann") == {"results": []}
    assert memory.get(added["id"]) is None


def test_a_memory_whose_former_words_were_forgotten_elsewhere_can_be_deleted(memory):
    (added,) = memory.add("I like tea.", user_id="ann")["results"]
    memory.update(added["id"], "I like rum.")
    memory._archive.store("ann").forget([added["id"]])
    (now,) = memory.get_all(user_id="ann")["results"]
    memory.delete(now["id"])
    assert memory.get_all(user_id="ann") == {"results": []}


@pytest.mark.parametrize("infer", [True, False])
def test_a_secret_is_kept_nowhere_however_it_is_added(memory, tmp_path, infer):
    (added,) = memory.add("I like tea.", user_id="ann")["results"]
    memory.add("My password is hunter2.", user_id="ann", infer=infer)
    memory.update(added["id"], "My password is hunter2.")
    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.glob("m.db*"))


def test_memories_are_found_by_meaning_with_an_embedding_model(tmp_path):
    settings = Config.model_validate({"store": {"url": f"sqlite:///{tmp_path / 'm.db'}"}})
    with Memory(settings, embeddings=Concepts()) as memory:
        memory.add("I like tea. My sister is Ada.", user_id="ann")
        (found,) = memory.search("thirsty", user_id="ann", limit=1)["results"]
    assert (found["memory"], found["score"] > 0.9) == ("The user likes tea.", True)
