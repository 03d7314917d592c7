"""What an outside engine has of each tenant, beside what serves: on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.memory.conftest import Tenant

ENGINE = "vllm http://engine"


def by_tenant(publication):
    return publication.tenant or publication.name


def claimed(archive, engine=ENGINE):
    return archive.publications.claim(engine, by_tenant, 60)


def published(archive, engine=ENGINE):
    """Claim what is due and confirm it, as an engine that refuses nothing; says which adapter it has now."""
    claim = claimed(archive, engine)
    archive.publications.confirm(claim, name=by_tenant(claim), path=f"/there/{claim.wanted_path}")
    return claim.wanted_id


def events(store):
    return [(e.event, e.subject_id) for e in store.ledger() if "published" in e.event]


@pytest.fixture
def learned(archive):
    tenant = Tenant(archive.store("ann"))
    tenant.tell("Lyon")
    tenant.learn()
    return tenant


def test_what_serves_is_due_until_it_is_confirmed_and_then_stands_in_the_ledger(archive, learned):
    serving = learned.store.serving().id
    assert [p.adapter_id for p in archive.publications.every()] == [None]
    assert published(archive) == serving
    assert claimed(archive) is None
    now_there = archive.publications.of("ann")
    assert (now_there.adapter_id, now_there.name, now_there.engine) == (serving, "ann", ENGINE)
    assert now_there.is_current
    assert events(learned.store) == [("adapter.published", serving)]
    assert archive.verify().problems == ()


def test_a_root_is_the_base_and_nothing_is_published(archive):
    Tenant(archive.store("ann")).root()
    assert claimed(archive) is None
    assert archive.publications.of("ann") is None


def test_of_a_promotion_and_its_revert_only_what_serves_at_last_is_published(archive, learned):
    first = published(archive)
    learned.tell("Nice")
    learned.learn()
    learned.store.revert()
    assert claimed(archive) is None
    assert archive.publications.of("ann").adapter_id == first == learned.store.serving().id


def test_a_revert_publishes_the_ancestor_again(archive, learned):
    first = published(archive)
    learned.tell("Nice")
    second = learned.learn().id
    assert published(archive) == second
    learned.store.revert()
    assert published(archive) == first
    assert [about for _, about in events(learned.store)] == [first, second, first]


def test_a_revert_to_the_root_takes_it_away(archive, learned):
    had = published(archive)
    learned.store.revert()
    assert published(archive) is None
    assert archive.publications.every() == ()
    assert events(learned.store)[-1] == ("adapter.unpublished", had)
    assert archive.verify().problems == ()


def test_what_was_perhaps_loaded_when_its_process_died_is_taken_away_too(archive, learned):
    half_done = claimed(archive)
    learned.store.revert()
    left = claimed(archive)
    assert (left.wanted_id, left.name) == (None, "ann")
    archive.publications.confirm(left, name="ann", path="")
    assert archive.publications.every() == ()
    archive.publications.confirm(half_done, name="ann", path="/there/late")
    assert claimed(archive).wanted_id is None


def test_a_forgotten_tenant_is_taken_away_by_the_name_that_the_engine_knows(archive, learned):
    published(archive)
    learned.store.forget_everything()
    left = claimed(archive)
    assert (left.tenant, left.name, left.wanted_id) == (None, "ann", None)
    archive.publications.confirm(left, name="ann", path="")
    assert archive.publications.every() == ()
    assert archive.tenants() == ()
    assert archive.verify().problems == ()


def test_a_tenant_that_is_told_of_again_is_another_one(archive, learned):
    late = claimed(archive)
    learned.store.forget_everything()
    again = Tenant(archive.store("ann"))
    again.tell("Oslo")
    # Its adapter has the same id here, which none has that is not made up.
    again.learn()
    archive.publications.confirm(late, name="ann", path="/there/late")
    assert events(again.store) == []
    assert {claimed(archive).tenant, claimed(archive).tenant} == {"ann", None}


def test_forgetting_a_fact_publishes_the_last_clean_ancestor(archive, learned):
    first = published(archive)
    fact = learned.tell("tea", "drinks").fact
    learned.learn()
    published(archive)
    learned.store.forget([fact.id])
    assert published(archive) == first


def test_what_fails_is_due_again_later_and_given_up_and_tried_again(archive, learned):
    refused = claimed(archive)
    archive.publications.put_back(refused, problem="rank 64", seconds=60)
    assert claimed(archive) is None
    assert archive.publications.of("ann").problem == "rank 64"
    archive.publications.retry()
    again = claimed(archive)
    assert again.attempts == 1
    archive.publications.put_back(again, problem="rank 64", seconds=None)
    assert claimed(archive) is None
    assert archive.publications.of("ann").due_at is None


def test_attempts_are_counted_for_one_adapter_and_one_engine(archive, learned):
    for attempt in (1, 2):
        refused = claimed(archive)
        assert refused.attempts == attempt
        archive.publications.put_back(refused, problem="busy", seconds=0)
    archive.publications.put_back(claimed(archive), problem="busy", seconds=None)
    learned.tell("Nice")
    learned.learn()
    assert claimed(archive).attempts == 1
    assert claimed(archive, "sglang http://other").attempts == 1


def test_whoever_slept_past_a_claim_cannot_put_it_back(archive, learned):
    slow = archive.publications.claim(ENGINE, by_tenant, 0)
    quick = claimed(archive)
    archive.publications.put_back(slow, problem="too late", seconds=None)
    assert (quick.attempts, archive.publications.of("ann").problem) == (2, "")


def test_another_engine_has_nothing_yet(archive, learned):
    first = published(archive)
    assert claimed(archive) is None
    claimed(archive, "sglang http://other")
    assert archive.publications.of("ann").adapter_id is None
    archive.publications.retry()
    assert published(archive, "sglang http://other") == first


def test_what_an_engine_lost_when_it_was_restarted_is_brought_again(archive, learned):
    first = published(archive)
    path = f"/there/{first}"
    assert archive.publications.lost(ENGINE, {"ann": path, "other": "/else"}) == 0
    assert archive.publications.lost(ENGINE, {"ann": "/there/older"}) == 1
    assert not archive.publications.of("ann").is_current
    assert published(archive) == first


def test_many_at_once_never_claim_the_same_tenant(archive):
    for name in ("ann", "bob", "eve", "tom"):
        tenant = Tenant(archive.store(name))
        tenant.tell("Lyon")
        tenant.learn()
    with ThreadPoolExecutor(4) as pool:
        claims = [c for c in pool.map(lambda _: claimed(archive), range(8)) if c is not None]
    assert sorted(c.tenant for c in claims) == ["ann", "bob", "eve", "tom"]
