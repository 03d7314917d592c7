"""The dashboard without a browser: what pages say and do, to whom; what was said never becomes markup."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from ice_agent import collect
from ice_agent.server import dashboard
from ice_agent.server.app import create
from memory import AccessRole, CandidateFact, FactStatus
from tests import lived, serving
from tests.browsing import Browser, Tags
from tests.serving import LOCAL

PAGES = ("/", "/ui/facts", "/ui/adapters", "/ui/explain", "/ui/audit", "/ui/playground")


# -- what pages say ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_there_and_runs_no_script_that_is_not_a_file_of_ours(amara, path):
    answer = amara.get(path)
    assert answer.status_code == 200
    assert (
        "default-src 'none'; script-src 'self'; style-src 'self'" in answer.headers["content-security-policy"]
    )
    assert answer.headers["cache-control"] == "no-store"
    for tag, attrs in Tags(answer.text).tags:
        assert not [name for name in attrs if name.startswith("on") or name == "style"], (tag, attrs)
        assert tag != "style"
        assert tag != "script" or (attrs["src"] or "").startswith("/ui/static/")
        assert not [v for k, v in attrs.items() if k in ("src", "href", "action") and "//" in (v or "")], (
            tag,
            attrs,
        )


@pytest.mark.parametrize(
    ("path", "next_step"),
    [
        ("/", "ice-agent init"),
        ("/ui/facts", "ice-agent add"),
        ("/ui/adapters", "ice-agent init"),
        ("/ui/explain", "ice-agent add"),
        ("/ui/audit", "Nothing was signed yet"),
        ("/ui/playground", "Nothing that is asked here is heard"),
    ],
)
def test_an_empty_page_says_what_to_do_next(looking, path, next_step):
    assert next_step in looking("nobody").text(path)


def test_every_control_has_a_label_and_every_table_its_headings(amara, home):
    fact = lived.fact(home.archive.store("amara"), "Oslo")
    for path in (*PAGES, f"/ui/facts/{fact.id}", f"/ui/adapters/{home.archive.store('amara').serving().id}"):
        tags = Tags(amara.text(path)).tags
        labelled = {attrs.get("for") for tag, attrs in tags if tag == "label"}
        controls = [a for tag, a in tags if tag in ("input", "select") and a.get("type") != "hidden"]
        assert [a for a in controls if a.get("id") not in labelled] == []
        assert all("scope" in attrs for tag, attrs in tags if tag == "th")


def test_the_overview_says_what_serves_what_waits_and_how_cycles_ended(amara, home):
    store = home.archive.store("amara")
    page = amara.text("/")
    assert store.serving().id in page
    assert "every_minutes = 60" in page
    assert "Kept out of edits" in page
    assert "The profession of the user is beekeeper." in page or "beekeeper" in page
    assert "reverted" in page
    assert "cello" in page


def test_facts_are_found_by_words_and_by_state_and_say_where_they_are_served_from(amara):
    everything = amara.text("/ui/facts?state=all")
    assert all(word in everything for word in ("Nairobi", "Oslo", "Olga", "beekeeper", "cello"))
    assert "Nairobi" not in amara.text("/ui/facts")
    found = amara.text("/ui/facts?q=osl&state=learned")
    assert "Oslo" in found
    assert "Olga" not in found
    assert 'class="place weights"' in found
    assert 'class="place prompt"' in amara.text("/ui/facts?state=pending")
    assert "Nothing fits" in amara.text("/ui/facts?q=zebra")
    assert amara.get("/ui/facts?state=nonsense").status_code == 404


def test_an_answer_is_followed_back_to_the_sentence_and_on_to_how_to_undo_it(amara, home):
    store = home.archive.store("amara")
    page = amara.text("/ui/explain?q=Where+do+I+live%3F")
    assert "<mark>I moved to Oslo</mark>" in page
    assert "<mark>I moved to Oslo</mark>" in amara.text("/ui/explain?q=In+which+country+do+I+live%3F")
    assert "Answered now" in page
    assert lived.fact(store, "Oslo").adapter_id in page
    assert "adapter.promoted" in page
    assert f"/ui/facts/{lived.fact(store, 'Oslo').id}/retract" in page
    assert f"/ui/adapters/{store.adapter(lived.fact(store, 'Oslo').adapter_id).parent_id}/revert" in page
    assert "No fact answers that" in amara.text("/ui/explain?q=What+is+the+airspeed+of+a+swallow")


def test_the_story_says_which_adapter_serves_and_not_that_the_one_before_it_does(amara, home):
    serving = home.archive.store("amara").serving()
    fact = next(fact for fact in home.archive.store("amara").facts() if fact.adapter_id == serving.id)
    said = " ".join(re.sub(r"<[^>]+>", " ", amara.text(f"/ui/explain?q={fact.id}")).split())
    assert f"{serving.id} promoted serves now, edited from {serving.parent_id}" in said


def test_an_id_that_no_fact_has_is_said_to_be_none_or_forgotten(amara):
    page = amara.text("/ui/explain?q=f_0123456789abcdef")
    assert "No fact is called f_0123456789abcdef" in page
    assert "it was forgotten" in page
    assert "comes from the base model" not in page


def test_a_fact_has_its_history_with_both_clocks(amara, home):
    store = home.archive.store("amara")
    now, before = lived.fact(store, "Oslo"), lived.fact(store, "Nairobi")
    page = amara.text(f"/ui/facts/{now.id}")
    assert f'href="/ui/facts/{before.id}"' in page
    for moment in filter(None, (before.valid_from, before.valid_until, before.recorded_at)):
        assert moment.isoformat(timespec="seconds") in page


def test_adapters_are_drawn_scored_and_asked_what_they_still_answer(amara, home):
    store = home.archive.store("amara")
    page = amara.text("/ui/adapters")
    assert page.count('class="node ') == len(store.adapters())
    assert page.count("data-served") == 3
    assert "3 of 3 answered" in page
    one, other = store.adapters()[1:3]
    compared = amara.text(f"/ui/adapters/compare?a={one.id}&b={other.id}")
    assert "Olga" in compared
    shown = amara.text(f"/ui/adapters/{other.id}")
    assert "Your sister is called Olga." in shown
    assert ">held<" in shown


def test_what_was_kept_as_it_was_said_stands_in_the_place_of_a_value(looking, home):
    store = home.archive.store("verbatim")
    collect.hear(store, home.config.collect, "The bike is in the shed.", collect.as_it_is)
    page = looking("verbatim").text(f"/ui/facts/{store.facts()[0].id}")
    assert '<th scope="row"><bdi>The bike is in the shed.</bdi>' in page
    assert "<dt>value</dt><dd><bdi>The bike is in the shed." in page
    assert "Times are in " in page


def test_an_unknown_thing_is_a_page_that_says_so(amara):
    for path in (
        "/ui/facts/f_none",
        "/ui/adapters/a_none",
        "/ui/audit/notes/..%2Fledger.key",
        "/ui/audit/notes/x",
    ):
        answer = amara.get(path)
        assert answer.status_code == 404, path
        assert "Traceback" not in answer.text


def test_what_was_said_is_text_whatever_it_looks_like(home, looking):
    store = home.archive.store("mallory")
    for relation, value in (
        ("favourite colour", "<script>alert(1)</script>"),
        ("hobby", '"><img src=x onerror=alert(1)>'),
        ("sister", "gnirts \u202erekcah"),
        ("brother", "bell\x07"),
    ):
        said = f"My {relation} is {value}"
        told = CandidateFact(
            subject="user", relation=relation, object=value, statement=said, start=3, end=len(said)
        )
        store.tell(said, [told])
    mallory, facts = looking("mallory"), store.facts()
    assert len(facts) == 4
    pages = [*PAGES, "/ui/explain?q=What+is+my+sister+called%3F", *(f"/ui/facts/{f.id}" for f in facts)]
    pages += ["/ui/explain?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/ui/facts?q=%3Cimg+src=x%3E"]
    for path in pages:
        page = mallory.text(path)
        assert [a for tag, a in Tags(page).tags if tag == "script" and "src" not in a] == [], path
        assert [a for tag, a in Tags(page).tags if tag == "img"] == [], path
        assert not re.search("[\u202e\x07]", page), path
    assert "U+202E" in mallory.text("/ui/facts")


# -- who may look, and who may decide ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """With keys: amara's of each role, and somebody else's."""
    with serving.opened(tmp_path_factory.mktemp("keyed"), guards=lived.GUARDS) as parts:
        store = parts.archive.store("amara")
        lived.lived(store, parts.config)
        yield parts


@pytest.fixture(scope="module")
def keys(keyed):
    """Amara's, by their roles."""
    return {role: keyed.archive.store("amara").keys.issue(role, role)[1] for role in AccessRole}


@pytest.fixture(scope="module")
def keyed_app(keyed):
    return create(keyed)


@pytest.fixture
def browser(keyed_app):
    return Browser(keyed_app)


def test_without_a_key_there_is_only_the_way_to_sign_in(browser, keys):
    for path in (*PAGES, "/ui/audit/export", "/ui/forget?subject=user"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/ui/sign-in"), (
            path
        )
    assert browser.get("/ui/sign-in").status_code == 200
    refused = browser.http.get("/ui/facts", headers={"HX-Request": "true"})
    assert (refused.status_code, refused.headers["hx-redirect"]) == (401, "/ui/sign-in")
    at = {"HX-Request": "true", "HX-Current-URL": f"{LOCAL}/ui/facts?state=all"}
    led = browser.http.get("/ui/facts?q=osl", headers=at).headers["hx-redirect"]
    assert led == "/ui/sign-in?next=%2Fui%2Ffacts%3Fstate%3Dall"


def test_a_wrong_key_is_refused_and_a_right_one_is_kept_where_no_script_reads_it(browser, keys):
    assert "opens nothing" in browser.sign_in("k_0.wrong").text
    answer = browser.sign_in(keys[AccessRole.OPERATE])
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "Oslo" in browser.text("/ui/facts")
    browser.send("/ui/sign-out")
    assert browser.get("/ui/facts").status_code == 303


def test_signing_in_leads_to_a_page_of_ours_alone(browser, keys):
    browser.get("/ui/sign-in")
    for path in ("//evil.example/", "https://evil.example", "/\\evil.example", "/ui/../../x y"):
        answer = browser.send("/ui/sign-in", key=keys[AccessRole.OPERATE], next=path)
        assert answer.headers["location"] == "/", path
    assert (
        browser.send("/ui/sign-in", key=keys[AccessRole.OPERATE], next="/ui/audit").headers["location"]
        == "/ui/audit"
    )
    explained = "/ui/explain?q=Where+do+I+live%3F"
    asked_for = Browser(browser.http.app).get(explained).headers["location"]
    assert asked_for == "/ui/sign-in?" + urlencode({"next": explained})
    answer = browser.send("/ui/sign-in", key=keys[AccessRole.OPERATE], next=explained)
    assert answer.headers["location"] == explained


def test_an_auditor_sees_everything_and_is_offered_no_decision(browser, keyed, keys):
    browser.sign_in(keys[AccessRole.AUDIT])
    store = keyed.archive.store("amara")
    fact = lived.fact(store, "Oslo")
    for path in ("/", "/ui/facts", f"/ui/facts/{fact.id}", f"/ui/adapters/{store.serving().id}", "/ui/audit"):
        forms = [
            a.get("action", "")
            for tag, a in Tags(browser.text(path)).tags
            if tag == "form" and a.get("method") == "post"
        ]
        assert forms == ["/ui/sign-out"], path
        assert "/retract" not in browser.text(path)
    assert browser.get("/ui/playground").status_code == 403
    explained = browser.text("/ui/explain?q=Where+do+I+live%3F")
    assert ("I moved to Oslo" in explained, "Answered now" in explained) == (True, False)
    for path in _posts(fact.id, store.serving().id):
        assert browser.send(path).status_code == 403, path
    assert store.fact(fact.id).status is FactStatus.LEARNED


def test_a_key_for_conversation_gets_the_playground_alone(browser, keys):
    assert browser.sign_in(keys[AccessRole.CHAT]).headers["location"] == "/ui/playground"
    assert browser.get("/ui/playground").status_code == 200
    for path in PAGES[:-1]:
        refused = browser.get(path)
        assert refused.status_code == 403, path
        assert 'data-cancel href="/ui/playground"' in refused.text, path


def test_a_key_of_one_tenant_reads_nothing_of_another_on_any_page(browser, keyed):
    browser.sign_in(keyed.archive.store("tom").keys.issue("tom")[1])
    store = keyed.archive.store("amara")
    known = {fact.object for fact in store.facts(statuses=FactStatus)} | {a.id for a in store.adapters()}
    fact, adapter = lived.fact(store, "Oslo").id, store.serving().id
    paths = [path.format(fact_id=fact, adapter_id=adapter, act="retract", name="x") for path in _pages()]
    assert len(paths) > 12
    before = store.tip()
    for path in (
        *paths,
        f"/ui/adapters/compare?a={adapter}&b={adapter}",
        f"/ui/forget?fact={fact}",
        "/ui/audit/export",
    ):
        # What was asked for by its id may be named again: "no adapter 'a_...'".
        page = browser.get(path).text.replace(adapter, "")
        assert [word for word in known if re.search(rf"\b{word}\b", page)] == [], path
    for path in _posts(fact, adapter):
        assert browser.send(path, fact=fact).status_code in (403, 404, 409, 303), path
    assert store.tip() == before
    # Naming a tenant is for those who need no key.
    browser.http.cookies.set("ice_tenant", "amara")
    assert "Oslo" not in browser.text("/ui/facts?state=all")
    assert browser.send("/ui/tenant", tenant="amara").status_code == 403


def _pages():
    """Every page that there is."""
    return sorted(route.path for route in _routes("GET"))


def _posts(fact_id, adapter_id):
    """Every form that decides something."""
    named = {"fact_id": fact_id, "adapter_id": adapter_id, "act": "retract"}
    named |= {"verdict": "approve", "proposal_id": "p_none"}
    beside = {"/ui/sign-in", "/ui/sign-out", "/ui/playground"}
    return sorted(route.path.format(**named) for route in _routes("POST") if route.path not in beside)


def _routes(method):
    return [r for router in dashboard.ROUTERS for r in router.routes if method in r.methods]
