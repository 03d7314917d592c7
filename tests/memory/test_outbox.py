"""What hooks are to be told of: written with the change or not at all, claimed by one, and no words."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from memory import Archive, HookEvent, Rate, Scores, StaleParent, Verdict
from tests.memory.conftest import GOOD, Tenant

BAD = Verdict(promote=False, reasons=("edit success 0.500 (1/2) is under 0.9",))
MEASURED = Scores(edit_success=Rate(hits=1, asked=2), perplexity_ratio=1.25)


@pytest.fixture
def announcing(url, archive):
    """Opens the same database once more, announcing these events."""
    opened = []

    def announce(*events):
        opened.append(Archive.open(url, announced=events))
        return opened[-1]

    yield announce
    for each in opened:
        each.close()


@pytest.fixture
def ann(announcing):
    """A tenant of a database that announces everything, with a root."""
    tenant = Tenant(announcing(*HookEvent).store("ann"))
    tenant.root()
    return tenant


def bodies(archive):
    return [json.loads(delivery.body) for delivery in archive.outbox.every()]


def test_a_database_that_announces_nothing_has_an_empty_outbox(archive, tom):
    tom.tell("Lyon")
    tom.learn()
    assert archive.outbox.every() == ()


def test_a_promotion_is_told_with_its_batch_its_facts_and_what_was_measured(ann, archive):
    fact = ann.tell("Lyon").fact
    lease = ann.lease()
    candidate = ann.candidate(lease)
    ann.store.record_scores(candidate.id, MEASURED, Scores(), lease)
    ann.store.promote(candidate.id, GOOD, lease)
    (body,) = bodies(archive)
    assert body["event"] == "adapter.promoted"
    assert body["tenant"] == ann.store.identity()
    assert (body["adapter"], body["parent"], body["batch"]) == (candidate.id, "ann-root", candidate.batch_id)
    assert body["facts"] == [{"id": fact.id, "commitment": fact.commitment, "role": "fact"}]
    assert body["guards"] == {
        "edit_success": {"parent": None, "candidate": [1, 2]},
        "perplexity_ratio": {"parent": None, "candidate": 1.25},
    }
    (delivery,) = archive.outbox.every()
    assert (body["id"], delivery.attempts, delivery.problem) == (delivery.id, 0, "")
    assert delivery.body == json.dumps(body, sort_keys=True, separators=(",", ":"))


def test_a_rejection_is_told_with_its_reasons_and_what_it_set_aside_in_one_more(ann, archive):
    facts = [ann.tell("Lyon").fact, ann.likes("tea").fact]
    lease = ann.lease()
    candidate = ann.candidate(lease)
    ann.store.reject(candidate.id, BAD, lease, quarantine_after=1)
    rejected, quarantined = bodies(archive)
    assert (rejected["event"], rejected["adapter"], rejected["reasons"]) == (
        "adapter.rejected",
        candidate.id,
        list(BAD.reasons),
    )
    assert (quarantined["event"], quarantined["adapter"], quarantined["batch"]) == (
        "fact.quarantined",
        candidate.id,
        candidate.batch_id,
    )
    assert [fact["id"] for fact in quarantined["facts"]] == [fact.id for fact in facts]


def test_a_revert_over_two_steps_is_told_of_each_and_says_who_serves(ann, archive):
    made = []
    for value in ("Lyon", "Nice"):
        ann.tell(value)
        made.append(ann.learn().id)
    ann.store.revert(to="ann-root")
    told = [
        (body["adapter"], body["serving"]) for body in bodies(archive) if body["event"] == "adapter.reverted"
    ]
    assert told == [(made[1], "ann-root"), (made[0], "ann-root")]


def test_forgetting_is_told_by_commitments_and_with_the_adapters_that_go(ann, archive):
    fact = ann.tell("Lyon").fact
    made = ann.learn()
    ann.store.forget([fact.id])
    body = bodies(archive)[-1]
    assert (body["event"], body["adapters"], body["everything"]) == ("fact.forgotten", [made.id], False)
    assert body["facts"] == [{"id": fact.id, "commitment": fact.commitment}]


def test_of_a_tenant_that_is_forgotten_only_that_is_left_to_tell(ann, archive):
    ann.tell("Lyon")
    ann.learn()
    tenant_id = ann.store.identity()
    ann.store.forget_everything()
    (body,) = bodies(archive)
    assert (body["event"], body["tenant"], body["everything"]) == ("fact.forgotten", tenant_id, True)


def test_no_body_holds_a_word_of_what_was_said_nor_the_name_of_the_tenant(ann, archive):
    ann.tell("Lyon", statement="ann was never in Marseille")
    ann.store.quarantine(ann.likes("tea").fact.id, "it cannot be true together with: ann likes rum")
    ann.learn()
    ann.store.revert()
    ann.store.forget(subject="user")
    written = " ".join(delivery.body for delivery in archive.outbox.every()).replace("ann-", "")
    assert len(bodies(archive)) == 4
    for word in ("Lyon", "Marseille", "tea", "rum", "lives_in", "told you", '"user"', "ann"):
        assert word.casefold() not in written.casefold()


def test_only_what_was_asked_for_is_announced(announcing, archive):
    tenant = Tenant(announcing(HookEvent.REVERTED).store("ann"))
    tenant.tell("Lyon")
    tenant.learn()
    assert bodies(archive) == []
    tenant.store.revert()
    assert [body["event"] for body in bodies(archive)] == ["adapter.reverted"]


def test_a_change_that_is_refused_tells_nobody(ann, archive):
    ann.tell("Lyon")
    lease = ann.lease()
    candidate = ann.candidate(lease)
    other = ann.adapter("other", parent="ann-root")
    ann.store.register(other)
    ann.store.promote("other", GOOD)
    with pytest.raises(StaleParent):
        ann.store.promote(candidate.id, GOOD, lease)
    assert [body["adapter"] for body in bodies(archive)] == ["other"]


def test_the_ledger_is_whole_with_what_was_announced(ann, archive):
    ann.tell("Lyon")
    ann.learn()
    assert archive.verify().ok


# -- claims


@pytest.fixture
def outbox(ann, archive):
    """An outbox with three events."""
    for value in ("Lyon", "Nice", "Oslo"):
        ann.tell(value)
        ann.learn()
    return archive.outbox


def test_claims_go_to_the_oldest_first_and_count_as_attempts(outbox):
    claimed = [outbox.claim(60) for _ in range(3)]
    assert [c.id for c in claimed] == [d.id for d in outbox.every()]
    assert {c.attempts for c in claimed} == {1}
    assert outbox.claim(60) is None


def test_many_at_once_never_claim_the_same_event(outbox):
    with ThreadPoolExecutor(4) as pool:
        claimed = list(pool.map(lambda _: outbox.claim(60), range(12)))
    ids = [c.id for c in claimed if c is not None]
    assert sorted(ids) == sorted(d.id for d in outbox.every())


def test_what_somebody_claimed_and_never_told_is_due_again(outbox, execute):
    first = outbox.claim(600)
    for _ in range(2):
        outbox.claim(1200)
    assert outbox.claim(600) is None
    execute("UPDATE outbox SET due_at = due_at - 900")
    again = outbox.claim(600)
    assert outbox.claim(600) is None
    assert (again.id, again.attempts) == (first.id, 2)


def test_what_was_told_is_gone(outbox):
    outbox.drop(outbox.claim(60))
    assert len(outbox.every()) == 2


def test_what_was_put_back_is_due_later_and_keeps_who_was_told(outbox):
    claimed = outbox.claim(60)
    outbox.put_back(claimed, told=["b", "a"], problem="HTTP 500", seconds=60)
    kept = next(d for d in outbox.every() if d.id == claimed.id)
    assert (kept.told, kept.problem, kept.attempts) == (("a", "b"), "HTTP 500", 1)
    assert outbox.claim(60).id != claimed.id


def test_what_was_given_up_is_never_due_until_it_is_tried_again(outbox):
    for _ in range(3):
        outbox.put_back(outbox.claim(60), told=(), problem="HTTP 410", seconds=None)
    assert outbox.claim(60) is None
    assert {d.due_at for d in outbox.every()} == {None}
    assert outbox.retry() == 3
    assert outbox.claim(60).attempts == 1


def test_whoever_slept_past_a_claim_cannot_put_it_back(outbox):
    slow = outbox.claim(0)
    while (quick := outbox.claim(60)).id != slow.id:
        pass
    outbox.put_back(slow, told=(), problem="too late", seconds=None)
    kept = next(d for d in outbox.every() if d.id == quick.id)
    assert (kept.problem, kept.due_at is None) == ("", False)
