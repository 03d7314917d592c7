"""The dashboard in Chromium: what scripts, styles and keys make of the pages. Skipped where there is none."""

from __future__ import annotations

import re
import shutil
from threading import Thread

import pytest

from ice_agent.server.listening import Listener
from memory import CandidateFact, FactStatus
from tests import lived, serving

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
expect = playwright.expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = (
    "/", "/ui/facts?state=all", "/ui/adapters", "/ui/explain?q=Where+do+I+live%3F", "/ui/audit",
    "/ui/playground",
)  # fmt: skip
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
WAIT = 120_000
LOUD = ("error", "warning")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# The contrast of every text with what is painted under it, as WCAG 2 counts it: those that have too little.
TOO_FAINT = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const painted = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, under) => under.map((v, i) => v + (top[i] - v) * top[3] / 255);
  const linear = (v) => v <= 0.04045 * 255 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (node) => node
    ? over(painted(getComputedStyle(node).backgroundColor), ground(node.parentElement))
    : [255, 255, 255];
  const isText = (node) => [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    if (!isText(node) || !node.checkVisibility() || node.closest(".away, svg")) continue;
    const under = ground(node), ink = over(painted(getComputedStyle(node).color), under);
    const [more, less] = [light(ink), light(under)].sort((x, y) => y - x);
    const contrast = (more + 0.05) / (less + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${node.className} ${node.textContent.trim()}`);
  }
  return faint;
}"""


# Tables of which a part is out of sight; the lineage alone is as wide as it is long.
CUT = """() => [...document.querySelectorAll(".scrolls:not(.lineage)")]
  .filter((node) => node.scrollWidth > node.clientWidth)
  .map((node) => `${node.scrollWidth} > ${node.clientWidth} ${node.textContent.trim().slice(0, 40)}`)"""


@pytest.fixture(scope="module")
def chromium():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    expect.set_options(timeout=WAIT)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A tenant that has lived, at a port of its own."""
    settings = {"server": {"port": 0}, "agent": {"tenant": "amara"}, "guards": {"min_probes": 1}}
    with serving.opened(tmp_path_factory.mktemp("served"), **settings) as parts, Listener(parts) as listener:
        lived.lived(parts.archive.store("amara"), parts.config)
        thread = Thread(target=listener.run, daemon=True)
        thread.start()
        yield parts, listener.url
        listener.stop()
        thread.join()


@pytest.fixture
def opened(chromium, served):
    """A page in a browser of its own, and all that the browser complained of."""
    contexts = []

    def made(viewport=None, theme="light", scripts=True):
        context = chromium.new_context(
            base_url=served[1], viewport=viewport or DESK, color_scheme=theme, java_script_enabled=scripts
        )
        # A busy machine may take its time.
        context.set_default_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        complaints: list[str] = []
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page, complaints

    yield made
    for context in contexts:
        context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_every_page_fits_and_can_be_read_and_nothing_is_complained_of(opened, served, viewport, theme):
    page, complaints = opened(viewport, theme)
    store = served[0].archive.store("amara")
    fact, adapter = lived.fact(store, "Oslo"), store.serving()
    paths = [
        *PAGES,
        f"/ui/facts/{fact.id}",
        f"/ui/adapters/{adapter.id}?kind=all",
        f"/ui/adapters/compare?a={adapter.id}&b={adapter.parent_id}",
        "/ui/release",
        f"/ui/forget?fact={fact.id}",
        "/ui/sign-in",
    ]
    for path in (*paths, "/ui/sign-in"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
        assert page.evaluate(CUT) == [], path
        assert page.evaluate(TOO_FAINT) == [], path
    assert complaints == []


def test_a_decision_is_asked_for_in_a_dialog_that_keys_close(opened, served):
    page, complaints = opened()
    store = served[0].archive.store("amara")
    fact = lived.fact(store, "cello")
    page.goto(f"/ui/facts/{fact.id}")
    dialog = page.get_by_role("dialog")
    for leave in (lambda: page.keyboard.press("Escape"), lambda: dialog.get_by_text("Cancel").click()):
        page.get_by_role("link", name="Retract").click()
        dialog.wait_for()
        assert dialog.evaluate("dialog => dialog.contains(document.activeElement)")
        leave()
        dialog.wait_for(state="hidden")
    assert store.fact(fact.id).status is FactStatus.PENDING
    page.get_by_role("link", name="Quarantine").click()
    dialog.get_by_label("Why").fill("hearsay")
    dialog.get_by_role("button", name="Quarantine").click()
    page.get_by_text("It is kept out of edits now").wait_for()
    assert store.fact(fact.id).quarantine_reason == "hearsay"
    page.get_by_role("link", name="Release").click()
    dialog.get_by_role("button", name="Release").click()
    page.get_by_text("It waits for the next cycle again.").wait_for()
    assert store.fact(fact.id).status is FactStatus.PENDING
    assert complaints == []


def test_facts_are_found_while_words_are_typed(opened):
    page, complaints = opened()
    page.goto("/ui/facts")
    page.get_by_label("Words").press_sequentially("oslo")
    expect(page.get_by_role("status")).to_have_text("1 fact")
    expect(page.locator("table.facts tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("q=oslo"))
    page.get_by_label("State").select_option("superseded")
    page.get_by_text("Nothing fits").wait_for()
    assert complaints == []


def test_what_looks_like_markup_is_shown_as_it_was_said(opened, served):
    page, complaints = opened()
    said = "I like <img src=x onerror=alert(1)>"
    told = CandidateFact(
        subject="user", relation="likes", object=said[7:], statement=said, start=0, end=len(said)
    )
    served[0].archive.store("amara").tell(said, [told])
    page.goto("/ui/facts?q=onerror")
    assert said in page.locator("table.facts tbody").inner_text()
    assert complaints == []


def test_keys_alone_lead_past_the_top_into_the_page(opened):
    page, _ = opened()
    page.goto("/ui/facts")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Words")).to_be_focused()


def test_scores_are_drawn_from_their_table(opened):
    page, complaints = opened()
    page.goto("/ui/adapters")
    page.locator(".chart canvas").wait_for()
    assert "edit success" in page.locator(".u-legend").inner_text()
    assert complaints == []


def test_the_theme_that_is_chosen_stays(opened):
    page, complaints = opened(theme="light")
    page.goto("/ui/adapters")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != before
    page.goto("/")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == before
    assert complaints == []


def test_the_playground_answers_in_place(opened):
    page, complaints = opened()
    page.goto("/ui/playground")
    page.get_by_label("Question").fill("Where do I live?")
    page.get_by_role("button", name="Ask all").click()
    page.locator(".answer").nth(4).wait_for()
    assert page.locator(".answer").all_inner_texts() == ["It is so."] * 5
    assert page.get_by_label("Question").input_value() == "Where do I live?"
    assert complaints == []


def test_what_is_refused_is_said_on_the_page(opened, served):
    page, _ = opened()
    page.goto("/ui/playground")
    page.get_by_label("Question").fill("Where do I live?")
    # As where the server was set up anew meanwhile: the form is of another visit.
    page.context.clear_cookies()
    page.get_by_role("button", name="Ask all").click()
    assert "load the page again" in page.get_by_role("alert").inner_text()


def test_everything_can_be_done_without_scripts(opened, served):
    page, _ = opened(scripts=False)
    store = served[0].archive.store("amara")
    lived.hear(store, "I play the harp.")
    harp = lived.fact(store, "harp")
    page.goto("/")
    page.get_by_label("Why does it say that?").fill("Where do I live?")
    page.get_by_role("button", name="Explain").click()
    assert page.locator("mark").first.inner_text() == "I moved to Oslo"
    page.goto(f"/ui/facts/{harp.id}")
    page.get_by_role("link", name="Retract").click()
    page.get_by_role("button", name="Retract").click()
    assert "It was taken back." in page.get_by_role("status").inner_text()
    assert store.fact(harp.id).status is FactStatus.RETRACTED
    page.goto("/ui/adapters")
    assert page.locator("#scores tbody tr").count() == 3
    assert not page.locator(".chart").is_visible()
    page.goto("/ui/audit")
    page.get_by_role("link", name="Check now").click()
    assert "As it was recorded." in page.get_by_role("status").inner_text()
    page.goto("/ui/playground")
    page.get_by_label("Question").fill("Where do I live?")
    page.get_by_role("button", name="Ask all").click()
    assert page.locator(".answer").count() == 5
