"""The dashboard without a browser: what pages say and do, to whom; what was said never becomes markup."""

from __future__ import annotations

import re
import sqlite3
from html.parser import HTMLParser
from itertools import count
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient

from ice_agent import collect, cycle
from ice_agent.errors import Overloaded
from ice_agent.server import dashboard
from ice_agent.server.app import create
from ice_agent.settings import Collect
from memory import AccessRole, AdapterStatus, CandidateFact, FactStatus, ProposalStatus
from tests import lived, serving
from tests.serving import LOCAL, reciter
from tests.standin import Notebook

PAGES = ("/", "/ui/facts", "/ui/adapters", "/ui/explain", "/ui/audit", "/ui/playground")
NUMBERS = count(1)
GUARDS = {"min_probes": 1, "min_edit_success": 0.5}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Without keys: a tenant that has lived, and whoever is named."""
    with serving.opened(tmp_path_factory.mktemp("home"), guards=GUARDS) as parts:
        lived.lived(parts.archive.store("amara"), parts.config)
        yield parts


@pytest.fixture(scope="module")
def app(home):
    return create(home)


@pytest.fixture
def looking(app):
    """A browser that looks at one tenant's memory."""

    def at(tenant):
        browser = Browser(app)
        browser.get("/")
        browser.send("/ui/tenant", tenant=tenant)
        return browser

    return at


@pytest.fixture
def amara(looking):
    return looking("amara")


@pytest.fixture
def another(home):
    """A tenant of one's own, that has lived, for a test that changes something."""

    def made(*told):
        store = home.archive.store(f"tenant {next(NUMBERS)}")
        lived.lived(store, home.config, told)
        return store

    return made


class Browser:
    """Follows no link by itself, keeps cookies, and sends forms as pages of ours do."""

    def __init__(self, app) -> None:
        self.http = TestClient(app, LOCAL, raise_server_exceptions=False, follow_redirects=False)

    def get(self, path):
        return self.http.get(path)

    def text(self, path):
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def send(self, path, **fields):
        return self.http.post(path, data={"token": self.http.cookies.get("ice_token"), **fields})

    def sign_in(self, key):
        self.get("/ui/sign-in")
        return self.send("/ui/sign-in", key=key)


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


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
    with serving.opened(tmp_path_factory.mktemp("keyed"), guards=GUARDS) as parts:
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


# -- decisions -----------------------------------------------------------------------------------------------


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
    # What a revert would put out of the weights and is no longer true, no prompt serves then.
    page = browser.text(f"/ui/adapters/{store.serving().parent_id}/revert")
    assert page.count("no longer true: nothing serves it") == 2
    assert 'name="retract"' not in page


def test_forgetting_shows_what_would_go_and_leaves_a_receipt(looking, another, home):
    store = another()
    fact, browser = lived.fact(store, "Oslo"), looking(store.tenant)
    page = browser.text(f"/ui/forget?fact={fact.id}")
    assert "I moved to Oslo." in page
    assert fact.adapter_id in page
    assert store.fact(fact.id)
    assert "A cycle is running" not in page
    lease = store.take_lease("a cycle", 600)
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


def test_one_question_goes_to_the_base_two_revisions_and_the_base_with_a_prompt(amara, home):
    store = home.archive.store("amara")
    before, one, other = store.tip(), store.serving(), store.adapters()[0]
    page = amara.send("/ui/playground", question="Where do I live?", one=one.id, other=other.id).text
    assert page.count("It is so.") == 4
    asked = reciter(home).asked[-4:]
    assert [ask.adapter and ask.adapter.id for ask in asked] == [None, one.id, other.id, None]
    prompts = ["".join(map(chr, ask.prompt)) for ask in asked]
    assert prompts[:3] == ["<user>Where do I live?"] * 3
    assert "The user lives in Oslo." in prompts[3]
    assert store.tip() == before
    reciter(home).refusal = Overloaded(3, 2)
    try:
        assert "try again in 2 s" in amara.send("/ui/playground", question="Why?", one=one.id).text
    finally:
        reciter(home).refusal = None


@pytest.mark.slow
def test_a_cycle_that_is_asked_for_is_begun_beside_the_server(tmp_path):
    with serving.opened(tmp_path, guards=GUARDS) as parts:
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
