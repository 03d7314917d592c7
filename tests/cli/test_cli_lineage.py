"""The verbs about a tenant's adapters as a whole, as far as they need no model."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from ice_agent.manifest import CONFIG, MANIFEST, file_hash
from memory import Verdict, now
from tests.cli.conftest import adapter, write_files

GOOD = Verdict(promote=True)


@pytest.fixture
def two(store, home):
    """A year ago root_1 and a_1 served and a_2 was refused; a_3 serves."""
    for number, parent in ((1, "root_1"), (2, "a_1"), (3, "a_1")):
        made = adapter(f"a_{number}", parent_id=parent, batch_id=None)
        store.register(replace(made, created_at=now() - timedelta(days=365)))
        write_files(home, made.id)
        if number == 2:
            store.reject(made.id, Verdict(promote=False, reasons=("poor",)))
        else:
            store.promote(made.id, GOOD)


def test_gc_deletes_what_was_refused_long_ago_and_says_so(ice, said, two, home, store):
    before = sorted(path.name for path in (home / "adapters").iterdir())
    shown = said("gc", "--dry-run")["collected"]
    assert [a["id"] for a in shown["adapters"]] == ["a_2"]
    assert shown["freed_bytes"] > 0
    assert sorted(path.name for path in (home / "adapters").iterdir()) == before
    assert store.adapter("a_2").collected_at is None
    out = ice("gc")[1]
    assert "deleted a_2, rejected" in out
    assert {p.name for p in (home / "adapters").iterdir()} == {"root_1", "a_1", "a_3"}
    assert "files gone" in ice("adapters")[1]
    assert ice("verify")[0] == 0
    assert said("gc")["collected"]["adapters"] == []


def test_of_what_served_the_manifest_stays_and_revert_says_how_to_get_it_back(
    ice, two, home, store, monkeypatch
):
    monkeypatch.setenv("ICE_ADAPTERS__KEEP", "1")
    monkeypatch.setenv("ICE_ADAPTERS__KEEP_DAYS", "0")
    store.register(adapter("a_4", parent_id="a_3", batch_id=None))
    write_files(home, "a_4")
    store.promote("a_4", GOOD)
    assert "deleted a_1, retired" in ice("gc")[1]
    # What serves was edited from a_3: a replay of it starts there.
    left = {path.name for path in (home / "adapters").iterdir()}
    assert left == {"root_1", "a_1.manifest.json", "a_3", "a_4"}
    code, _, err = ice("revert", "--to", "a_1")
    assert code == 1
    assert "replay a_1 --restore" in err
    assert store.serving().id == "a_4"
    assert ice("revert", "--to", "root_1")[0] == 0


def test_gc_clears_what_killed_cycles_left_once_nobody_can_be_writing_it(ice, said, two, home, store):
    folder = home / "adapters"
    for name in (
        ".partial-a_9-x",
        ".training-a_9",
        ".training-a_fresh",
        "a_9.work",
        "a_unknown",
        "a_fresh.work",
    ):
        (folder / name).mkdir()
    write_files(home, "a_ours")
    for name in ("a_unknown", "a_ours"):
        tenant = {"tenant": store.identity() if name == "a_ours" else "somebody else"}
        told = json.loads((folder / "a_ours" / MANIFEST).read_text()) | tenant
        for file in (folder / "a_ours").iterdir():
            (folder / name / file.name).write_bytes(file.read_bytes())
        (folder / name / MANIFEST).write_text(json.dumps(told))
    for path in folder.rglob("*"):
        if "fresh" not in path.name:
            os.utime(path, (0, 0))
    # Whatever its age: that one is saved.
    (folder / ".training-a_2").mkdir()
    went = [".partial-a_9-x", ".training-a_2", ".training-a_9", "a_9.work", "a_ours"]
    assert sorted(said("gc")["collected"]["strays"]) == went
    assert (folder / ".training-a_fresh").exists()
    assert (folder / "a_unknown").exists()
    assert (folder / "a_fresh.work").exists()


def test_a_revert_to_another_base_says_what_to_set(ice, said, store, home):
    made = adapter("a_1", parent_id="root_1", batch_id=None)
    store.register(replace(made, base_hash="c" * 64))
    store.promote("a_1", GOOD)
    (home / "adapters" / "root_1" / CONFIG).write_text('{"base_model_name_or_path": "older/model"}')
    manifest = home / "adapters" / "root_1" / MANIFEST
    told = json.loads(manifest.read_text())
    told["files"][CONFIG] = file_hash(home / "adapters" / "root_1" / CONFIG)
    manifest.write_text(json.dumps(told))
    assert 'set model.name = "older/model"' in ice("revert")[1]


def test_diff_shows_the_facts_and_the_kept_answers_that_differ(ice, said, promoted):
    found = said("diff", "root_1", "a_1")
    assert (found["only_first"], [fact["object"] for fact in found["only_second"]]) == ([], ["Lisbon"])
    (answer,) = found["answers"]
    assert (answer["first"], answer["second"]) == ("I don't know.", "You live in Lisbon.")
    out = ice("diff", "root_1", "a_1")[1]
    assert "only in a_1: 1 fact" in out
    assert "Where do I live?" in out
