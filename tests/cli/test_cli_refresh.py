"""The verb that reads sources: what it prints, and with which exit code it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from memory import Archive

SETTINGS = """
[[refresh.sources]]
name = "atlas"
kind = "csv"
location = "atlas.csv"
tenant = "world"
subject = "{country}"
relation = "capital"
object = "{capital}"
every_minutes = 60

[[refresh.sources]]
name = "lakes"
kind = "jsonl"
location = "lakes.jsonl"
tenant = "world"
subject = "{lake}"
relation = "country"
object = "{country}"
"""


@pytest.fixture
def world(home, store):
    (home / "config.toml").write_text(SETTINGS)
    write(home, "France,Paris", "Peru,Lima", "Chad,")
    (home / "lakes.jsonl").write_text('{"lake": "Titicaca", "country": "Peru"}\n')
    with Archive.open("sqlite:///ice_agent.db") as archive:
        archive.store("world").declare(shared=True)
        yield archive.store("world")


def write(home, *rows):
    (home / "atlas.csv").write_text("\n".join(["country,capital", *rows]) + "\n")


def test_all_sources_are_read_or_those_that_are_named(ice, said, world):
    code, out, _ = ice("refresh", "atlas")
    assert code == 0
    assert "taken over  atlas (of world)" in out
    assert "4 learned" not in out
    assert "facts     2 learned" in out
    assert "skipped   line 4: its field 'capital' is empty" in out
    reports = said("refresh")["sources"]
    assert [(report["source"], report["outcome"]) for report in reports] == [
        ("atlas", "unchanged"), ("lakes", "taken over"),
    ]  # fmt: skip
    assert reports[0]["problems"] == [
        {"place": "line 4", "reason": "its field 'capital' is empty", "key": ["chad", "capital"]}
    ]


def test_a_source_that_fails_ends_in_one_and_one_that_is_held_in_three(ice, world, home):
    ice("refresh")
    write(home, "France,Lyon", "Peru,Cusco")
    code, out, _ = ice("refresh")
    assert code == 3
    assert "because   2 of the 2 rows that it told before would change (max_change = 0.2)" in out
    assert "says      line 2: The capital of France is Lyon." in out
    assert "`ice-agent refresh --approve atlas`, or `ice-agent refresh --discard atlas`" in out
    (home / "lakes.jsonl").unlink()
    code, out, _ = ice("refresh")
    assert code == 1
    assert "cannot read lakes.jsonl: No such file or directory" in out


def test_what_is_held_is_approved_or_discarded_by_name(ice, said, world, home):
    ice("refresh")
    write(home, "France,Lyon", "Peru,Cusco")
    ice("refresh", "atlas")
    assert said("refresh", "--discard", "atlas")["sources"][0]["outcome"] == "discarded"
    write(home, "France,Nice", "Peru,Cusco")
    ice("refresh", "atlas")
    code, out, _ = ice("refresh", "--approve", "atlas")
    assert (code, "2 learned, 2 superseded" in out) == (0, True)
    assert {fact.object for fact in world.facts(relation="capital")} == {"Nice", "Cusco"}
    code, _, err = ice("refresh", "--approve", "atlas")
    assert (code, "nothing of 'atlas' waits for approval" in err) == (1, True)
    code, _, err = ice("refresh", "lakes", "--approve", "atlas")
    assert (code, "name the sources they are about" in err) == (2, True)


def test_a_dry_run_shows_and_keeps_nothing(ice, world):
    code, out, _ = ice("refresh", "--dry-run")
    assert code == 0
    assert "would be taken over  atlas" in out
    assert "says      line 3: The capital of Peru is Lima." in out
    assert world.facts() == ()


def test_without_sources_the_next_step_is_said(ice, store):
    code, _, err = ice("refresh")
    assert (code, "write [[refresh.sources]] in config.toml" in err) == (1, True)


def test_status_says_when_sources_were_read_and_will_be(ice, said, world, home):
    assert "source    atlas (of world): last never, next 2" in ice("status")[1]
    ice("refresh", "atlas")
    atlas, lakes = said("status")["sources"]
    assert atlas["next_run"] > atlas["last_run"]
    assert (lakes["last_run"], lakes["next_run"]) == (None, None)
    (home / "atlas.csv").unlink()
    ice("refresh", "atlas")
    assert "No such file" in ice("status")[1]


# A refresh that dies before its n-th statement that writes, or commit.
DYING = """
import os, signal, sys
import sqlalchemy as sa
from ice_agent.cli import run_verb

left, writes = int(sys.argv[1]), ("INSERT", "UPDATE", "DELETE", "COMMIT")

def count(sql):
    global left
    left -= sql.startswith(writes)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, "before_cursor_execute", lambda connection, cursor, sql, *_: count(sql))
sa.event.listen(sa.Engine, "commit", lambda connection: count("COMMIT"))
run_verb(sys.argv[2:])
"""


@pytest.mark.slow
def test_a_refresh_that_is_killed_at_any_moment_is_completed_by_the_next(world, home):
    rows = [f"Land {n},Town {n}" for n in range(1000)]
    write(home, *rows)
    run = ["refresh", "atlas", "--json"]
    kept = []
    # Two statements for each row, 200 rows a transaction: before anything, in the second, in the fourth.
    for moment in (1, 500, 700):
        killed = subprocess.run([sys.executable, "-c", DYING, str(moment), *run], check=False)
        assert killed.returncode == -signal.SIGKILL
        kept.append(len(world.facts()))
        assert world.verify().ok
    assert kept == [0, 200, 400]
    done = subprocess.run(
        [sys.executable, "-m", "ice_agent", *run], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["sources"][0]["n_new"] == 600
    assert len(world.facts()) == len(world.utterances()) == 1000
    assert world.verify().ok
