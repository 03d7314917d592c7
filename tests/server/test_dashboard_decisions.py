"""What is decided on the dashboard: what each page foresees, and what its form does."""

from __future__ import annotations

import re
import sqlite3

import pytest

from ice_agent import cycle
from ice_agent.errors import Overloaded
from ice_agent.server.app import create
from ice_agent.settings import Collect
from memory import AdapterStatus, FactStatus, ProposalStatus
from tests import lived, serving
from tests.browsing import Browser
from tests.serving import reciter
from tests.standin import Notebook


def test_a_form_that_no_page_of_ours_sent_changes_nothing(looking, another):
    store = another("I play the harp.")
    browser, path = looking(store.tenant), f"/ui/facts/{lived.fact(store, 'harp').id}/retract"
    before = store.tip()
    for answer in (
        browser.http.post(path),
        browser.http.post(path, data={"token": "guessed"}),
        browser.http.post(
            path,
            data={"token": browser.http.cookies["ice_token"]},
            headers={"Origin": "https://evil.example"},
        ),
        Browser(browser.http.app).http.post(path, data={"token": ""}),
    ):
        assert answer.status_code == 403
    assert store.tip() == before


def test_a_fact_is_set_aside_released_and_taken_back(looking, another):
    store = another("I play the harp.")
    fact, browser = lived.fact(store, "harp"), looking(store.tenant)
    path = f"/ui/facts/{fact.id}"
    assert "Keep it out of edits?" in browser.text(f"{path}/quarantine")
    for act, fields, status in (
        ("quarantine", {"reason": "hearsay"}, FactStatus.QUARANTINED),
        ("release", {}, FactStatus.PENDING),
        ("retract", {}, FactStatus.RETRACTED),
    ):
        answer = browser.send(f"{path}/{act}", **fields)
        assert answer.headers["location"] == f"{path}?done={act}", answer.text
        assert store.fact(fact.id).status is status
    assert browser.get(f"{path}/release").status_code == 409
    assert browser.send(f"{path}/retract").status_code == 409
    assert store.verify().ok


def test_all_that_was_set_aside_is_released_together_but_for_what_is_sensitive(looking, home):
    store, browser = home.archive.store("cautious"), looking("cautious")
    for text in ("I play the harp.", "I like jazz.", "I like tea.", "My religion is Jediism."):
        lived.hear(store, text)
    religion = next(fact for fact in store.facts() if fact.relation == "religion")
    for fact in (religion, *(lived.fact(store, name) for name in ("harp", "jazz", "tea"))):
        store.quarantine(fact.id, "hearsay")
    assert "/ui/release?q=&amp;state=quarantined" in browser.text("/ui/facts?state=quarantined")
    assert "/ui/release" not in browser.text("/ui/facts")
    shown = browser.text("/ui/release?q=likes&state=quarantined")
    assert "Let 2 facts be learned again?" in shown
    assert "harp" not in shown
    shown = browser.text("/ui/release")
    assert "Release 3 facts" in shown
    assert "1 fact of a sensitive relation stays kept out" in shown
    (ids,) = re.findall(r'name="facts" value="([^"]*)"', shown)
    store.release(lived.fact(store, "tea").id)
    answer = browser.send("/ui/release", facts=f"{ids} {religion.id}")
    assert answer.headers["location"] == "/ui/facts?state=pending&done=released"
    assert {f.object for f in store.facts(statuses=[FactStatus.PENDING])} == {"harp", "jazz", "tea"}
    assert store.fact(religion.id).status is FactStatus.QUARANTINED


@pytest.mark.slow
def test_what_is_taken_back_says_what_will_stand_again_and_is_denied_while_weights_say_it(looking, another):
    store = another()
    fact, browser = lived.fact(store, "Oslo"), looking(store.tenant)
    lease = store.take_lease("a cycle", 600)
    page = browser.text(f"/ui/facts/{fact.id}/retract")
    assert "stands again" in page
    assert "Nairobi" in page
    assert "goes on and does not take it out" in page
    store.drop_lease(lease)
    browser.send(f"/ui/facts/{fact.id}/retract")
    assert lived.fact(store, "Nairobi").is_current
    page = browser.text(f"/ui/facts/{fact.id}")
    assert "still in the weights" in page
    assert "weights, overridden" in page
    assert "served from nowhere" not in page
    olga = f"/ui/facts/{lived.fact(store, 'Olga').id}"
    assert "who names it is answered by the base model" in browser.text(f"{olga}/retract")
    browser.send(f"{olga}/retract")
    assert "until a cycle takes it out of them" in browser.text(olga)
    asked = browser.send("/ui/playground", question="Where is Olga?", one=store.serving().id).text
    assert f"the base answers, since {store.serving().id} would say what was taken back" in asked
    # What a revert would put out of the weights and is no longer true, no prompt serves then.
    page = browser.text(f"/ui/adapters/{store.serving().parent_id}/revert")
    assert page.count("no longer true: nothing serves it") == 2
    assert 'name="retract"' not in page


def test_forgetting_shows_what_would_go_and_leaves_a_receipt(looking, another, home):
    store = another("I play the harp.")
    fact, browser = lived.fact(store, "Oslo"), looking(store.tenant)
    page = browser.text(f"/ui/forget?fact={fact.id}")
    assert "I moved to Oslo." in page
    assert fact.adapter_id in page
    assert store.fact(fact.id)
    assert "A cycle is running" not in page
    lease = store.take_lease("a cycle", 600)
    assert "nothing is being taught yet, or any more" in browser.text("/")
    store.claim_batch(10, lease)
    assert "runs now" in browser.text("/")
    assert "forgetting ends it" in browser.text(f"/ui/forget?fact={fact.id}")
    held = browser.text(f"/ui/forget?fact={lived.fact(store, 'beekeeper').id}")
    assert f"{store.serving().id}</span> goes on to serve" in held
    assert "A cycle is running, and goes on" in held
    assert "The prompt serves what else" not in held
    store.drop_lease(lease)
    n_forgotten = reciter(home).n_forgotten
    assert browser.send("/ui/forget", fact=fact.id).headers["location"] == "/ui/audit?done=forgotten"
    assert fact.id not in {each.id for each in store.facts(statuses=FactStatus)}
    assert reciter(home).n_forgotten == n_forgotten + 1
    audit = browser.text("/ui/audit")
    (receipt,) = re.findall(r"/ui/audit/notes/([^\"]+\.receipt)", audit)
    assert fact.id in browser.text(f"/ui/audit/notes/{receipt}")
    assert "Oslo" not in browser.text("/ui/facts?state=all")
    # What a cycle taught stays as many facts, and its figures what was measured.
    overview = browser.text("/")
    assert "2 facts, 1 forgotten since" in overview
    assert fact.adapter_id in overview
    assert "1 fact forgotten since" in browser.text(f"/ui/adapters/{fact.adapter_id}")
    assert looking("amara").get(f"/ui/audit/notes/{receipt}").status_code == 404


def test_a_proposal_is_approved_or_declined(looking, home):
    store = home.archive.store("careful")
    for text in ("I like jazz.", "I like mud."):
        lived.hear(store, text, Collect(approval="manual"))
    jazz, mud = store.proposals()
    browser = looking("careful")
    assert "I like mud." in browser.text("/ui/facts")
    browser.send(f"/ui/proposals/{jazz.id}/approve")
    browser.send(f"/ui/proposals/{mud.id}/decline")
    assert [fact.object for fact in store.facts()] == ["jazz"]
    assert [p.status for p in store.proposals(*ProposalStatus)] == ["approved", "declined"]


def test_what_serves_is_reverted_and_promoted_again(looking, another):
    store = another()
    browser, serving_now = looking(store.tenant), store.serving()
    back = f"/ui/adapters/{serving_now.parent_id}/revert"
    page = browser.text(back)
    assert "Olga" in page
    assert 'name="retract"' in page
    assert browser.send(back, retract="yes").status_code == 303
    assert store.serving().id == serving_now.parent_id
    assert store.serving().promoted_at > serving_now.promoted_at
    assert lived.fact(store, "Olga").status is FactStatus.RETRACTED
    assert browser.get(back).status_code == 409
    path = f"/ui/adapters/{serving_now.id}/promote"
    page = browser.text(path)
    assert "Every guard held" in page
    assert "of its weights no longer true" in page
    assert "Olga" in page
    assert browser.send(path).status_code == 303
    assert store.serving().id == serving_now.id
    assert "in the weights no longer true, until the next cycle" in browser.text("/")


@pytest.mark.slow
def test_a_reverted_adapter_is_offered_only_where_what_it_was_measured_against_serves(looking, another, home):
    store = another("I play the harp.")
    (reverted,) = (each for each in store.adapters() if each.status is AdapterStatus.REVERTED)
    browser, path = looking(store.tenant), f"/ui/adapters/{reverted.id}/promote"
    assert browser.get(path).status_code == 200
    cycle.run_cycle(store, Notebook(), home.config)
    assert browser.get(path).status_code == 409


def test_a_candidate_that_waits_is_rejected(looking, home):
    config = home.config.model_copy(
        update={"cycle": home.config.cycle.model_copy(update={"approval": "manual"})}
    )
    store, editor = home.archive.store("patient"), Notebook()
    cycle.init(store, editor, config)
    lived.hear(store, "I live in Lima.")
    candidate = cycle.run_cycle(store, editor, config).adapter
    browser = looking("patient")
    assert f"/ui/adapters/{candidate.id}" in browser.text("/")
    assert browser.send(f"/ui/adapters/{candidate.id}/reject").status_code == 303
    assert store.adapter(candidate.id).status is AdapterStatus.REJECTED


def test_the_ledger_is_signed_checked_and_handed_out(looking, another, home):
    store = another()
    browser = looking(store.tenant)
    browser.send("/ui/audit/checkpoint")
    assert ".checkpoint" in browser.text("/ui/audit?event=checkpoint&about=f_0")
    checked = browser.text("/ui/audit/verify")
    assert "As it was recorded" in checked
    assert f"{store.tip().position} entries" in checked
    export = browser.text("/ui/audit/export")
    assert export.count('"kind": "fact"') == len(store.facts(statuses=FactStatus))
    assert "Oslo" not in browser.text("/ui/audit/export?ledger=true")


@pytest.mark.slow
def test_a_row_that_was_changed_behind_its_back_is_named(tmp_path):
    with serving.opened(tmp_path) as parts:
        lived.hear(parts.archive.store("default"), "I live in Oslo.")
        with sqlite3.connect(tmp_path / "ice.db") as database:
            database.execute("UPDATE facts SET statement = 'The user lives in Paris.'")
        database.close()
        page = Browser(create(parts)).text("/ui/audit/verify")
    assert "Something is not as it was recorded" in page


def test_one_question_goes_to_ice_the_base_two_revisions_and_the_base_with_a_prompt(amara, home):
    store = home.archive.store("amara")
    before, one, other = store.tip(), store.serving(), store.adapters()[0]
    page = amara.send("/ui/playground", question="Where do I live?", one=one.id, other=other.id).text
    assert page.count("It is so.") == 5
    asked = reciter(home).asked[-5:]
    assert [ask.adapter and ask.adapter.id for ask in asked] == [one.id, None, one.id, other.id, None]
    prompts = ["".join(map(chr, ask.prompt)) for ask in asked]
    assert "The instrument of the user is cello." in prompts[0]
    assert "and what its prompt recalls" in page
    assert prompts[1:4] == ["<user>Where do I live?"] * 3
    assert "The user lives in Oslo." in prompts[4]
    assert store.tip() == before
    reciter(home).refusal = Overloaded(3, 2)
    try:
        assert "try again in 2 s" in amara.send("/ui/playground", question="Why?", one=one.id).text
    finally:
        reciter(home).refusal = None


@pytest.mark.slow
def test_a_cycle_that_is_asked_for_is_begun_beside_the_server(tmp_path):
    with serving.opened(tmp_path, guards=lived.GUARDS) as parts:
        lived.lived(parts.archive.store("default"), parts.config)
        browser = Browser(create(parts))
        assert "Learn now" in browser.text("/")
        assert browser.send("/ui/cycles").headers["location"] == "/?done=cycle"
        (run,) = parts.runs.of("default")
        assert run.id.startswith("c_")
        # It is one cycle, however it ends, and none is begun while the server is being stopped.
        parts.runs.close()
        assert browser.send("/ui/cycles").status_code == 409
        assert len(parts.runs.of("default")) == 1
