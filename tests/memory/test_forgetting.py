"""Forgetting leaves a store that never heard the fact, a whole chain, and no word of it on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from memory import (
    ERASED,
    AdapterStatus,
    Archive,
    CandidateFact,
    FactStatus,
    StoreUnavailable,
    UnknownFact,
    UnknownTenant,
    WrongState,
)
from tests.memory.conftest import GOOD, Tenant


def said(value="Xanadu", relation="lives_in", subject="user", **more):
    return CandidateFact(
        subject=subject, relation=relation, object=value, statement=f"{subject} {relation} {value}",
        start=0, end=9, **more,
    )  # fmt: skip


@pytest.fixture
def tell(tom):
    def told(value="Xanadu", *others, **more):
        done = tom.store.tell(f"I live in {value}.", [said(value, **more), *others])
        return done.recorded[0].fact

    return told


def test_a_fact_that_was_forgotten_is_nowhere(tom, tell):
    fact = tell()
    tom.store.tell("As I said, Xanadu it is.", [said()])
    tom.tell("tea", "likes")
    done = tom.store.forget([fact.id])
    assert [gone.id for gone in done.facts] == [fact.id]
    assert [heard.text for heard in done.utterances] == ["I live in Xanadu.", "As I said, Xanadu it is."]
    assert tom.standing == ["tea"]
    assert [heard.text for heard in tom.store.utterances()] == [ERASED, ERASED, "I told you so."]
    with pytest.raises(UnknownFact):
        tom.store.fact(fact.id)
    assert tom.store.search("Xanadu") == ()
    assert "Xanadu" not in str(list(tom.store.export()))
    assert tom.store.verify().problems == ()


def test_the_words_that_took_it_back_go_too(tom, tell):
    fact = tell()
    tom.store.tell("I left Xanadu.", [said(retracts=True)])
    assert [mention.utterance.text for mention in tom.store.mentions(fact.id)][-1] == "I left Xanadu."
    tom.store.forget([fact.id])
    assert "Xanadu" not in str(tom.store.utterances())


def test_what_would_be_forgotten_can_be_seen_first_and_nothing_is_changed(tom, tell):
    fact = tell("Xanadu", said("tea", "likes"))
    learned = tom.learn()
    tip = tom.store.tip()
    seen = tom.store.foresee([fact.id])
    assert [gone.object for gone in seen.facts] == ["Xanadu"]
    assert [left.object for left in seen.bereft] == ["tea"]
    assert [left.object for left in seen.relearned] == ["tea"]
    assert ([a.id for a in seen.adapters], seen.serving.id) == ([learned.id], "tom-root")
    assert tom.store.tip() == tip


def test_no_word_of_it_is_left_in_the_file_or_its_log(tmp_path):
    path = tmp_path / "m.db"
    with Archive.open(f"sqlite:///{path}") as archive:
        tom = Tenant(archive.store("tom"))
        for n in range(50):
            tom.likes(f"kind {n} of tea")
        fact = tom.store.tell("I live in Xanadu.", [said()]).recorded[0].fact
        assert fact is not None
        tom.tell("Nice")
        assert _on_disk(tmp_path, b"xanadu")
        tom.store.forget([fact.id])
        assert not _on_disk(tmp_path, b"xanadu")
        assert len(tom.standing) == 51
        assert tom.store.verify().ok


def test_a_reader_that_keeps_the_log_alive_is_named(tmp_path):
    with Archive.open(f"sqlite:///{tmp_path / 'm.db'}") as archive:
        tom = Tenant(archive.store("tom"))
        fact = tom.tell("Xanadu").fact
        assert fact is not None
        with archive._reader.connect() as reader:
            reader.execute(sa.text("SELECT count(*) FROM facts")).all()
            with pytest.raises(StoreUnavailable, match=r"it is forgotten.*end that process|locked"):
                tom.store.forget([fact.id])
        assert tom.standing == []


def test_what_it_had_superseded_stands_again_and_what_superseded_it_follows_on_that(tom):
    lyon, nice, oslo = (tom.tell(value).fact for value in ("Lyon", "Nice", "Oslo"))
    tom.store.forget([nice.id])
    assert [fact.object for fact in tom.store.history(oslo.id)] == ["Lyon", "Oslo"]
    tom.store.forget([oslo.id])
    assert tom.standing == ["Lyon"]
    assert tom.store.fact(lyon.id).valid_until is None
    assert tom.store.verify().ok


def test_every_adapter_that_holds_it_is_retired_and_the_last_clean_one_serves(tom):
    tom.tell("tea", "likes")
    clean = tom.learn()
    fact = tom.tell("Xanadu").fact
    holds = tom.learn()
    tom.tell("jazz", "hears")
    stands_on_it = tom.learn()
    done = tom.store.forget([fact.id])
    assert [adapter.id for adapter in done.adapters] == [holds.id, stands_on_it.id]
    assert (done.serving.id, tom.store.serving().id) == (clean.id, clean.id)
    states = {adapter.id: adapter.status for adapter in tom.store.adapters()}
    assert states[holds.id] is states[stands_on_it.id] is AdapterStatus.FORGOTTEN
    assert (tom.learned, tom.prompt) == (["tea"], ["jazz"])
    with pytest.raises(WrongState):
        tom.store.promote(holds.id, GOOD)
    assert tom.store.verify().ok
    tom.learn()
    assert tom.learned == ["tea", "jazz"]
    assert tom.store.verify().ok


def test_an_adapter_that_was_reverted_or_rejected_is_retired_too(tom):
    fact = tom.tell("Xanadu").fact
    first = tom.learn()
    tom.store.revert()
    done = tom.store.forget([fact.id])
    assert ([a.id for a in done.adapters], tom.store.adapter(first.id).status) == ([first.id], "forgotten")
    assert tom.store.serving().id == "tom-root"
    assert tom.store.verify().ok


def test_a_cycle_that_is_editing_it_meanwhile_comes_to_nothing(tom):
    tom.root()
    fact = tom.tell("Xanadu").fact
    tom.tell("tea", "likes")
    lease = tom.lease()
    candidate = tom.candidate(lease)
    tom.store.forget([fact.id])
    with pytest.raises(WrongState):
        tom.store.promote(candidate.id, GOOD, lease)
    assert tom.prompt == ["tea"]
    assert tom.store.facts()[0].status is FactStatus.PENDING
    assert tom.store.verify().ok


def test_a_cycle_whose_candidate_has_no_row_yet_comes_to_nothing_too(tom):
    root = tom.root()
    fact = tom.tell("Xanadu").fact
    lease = tom.lease()
    batch = tom.store.claim_batch(10, lease)
    tom.store.forget([fact.id])
    with pytest.raises(WrongState, match="its cycle is over"):
        tom.store.register(tom.adapter("late", parent=root.id, batch_id=batch.id), lease)


def test_reading_the_old_log_again_does_not_learn_it_again(tom, tell):
    tom.store.forget([tell().id])
    told = tom.store.tell("i live in XANADU!", [said("xanadu"), said("tea", "likes")])
    assert (told.refused, told.utterance.text) == (1, ERASED)
    assert tom.standing == ["tea"]
    assert tom.store.tell("I live in Nice.", [said("Nice")]).refused == 0
    assert tom.store.tell("I left Xanadu.", [said(retracts=True)]).utterance.text == ERASED
    assert tom.store.allow(said()) is True
    assert tom.store.allow(said()) is False
    assert tell("Xanadu").object == "Xanadu"


def test_all_about_a_subject_can_be_forgotten(tom):
    tom.store.tell("Kim is my boss.", [said("Kim", "boss")])
    tom.store.tell("Kim lives in Rome.", [said("Rome", subject="kim ")])
    tom.tell("tea", "likes")
    assert [fact.object for fact in tom.store.forget(subject="Kim").facts] == ["Kim", "Rome"]
    assert tom.standing == ["tea"]
    assert tom.store.tell("Kim likes jazz.", [said("jazz", "likes", subject="Kim")]).refused == 1


def test_a_proposal_of_it_goes_too(tom, tell):
    fact = tell()
    tom.store.tell("I live in Xanadu, do I?", proposed=[said(), said("tea", "likes")])
    tom.store.forget([fact.id])
    assert [proposal.candidate.object for proposal in tom.store.proposals()] == ["tea"]
    assert "Xanadu" not in str(tom.store.utterances())
    assert tom.store.verify().ok


def test_what_was_only_proposed_about_a_subject_goes_with_it(tom):
    tom.store.tell("Kim likes jazz, I think.", proposed=[said("jazz", "likes", subject="Kim")])
    assert [words.text for words in tom.store.foresee(subject="Kim").utterances] == [
        "Kim likes jazz, I think."
    ]
    tom.store.forget(subject="Kim")
    assert tom.store.proposals() == ()
    assert [words.text for words in tom.store.utterances()] == [ERASED]
    assert tom.store.verify().ok


def test_all_that_is_held_about_a_tenant_can_be_forgotten_and_the_chain_still_verifies(
    archive, tom, tell, tenant_named
):
    tell()
    tom.learn()
    tom.tell("Nice")
    eve = tenant_named("eve")
    eve.tell("Rome")
    assert {adapter.id for adapter in tom.store.forget_everything().adapters} == {"tom-root", "tom-a1"}
    assert (archive.tenants(), tom.store.exists(), tom.standing) == (("eve",), False, [])
    assert list(tom.store.export()) == []
    assert eve.standing == ["Rome"]
    assert archive.verify().problems == ()
    with pytest.raises(UnknownTenant, match="'tom'"):
        tom.store.forget_everything()
    tom.tell("Oslo")
    assert tom.standing == ["Oslo"]
    assert archive.verify().ok


def test_a_tombstone_says_nothing(tom, tell, archive):
    tom.store.forget([tell().id])
    with archive._engine.connect() as connection:
        rows = str(connection.execute(sa.text("SELECT * FROM tombstones")).all())
    assert "xanadu" not in rows.lower()


def test_a_fact_that_vanishes_without_being_forgotten_is_found(tom, tell, execute):
    fact = tell()
    execute(f"DELETE FROM facts WHERE id = '{fact.id}'")
    assert any("no entry says it was forgotten" in problem for problem in tom.store.verify().problems)


def _on_disk(folder: Path, words: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and words in path.read_bytes().lower()]


def test_the_words_of_an_utterance_and_its_proposals_can_be_forgotten_while_its_facts_stay(tom, tell):
    first = tell()
    told = tom.store.tell("In Xanadu, with tea.", [said()], proposed=[said("tea", "likes")])
    taken = tom.store.forget(utterance_ids=[told.utterance.id])
    assert taken.facts == ()
    assert [fact.id for fact in taken.bereft] == []
    assert tom.store.utterance(told.utterance.id).text == ERASED
    assert [mention.words for mention in tom.store.mentions(first.id)] == ["I live in", ""]
    assert tom.store.proposals() == ()
    assert tom.store.verify().ok


def test_what_was_forgotten_of_a_subject_is_not_learned_again_under_its_other_name(tom, tell):
    tom.store.forget([tell(subject="the user's sister").id])
    again = tom.store.tell("Xanadu!", [said(subject="Anna", aliases=("the user's sister",))])
    assert (again.recorded, again.refused) == ((), 1)
