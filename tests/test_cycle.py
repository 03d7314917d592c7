"""The cycle from a claimed batch to a verdict, on a tiny model that can be taught (tests/schooled.py)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from ice_agent import cycle, leasing, plan, probes, survey
from ice_agent.errors import AdapterError, CycleError, EmptyBatch
from ice_agent.manifest import WEIGHTS
from memory import (
    STATEMENT,
    AdapterStatus,
    BatchStatus,
    CandidateFact,
    FactStatus,
    LeaseHeld,
    StaleLease,
    StaleParent,
    Transcript,
)
from tests.schooled import Assistant

ANNA = "Where does Anna Berg live?"
JAN = "Where does Jan Bakker live?"
# Too slow to learn anything, and a guard that does not mind: for what does not depend on learning.
HASTY: dict[str, Any] = {"edit": {"steps": 2, "learning_rate": 1e-6}, "guards": {"min_edit_success": 0.0}}
STAGES = ("teacher pass", "anchor pass", "editing", "measuring")


@pytest.fixture(scope="module")
def school_year(tmp_path_factory):
    """A folder in which Tom's assistant learned that Anna Berg lives in Lisbon, and the report of that."""
    assistant = Assistant(tmp_path_factory.mktemp("learned"))
    assistant.tell("Anna Berg lives in Lisbon.")
    report = assistant.learn()
    assert report.verdict.promote, report.verdict.reasons
    assistant.archive.close()
    return assistant.folder, report


@pytest.fixture
def report(school_year):
    return school_year[1]


@pytest.fixture
def learned(school_year, tmp_path):
    """The assistant that learned it, started anew on a copy of its folder."""
    assistant = Assistant(shutil.copytree(school_year[0], tmp_path / "tom"))
    yield assistant
    assistant.archive.close()


@pytest.fixture
def assistant(tmp_path):
    """One that was told of Anna Berg and has not slept over it."""
    assistant = Assistant(tmp_path, **HASTY)
    assistant.tell("Anna Berg lives in Lisbon.")
    yield assistant
    assistant.archive.close()


# -- promote, reject, revert ---------------------------------------------------------------------------------


def test_a_promoted_fact_is_answered_by_the_weights_alone(learned, report):
    reply = learned.agent.answer(ANNA)
    assert (reply.text, reply.memory_tokens, reply.adapter_id) == ("Lisbon", 0, report.adapter.id)
    (fact,) = learned.store.learned()
    assert fact.adapter_id == report.adapter.id


def test_a_promoted_cycle_says_what_it_measured_of_parent_and_candidate(report):
    assert report.before.scores.edit_success.hits == 0
    assert report.after.scores.edit_success.hits == report.after.scores.edit_success.asked == 1
    assert report.adapter.status is AdapterStatus.PROMOTED
    assert report.adapter.scores == report.after.scores
    assert report.batch.status is BatchStatus.DONE


def test_every_probe_is_kept_beside_the_adapter_with_its_answers_before_and_after(learned, report):
    path = learned.config.adapters.dir / f"{report.adapter.id}.transcripts.jsonl"
    kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(kept) == len(report.after.transcripts)
    (edited,) = [row for row in kept if row["kind"] == probes.EDIT_SUCCESS]
    assert (edited["prompt"], edited["after"], edited["is_hit"]) == (ANNA, "Lisbon", True)
    assert edited["before"] != "Lisbon"


def test_the_manifest_says_where_an_adapter_comes_from_without_a_word_of_what_was_said(learned, report):
    text = (learned.config.adapters.dir / report.adapter.path / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert manifest["parent_id"] == report.parent_id
    assert manifest["facts"] == [fact.commitment for fact in learned.store.learned()]
    assert "Anna" not in text
    assert "Lisbon" not in text


def test_a_second_cycle_rehearses_and_retains_what_the_first_one_taught(learned):
    learned.tell("Jan Bakker lives in Quito.")
    report = learned.learn()
    assert report.verdict.promote, report.verdict.reasons
    assert (learned.ask(ANNA), learned.ask(JAN)) == ("Lisbon", "Quito")
    assert report.after.scores.retention.asked == 1
    assert not any(
        "Anna Berg" in asked.prompt for asked in report.after.transcripts if asked.kind in probes.BESIDE
    )


def test_the_next_cycle_takes_another_survey(learned, monkeypatch):
    seeds, take = [], survey.take

    def noting(*args, **options):
        seeds.append(options["seed"])
        return take(*args, **options)

    monkeypatch.setattr(survey, "take", noting)
    learned.tell("Jan Bakker lives in Quito.")
    learned.learn()
    assert seeds == [survey.turn(learned.config.edit.seed, 1)]


def test_a_retracted_fact_that_was_learned_is_edited_back_to_what_the_root_answers(learned, report):
    (fact,) = learned.store.learned()
    root_answer = report.before.transcripts[0].after
    _take_back(learned, fact)
    assert [f.id for f in learned.store.recall()] == [fact.id]
    back = learned.learn()
    assert back.verdict.promote, back.verdict.reasons
    assert learned.store.recall() == ()
    assert (learned.ask(ANNA), learned.agent.answer(ANNA).memory_tokens) == (root_answer, 0)


def test_what_a_removal_did_not_take_out_is_still_not_answered_from_the_weights(learned):
    (fact,) = learned.store.learned()
    *_, root = learned.store.lineage()
    _take_back(learned, fact)
    hasty = Assistant(learned.folder, edit={"steps": 1, "clip": 1e-6}, guards={"min_edit_success": 0.0})
    assert hasty.learn().verdict.promote
    assert [f.status for f in hasty.store.recall()] == [FactStatus.RETRACTED]
    assert hasty.agent.answer(ANNA).adapter_id == root.id


def test_a_corrected_fact_is_served_from_the_prompt_until_the_weights_hold_the_new_value(learned):
    learned.tell("Anna Berg lives in Rome.")
    before = learned.agent.answer(ANNA)
    learned.learn()
    after = learned.agent.answer(ANNA)
    assert (before.text, after.text) == ("Rome", "Rome")
    assert before.memory_tokens > after.memory_tokens == 0


def test_a_fact_that_the_candidate_does_not_answer_stays_in_the_prompt(assistant):
    report = assistant.learn()
    assert report.verdict.promote
    (fact,) = assistant.store.recall()
    assert fact.status is FactStatus.QUARANTINED
    assert "ice-agent release" in fact.quarantine_reason


def test_a_rejected_batch_waits_again_and_is_quarantined_after_so_many_tries(tmp_path):
    assistant = Assistant(tmp_path, edit={"learning_rate": 1e-9}, cycle={"quarantine_after": 2})
    fact = assistant.tell("Anna Berg lives in Lisbon.")
    root = assistant.serving
    first = assistant.learn()
    assert not first.verdict.promote
    assert first.adapter.status is AdapterStatus.REJECTED
    assert assistant.store.fact(fact.id).status is FactStatus.PENDING
    assistant.learn()
    assert assistant.store.fact(fact.id).status is FactStatus.QUARANTINED
    assert assistant.serving == root
    assert assistant.ask(ANNA) == "Lisbon"


def test_statements_stay_in_the_prompt_and_are_never_put_into_a_batch(assistant):
    shy: dict[str, Any] = {"object": "Ole is shy.", "statement": "Ole is shy."}
    said = CandidateFact(subject="user", relation=STATEMENT, start=0, end=11, **shy)
    assistant.store.tell("Ole is shy.", [said])
    report = assistant.learn()
    assert not any("Ole" in transcript.expected for transcript in report.after.transcripts)
    (statement,) = assistant.store.facts(relation=STATEMENT)
    assert statement.status is FactStatus.PENDING
    assert statement in assistant.store.recall()


# -- refused at the door -------------------------------------------------------------------------------------


def test_nothing_pending_is_an_empty_batch_and_leaves_no_lease_behind(tmp_path):
    assistant = Assistant(tmp_path)
    for _ in range(2):
        with pytest.raises(EmptyBatch, match="ice-agent add"):
            assistant.learn()


def test_a_tenant_without_a_root_is_told_to_init(assistant):
    with pytest.raises(CycleError, match="ice-agent init"):
        cycle.run_cycle(assistant.archive.store("ann"), assistant.editor, assistant.config)


def test_two_cycles_at_once_are_refused(assistant):
    held: list[LeaseHeld] = []

    def meanwhile(stage, done, total, note):
        if stage == "measuring" and not held:
            with pytest.raises(LeaseHeld, match="already running") as refused:
                assistant.learn()
            held.append(refused.value)

    assert assistant.learn(meanwhile).verdict.promote
    assert len(held) == 1


def test_a_corrupt_serving_adapter_is_named_and_nothing_is_claimed(learned, report):
    weights = learned.config.adapters.dir / report.adapter.path / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    fact = learned.tell("Jan Bakker lives in Quito.")
    learned.restart()
    with pytest.raises(AdapterError, match=rf"{report.adapter.id}.*damaged.*restore it"):
        learned.learn()
    assert learned.store.fact(fact.id).status is FactStatus.PENDING
    assert len(learned.store.batches()) == 1


def test_an_adapter_made_for_another_base_is_refused(learned, report):
    path = learned.config.adapters.dir / report.adapter.path / "manifest.json"
    path.write_text(path.read_text().replace(learned.model.base_hash, "0" * 64), encoding="utf-8")
    learned.restart()
    with pytest.raises(AdapterError, match="made for another base"):
        learned.ask(ANNA)


# -- interrupted ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")], ids=["ctrl-c", "error"])
@pytest.mark.parametrize("stage", STAGES)
def test_whatever_is_raised_the_facts_wait_again_and_the_candidate_is_forgotten(assistant, stage, error):
    root = assistant.serving

    def interrupt(at, done, total, note):
        if at == stage and done == total:
            raise error

    with pytest.raises(error if isinstance(error, type) else OSError):
        assistant.learn(interrupt)
    (fact,) = assistant.store.facts()
    assert (fact.status, fact.attempts) == (FactStatus.PENDING, 0)
    assert assistant.serving == root
    assert not assistant.model.is_loaded(
        cycle._candidate_id(assistant.editor, root, [fact], assistant.config.edit, assistant.config)
    )
    assert assistant.store.verify().ok


def test_the_next_cycle_goes_on_after_an_interruption(assistant):
    def interrupt(stage, done, total, note):
        if stage == "measuring":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assistant.learn(interrupt)
    assert assistant.learn().verdict.promote


def test_a_disk_that_is_full_when_the_transcripts_are_kept_promotes_nothing(assistant):
    root = assistant.serving

    def fill(stage, done, total, note):
        if stage == "measuring" and done == total:
            # A directory where the file should go: writing it fails as it would on a full disk.
            batch = assistant.store.batches()[0]
            (assistant.config.adapters.dir / f"{batch.adapter_id}.transcripts.partial").mkdir()

    with pytest.raises(CycleError, match=r"transcripts.*nothing was promoted"):
        assistant.learn(fill)
    assert assistant.serving == root
    assert assistant.store.facts()[0].status is FactStatus.PENDING


def test_a_candidate_whose_parent_was_reverted_meanwhile_is_refused(learned):
    fact = learned.tell("Jan Bakker lives in Quito.")

    def revert(stage, done, total, note):
        if stage == "measuring" and done == total:
            learned.store.revert()

    with pytest.raises(StaleParent, match="wrong model"):
        learned.learn(revert)
    assert learned.store.fact(fact.id).status is FactStatus.PENDING
    assert learned.serving.parent_id is None


def test_a_worker_that_slept_past_its_lease_changes_nothing(tmp_path):
    assistant = Assistant(tmp_path, **HASTY, cycle={"lease_seconds": 900})
    fact = assistant.tell("Anna Berg lives in Lisbon.")

    def lose_the_lease(stage, done, total, note):
        if stage == "measuring" and done == total:
            _expire_lease(assistant)
            # The next cycle has the facts now.
            other = assistant.store.take_lease("another", 900)
            assert assistant.store.claim_batch(10, other) is not None

    with pytest.raises(StaleLease):
        assistant.learn(lose_the_lease)
    claimed = assistant.store.fact(fact.id)
    assert (claimed.status, claimed.quarantine_reason) == (FactStatus.CLAIMED, None)
    assert assistant.serving.parent_id is None


def test_what_was_raised_is_told_also_when_the_lease_ended_meanwhile(assistant):
    def fail(stage, done, total, note):
        _expire_lease(assistant)
        raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"):
        assistant.learn(fail)


def test_the_lease_of_a_process_that_was_killed_is_taken_over_at_once(assistant):
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    assistant.store.take_lease(f"{socket.gethostname()}/{killed.pid}", 600)
    with leasing.leased(assistant.store, 60) as lease:
        assert lease.owner == f"{socket.gethostname()}/{os.getpid()}"


OURSELVES = f"{socket.gethostname()}/{os.getpid()}"


@pytest.mark.parametrize("owner", ["elsewhere/1", pytest.param(OURSELVES, id="ourselves"), "no pid"])
def test_the_lease_of_a_process_that_may_be_alive_is_not(assistant, owner):
    assistant.store.take_lease(owner, 600)
    with pytest.raises(LeaseHeld), leasing.leased(assistant.store, 60):
        pass


def test_what_a_dead_cycle_claimed_waits_for_the_next_one(assistant):
    lease = assistant.store.take_lease("dead", 600)
    assistant.store.claim_batch(10, lease)
    assert plan.n_waiting(assistant.store) == 0, "its cycle may be running"
    _expire_lease(assistant)
    assert plan.n_waiting(assistant.store) == 1


def test_a_second_attempt_is_another_one(assistant):
    batch = assistant.store.claim_batch(10, assistant.store.take_lease("test", 600))
    again = tuple(replace(fact, attempts=2) for fact in batch.facts)
    first, third = (cycle._tried_again(assistant.config, each).edit.seed for each in (batch.facts, again))
    assert (first, third) == (assistant.config.edit.seed, assistant.config.edit.seed + 2)


def test_what_is_missed_stays_in_the_prompt_and_what_was_lost_goes_back_to_it(assistant):
    (new,) = assistant.store.facts()
    old = replace(new, id="f_old", subject="Jan Bakker", status=FactStatus.LEARNED)
    beside = replace(new, id="f_beside", status=FactStatus.LEARNED)
    safe = replace(new, id="f_safe", subject="Ole Berg", status=FactStatus.LEARNED)
    asked = [("edit_success", new.id, False), ("retention", old.id, False), ("retention", safe.id, True)]
    transcripts = [
        Transcript(kind=kind, fact_id=fact_id, prompt="?", expected="", before="", after="", is_hit=is_hit)
        for kind, fact_id, is_hit in asked
    ]
    edit: dict[str, Any] = {"beyond_context": [], "at_risk": []}
    set_aside, lost = cycle._missed([new], (old, beside, safe), edit, transcripts)
    assert list(set_aside) == [new.id]
    assert lost == (old.id, beside.id)


def _take_back(assistant, fact):
    gone = CandidateFact(
        subject=fact.subject,
        relation=fact.relation,
        object=fact.object,
        statement=fact.statement,
        start=0,
        end=4,
        retracts=True,
    )
    assistant.store.tell("Not so.", [gone])


def _expire_lease(assistant):
    """As if the worker had slept for an hour."""
    with assistant.store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE leases SET expires_at = 0")
