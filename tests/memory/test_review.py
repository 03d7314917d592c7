"""What waits for a person: served to nobody, ends nothing, until somebody decides."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from memory import CandidateFact, ProposalStatus, SharedLineage, UnknownProposal, WrongState


def candidate(value="Nice", **said):
    made: dict[str, Any] = {"statement": f"The user lives in {value}.", "start": 0, "end": 14}
    return CandidateFact(subject="user", relation="lives_in", object=value, **(made | said))


@pytest.fixture
def propose(tom):
    def made(value="Nice", **said):
        (proposal,) = tom.store.tell("I told you so.", proposed=[candidate(value, **said)]).proposed
        return proposal

    return made


def test_a_proposal_is_served_to_nobody_and_ends_nothing(tom, propose):
    tom.tell("Lyon")
    proposal = propose()
    assert (tom.standing, tom.prompt) == (["Lyon"], ["Lyon"])
    assert tom.store.proposals() == (proposal,)
    assert tom.store.verify().ok


def test_an_approved_proposal_is_what_it_would_have_been_without_review(tom, propose):
    lyon = tom.tell("Lyon").fact
    proposal = propose(valid_from=date(2026, 3, 1), confidence=0.7)
    done = tom.store.approve(proposal.id)
    assert [fact.id for fact in done.superseded] == [lyon.id]
    assert (tom.standing, done.fact.confidence, done.fact.valid_from.date()) == (
        ["Nice"],
        0.7,
        date(2026, 3, 1),
    )
    assert tom.store.proposals() == ()
    (kept,) = tom.store.proposals(ProposalStatus.APPROVED)
    assert (kept.fact_id, kept.candidate) == (done.fact.id, proposal.candidate)
    assert tom.store.verify().ok


def test_a_retraction_waits_for_approval_too(tom, propose):
    tom.tell("Lyon")
    proposal = propose("Lyon", retracts=True)
    assert tom.standing == ["Lyon"]
    assert [fact.object for fact in tom.store.approve(proposal.id).retracted] == ["Lyon"]
    assert tom.standing == []


def test_a_declined_proposal_never_becomes_a_fact(tom, propose):
    proposal = propose()
    assert tom.store.decline(proposal.id).status is ProposalStatus.DECLINED
    assert (tom.standing, tom.store.proposals()) == ([], ())


@pytest.mark.parametrize("decide", ["approve", "decline"])
def test_a_decision_is_taken_once(tom, propose, decide):
    proposal = propose()
    getattr(tom.store, decide)(proposal.id)
    for again in (tom.store.approve, tom.store.decline):
        with pytest.raises(WrongState, match="already"):
            again(proposal.id)


def test_another_tenants_proposals_are_unknown(propose, tenant_named):
    proposal = propose()
    with pytest.raises(UnknownProposal, match="ice-agent review"):
        tenant_named("eve").store.approve(proposal.id)


def test_a_shared_lineage_takes_no_proposal_about_its_user(tenant_named):
    news = tenant_named("news").store
    news.declare(shared=True)
    with pytest.raises(SharedLineage):
        news.tell("I told you so.", proposed=[candidate()])


def test_a_proposal_that_was_changed_is_found(tom, propose, execute):
    propose()
    execute("UPDATE proposals SET candidate = replace(candidate, 'Nice', 'Oslo')")
    assert any("(fact.proposed) committed to" in problem for problem in tom.store.verify().problems)


def test_a_proposal_keeps_what_else_its_subject_goes_by(tom, propose):
    proposal = propose(aliases=("the speaker",))
    assert tom.store.proposals() == (proposal,)
    assert proposal.candidate.aliases == ("the speaker",)
    assert tom.store.verify().ok
