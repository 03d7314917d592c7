"""Every verb as a user types it: what it prints for people, as JSON, and when something is wrong.

Most run in this process, on a store in a temporary folder; those that need a model get a tiny random one.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from ice_agent import cli, screen
from ice_agent.manifest import MANIFEST
from memory import Archive, FactStatus, Rate, SuiteScores, Verdict
from tests.cli.conftest import GOOD, POOR, register

PROJECT = Path(__file__).parents[2]

PATIENCE = 240.0
"""Seconds that no process here takes, however busy the machine."""

VERBS = (
    "init", "chat", "add", "search", "facts", "retract", "review", "approve", "decline", "pending", "refresh",
    "plan", "cycle", "run", "worker", "adapters", "show", "compare", "promote", "reject", "revert",
    "quarantine", "release", "rebuild", "diff", "replay", "gc", "explain", "verify", "checkpoint", "prove",
    "consistency", "export", "forget", "allow", "keys", "status", "metrics", "hooks", "publish", "serve",
    "bench",
)  # fmt: skip


def test_the_verbs_are_those_of_the_domain(ice):
    assert set(cli.verbs()) == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_its_options(ice, verb):
    code, out, _ = ice(verb, "--help")
    assert code == 0
    undocumented = [line for line in out.splitlines() if re.match(r"\s+(-\w, )?--[\w-]+( \S+)?\s*$", line)]
    assert undocumented == []


def test_without_a_verb_the_help_is_shown(ice):
    code, out, _ = ice()
    assert code == 0
    assert "explain" in out


def test_the_version_is_printed(ice):
    assert ice("--version")[1].startswith("ice-agent 0.")


@pytest.mark.parametrize(
    "arguments",
    [["nosuch"], ["facts", "--bogus"], ["release"], ["facts", "--status", "lost"], ["chat", "--json"]],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(ice, arguments):
    code, out, err = ice(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("ice-agent: ")
    assert "--help" in err


@pytest.mark.parametrize("verb", ["facts", "pending", "plan", "status", "adapters", "verify"])
def test_before_init_every_verb_names_the_next_step_and_leaves_no_file(ice, home, verb):
    code, _, err = ice(verb)
    assert code == 1
    assert err.count("\n") == 1
    assert "ice-agent init" in err
    assert list(home.iterdir()) == []


def test_a_wrong_setting_is_one_line(ice, home):
    (home / "config.toml").write_text("[edit]\nstep = 3", encoding="utf-8")
    code, _, err = ice("facts")
    assert (code, err.count("\n")) == (1, 1)
    assert "did you mean 'steps'?" in err


# -- telling and asking


def test_add_says_what_it_learned_and_what_it_superseded(ice, store):
    ice("add", "I live in Lisbon. My sister is called Anna.")
    code, out, _ = ice("add", "Actually, I moved to Porto.")
    assert code == 0
    assert "learned 1 fact" in out
    assert "The user lives in Porto. (user / home)" in out
    assert "no longer: The user lives in Lisbon." in out


def test_add_says_when_there_was_nothing_to_learn(ice, store):
    code, out, _ = ice("add", "How are you today?")
    assert (code, out) == (0, "no fact found: only the words are kept\n")
    assert [u.text for u in store.utterances()] == ["How are you today?"]


def test_add_reads_stdin_an_utterance_a_line(said, store, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("I live in Lisbon.\n\nI like chess.\n"))
    assert said("add", "-")["learned"] == 2
    assert len(store.utterances()) == 2


def test_a_dry_run_keeps_nothing_and_needs_no_store(ice, said, home):
    assert "The user lives in Lisbon." in ice("add", "--dry-run", "I live in Lisbon.")[1]
    (candidate,) = said("add", "--dry-run", "I live in Lisbon.")["candidates"]
    assert candidate["object"] == "Lisbon"
    assert list(home.iterdir()) == []


def test_facts_are_listed_with_their_state(ice, said, store):
    ice("add", "I live in Lisbon.")
    ice("add", "I moved to Porto.")
    assert [f["object"] for f in said("facts")["facts"]] == ["Porto"]
    assert [f["status"] for f in said("facts", "--all")["facts"]] == ["superseded", "pending"]
    assert [f["object"] for f in said("facts", "--status", "superseded")["facts"]] == ["Lisbon"]
    assert "Porto" in ice("facts")[1]


def test_search_finds_facts_by_words(ice, said, store):
    ice("add", "I live in Lisbon. I like chess.")
    assert [f["object"] for f in said("search", "chess")["facts"]] == ["chess"]
    assert "no fact" in ice("search", "giraffes")[1]


def test_each_tenant_has_its_own_facts(ice, said, store):
    ice("add", "I live in Lisbon.", "--tenant", "ann")
    assert said("facts")["facts"] == []
    assert len(said("facts", "--tenant", "ann")["facts"]) == 1


def test_the_plan_shows_questions_and_answers_and_claims_nothing(ice, said, store):
    ice("add", "I live in Lisbon. Remember that the door code is under the mat.")
    (request,) = said("plan")["requests"]
    assert (request["rewrite_prompt"], request["target"]) == ("Where do I live?", "You live in Lisbon.")
    assert "Where do I live?" in ice("plan")[1]
    assert store.batches() == ()


def test_an_empty_plan_names_the_next_step(ice, store):
    assert "ice-agent add" in ice("plan")[1]


def test_status_counts_and_says_who_serves_and_when(ice, said, store):
    ice("add", "I live in Lisbon.")
    status = said("status")
    assert status["serving"]["id"] == "root_1"
    assert (status["facts"]["pending"], status["waiting"], status["in_prompt"]) == (1, 1, 1)
    assert "every 60 minutes" in ice("status")[1]
    due_at = store.facts()[0].recorded_at + timedelta(minutes=60)
    assert status["next_cycle"] == {"at": due_at.isoformat(), "why": "every_minutes = 60"}
    assert f"next      {screen.when(due_at)}: every_minutes = 60" in ice("status")[1]


def test_the_password_of_a_database_is_never_shown():
    from ice_agent.screen import without_password

    assert without_password("postgresql://ann:secret@host/db") == "postgresql://ann:***@host/db"


# -- adapters


def test_the_adapters_are_listed_with_scores(ice, said, promoted):
    assert [a["status"] for a in said("adapters")["adapters"]] == ["retired", "promoted"]
    assert "1.000" in ice("adapters")[1]


def test_show_takes_any_id_and_a_short_one(ice, promoted, store):
    (fact,) = store.learned()
    assert "The user lives in Lisbon." in ice("show", fact.id[:6])[1]
    assert "edit success" in ice("show", "a_1")[1]
    assert fact.id in ice("show", fact.batch_id)[1]
    assert "I live in Lisbon." in ice("show", fact.utterance_id)[1]


def test_an_id_that_nothing_has_is_one_line(ice, store):
    code, _, err = ice("show", "zebra")
    assert (code, err.count("\n")) == (1, 1)
    assert "'zebra'" in err


def test_two_adapters_are_compared_by_their_kept_scores(ice, said, promoted):
    out = ice("compare", "root_1", "a_1")[1]
    assert "1.000 (20/20)" in out
    assert "not measured" in out
    assert [a["id"] for a in said("compare", "root_1", "a_1")["adapters"]] == ["root_1", "a_1"]


def test_scores_of_suites_stand_beside_the_others(ice, said, store):
    register(store, "a_2", "I live in Lisbon.")
    rules = SuiteScores(name="rules", right=Rate(hits=3, asked=4), root_right=Rate(hits=4, asked=4))
    prose = SuiteScores(name="prose", n_texts=2, perplexity_ratio=1.25)
    store.record_scores("a_2", replace(GOOD, suites=(rules, prose)), replace(GOOD, suites=(rules,)))
    store.promote("a_2", Verdict(promote=True))
    compared, shown = _rows(ice("compare", "root_1", "a_2")[1]), _rows(ice("show", "a_2")[1])
    assert compared["suite rules"] == ["not measured", "0.750 (3/4)"]
    assert compared["suite prose, perplexity ratio"] == ["not measured", "1.250"]
    assert shown["suite rules"] == ["0.750 (3/4)", "0.750 (3/4)"]
    assert shown["suite prose, perplexity ratio"] == ["-", "1.250"]
    kept = said("compare", "root_1", "a_2")["adapters"][1]["scores"]["suites"]
    assert kept[0]["right"] == {"hits": 3, "asked": 4}


def test_a_suite_that_came_after_the_scores_keeps_an_adapter_from_being_promoted(
    ice, promoted, store, monkeypatch
):
    ice("revert")
    suite = 'name = "rules", path = "rules.jsonl"'
    monkeypatch.setenv("ICE_GUARDS__SUITES", f'[{{{suite}, tenants = ["default"]}}]')
    code, out, _ = ice("promote", "a_1")
    assert code == 3
    assert "suite rules: not enough evidence: asked 0, 1 is needed" in " ".join(out.split())
    monkeypatch.setenv("ICE_GUARDS__SUITES", f'[{{{suite}, tenants = ["ann"]}}]')
    assert ice("promote", "a_1")[0] == 0
    assert store.serving().id == "a_1"


def test_revert_puts_the_parent_back_and_promote_the_child(ice, said, promoted, store):
    assert "root_1" in ice("revert")[1]
    assert [f.status for f in store.facts()] == ["held"]
    assert said("promote", "a_1")["adapter"]["status"] == "promoted"
    assert store.serving().id == "a_1"


@pytest.mark.parametrize(("verb", "broken"), [(["revert"], "root_1"), (["promote", "a_1"], "a_1")])
def test_the_pointer_never_moves_to_an_adapter_whose_files_are_gone(ice, promoted, store, home, verb, broken):
    if verb[0] == "promote":
        ice("revert")
    serving = store.serving()
    (home / "adapters" / broken / MANIFEST).unlink()
    code, _, err = ice(*verb)
    assert code == 1
    assert f"no readable adapter at adapters/{broken}" in err
    assert store.serving() == serving


def test_an_empty_name_is_no_ancestor(ice, promoted, store):
    code, _, err = ice("revert", "--to", "")
    assert code == 1
    assert "no adapter ''" in err
    assert store.serving().id == "a_1"


@pytest.mark.parametrize("verb", ["show", "explain", "release"])
def test_another_tenants_facts_are_as_unknown_as_none(ice, promoted, store, verb):
    (fact,) = store.facts(statuses=FactStatus)
    code, out, err = ice(verb, fact.id, "--tenant", "bob")
    assert code == 1
    assert "Lisbon" not in out + err


@pytest.mark.parametrize("verb", [["show", "a_1"], ["promote", "a_1"], ["compare", "a_1", "root_1"]])
def test_another_tenants_adapters_are_as_unknown_as_none(ice, promoted, store, verb):
    assert ice(*verb, "--tenant", "bob")[0] == 1
    assert store.serving().id == "a_1"


def test_revert_with_retract_takes_the_facts_back(ice, promoted, store):
    assert "Its facts were taken back." in ice("revert", "--retract")[1]
    assert store.recall() == ()
    # What serves once more still holds them, and another revert gives nothing back.
    assert "No longer true: 1 fact that it holds" in ice("promote", "a_1")[1]
    out = ice("revert")[1]
    assert "What was taken back stays so." in out
    assert "are held" not in out


def test_of_what_a_killed_cycle_has_taken_it_is_said_that_it_is_gone_on_with(ice, store):
    ice("add", "I live in Lisbon.")
    store.claim_batch(10, store.take_lease("a cycle", 600))
    assert "1 fact in a cycle; if it was killed" in ice("pending")[1]


def test_promote_refuses_kept_scores_that_break_a_guard(ice, store):
    register(store, "a_2", "I live in Lisbon.")
    store.record_scores("a_2", POOR, GOOD)
    code, out, _ = ice("promote", "a_2")
    assert code == 3
    assert "edit success" in out
    assert store.serving().id == "root_1"


def test_an_adapter_that_was_never_measured_is_not_promoted(ice, store):
    register(store, "a_2", "I live in Lisbon.")
    code, _, err = ice("promote", "a_2")
    assert code == 1
    assert "never measured" in err


# -- auditing


@pytest.mark.parametrize("asked", ["Who is the king of Mars?", "Where is the sun?", "What is it?"])
def test_a_question_that_no_fact_answers_is_no_facts_story(ice, promoted, asked):
    code, out, err = ice("explain", asked)
    assert (code, out) == (1, "")
    assert "no fact" in err


@pytest.mark.parametrize("asked", [["Where do I live?"], ["where", "do", "i", "live"], ["Lisbon"]])
def test_explain_walks_from_a_question_to_the_sentence_and_the_adapter(ice, promoted, asked):
    out = ice("explain", *asked)[1]
    assert '"[I live in Lisbon]."' in out
    assert "a_1" in out
    assert "fact.recorded" in out
    assert "You live in Lisbon." in out


def test_explain_as_json_holds_the_whole_story(said, promoted, store):
    (fact,) = store.learned()
    story = said("explain", fact.id)
    assert story["mentions"][0]["utterance"]["text"] == "I live in Lisbon."
    assert story["adapter"]["id"] == "a_1"
    assert [t["after"] for t in story["transcripts"]] == ["You live in Lisbon."]


def test_explaining_what_nobody_said_is_one_line(ice, store):
    code, _, err = ice("explain", "Why?")
    assert (code, err.count("\n")) == (1, 1)


def test_verify_finds_an_edited_row_and_a_damaged_file(ice, said, tiny_home):
    assert said("init")["serving"]["parent_id"] is None
    ice("add", "I live in Lisbon.")
    assert said("verify")["ok"]
    (weights,) = tiny_home.glob("adapters/root_*/adapter_model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code, out, _ = ice("verify")
    assert code == 1
    assert "damaged" in out


# -- with a model


def test_init_makes_a_root_and_a_second_one_keeps_it(ice, said, tiny_home):
    first = said("init")["serving"]
    assert said("init")["serving"]["id"] == first["id"]
    assert (tiny_home / "adapters" / first["id"]).is_dir()


def test_a_shared_lineage_refuses_the_first_person(ice, said, tiny_home):
    said("init", "--shared", "--tenant", "team")
    code, _, err = ice("add", "I live in Lisbon.", "--tenant", "team")
    assert code == 1
    assert "shared lineage" in err


def test_a_chat_turn_learns_and_says_what_it_cost(ice, said, tiny_home):
    said("init")
    first, second = said("chat", "--say", "I live in Lisbon.", "--say", "Where do I live?")["turns"]
    assert first["reply"]["memory_tokens"] == 0
    assert second["reply"]["memory_tokens"] > 0
    assert "learned 1 fact: The user likes chess." in ice("chat", "--say", "I like chess.")[1]


def test_a_chat_forgets_what_it_is_asked_to_and_says_so(ice, said, tiny_home):
    said("init")
    turns = ("I live in Lisbon.", "Forget what I just said.", "Forget my address.")
    _, forgotten, nothing = said("chat", *(part for text in turns for part in ("--say", text)))["turns"]
    assert [fact["statement"] for fact in forgotten["forgotten"]["facts"]] == ["The user lives in Lisbon."]
    assert nothing["forgotten"]["facts"] == []
    assert "nothing was forgotten" in ice("chat", "--say", "Forget my address.")[1]
    assert said("facts")["facts"] == []


@pytest.mark.parametrize("text", ["", "   "])
def test_an_utterance_without_a_word_is_refused(ice, said, tiny_home, text):
    said("init")
    for options in ([], ["--dry-run"]):
        code, _, err = ice("add", text, *options)
        assert code == 1
        assert "nothing was said" in err


def test_a_chat_reads_commands_until_quit(ice, said, tiny_home, monkeypatch):
    said("init")
    monkeypatch.setattr("sys.stdin", io.StringIO("I like chess.\n/facts\n/nonsense\n/quit\n"))
    code, out, _ = ice("chat")
    assert code == 0
    assert "pending" in out
    # Of what was read from a file, too, it can be seen what was said.
    assert "you> I like chess.\n" in out


def test_a_rejected_cycle_says_every_reason_and_exits_with_3(ice, said, tiny_home):
    said("init")
    ice("add", "I live in Lisbon.")
    code, out, _ = ice("cycle")
    assert code == 3
    assert "rejected" in out
    assert "edit success" in out
    assert [f["status"] for f in said("facts")["facts"]] == ["pending"]


def test_a_cycle_says_how_each_suite_did(ice, said, tiny_home, monkeypatch):
    rows = [{"prompt": "May I?", "expected": "Yes, you may."}, {"text": "Anna Berg lives in Lisbon."}]
    (tiny_home / "rules.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    monkeypatch.setenv("ICE_GUARDS__SUITES", '[{name = "rules", path = "rules.jsonl", max_ratio = 99.0}]')
    said("init")
    ice("add", "I live in Lisbon.")
    code, out, _ = ice("cycle", "--json")
    done = json.loads(out)
    guards = {guard["metric"]: guard for guard in done["guards"]}
    assert code == 3
    assert "suite rules 0.000 (0/1) is under 0.9" in done["reasons"]
    assert (guards["suite rules"]["candidate"], guards["suite rules"]["bar"]) == ("0.000 (0/1)", ">= 0.9")
    assert guards["suite rules, perplexity ratio"]["parent"] == "1.000"
    assert guards["suite rules, perplexity ratio"]["reason"] == ""
    assert [suite["name"] for suite in done["adapter"]["scores"]["suites"]] == ["rules"]


def test_a_bad_line_of_a_suite_is_one_line_and_nothing_is_claimed(ice, said, tiny_home, monkeypatch):
    (tiny_home / "rules.jsonl").write_text('{"prompt": "May I?"}', encoding="utf-8")
    monkeypatch.setenv("ICE_GUARDS__SUITES", '[{name = "rules", path = "rules.jsonl"}]')
    said("init")
    ice("add", "I live in Lisbon.")
    code, out, err = ice("cycle")
    assert (code, out) == (1, "")
    assert "rules.jsonl:1: this has the fields 'prompt'" in err.splitlines()[-1]
    assert [f["status"] for f in said("facts")["facts"]] == ["pending"]


def test_a_cycle_with_nothing_pending_names_the_next_step(ice, said, tiny_home):
    said("init")
    code, _, err = ice("cycle")
    assert (code, err.count("\n")) == (1, 1)
    assert "ice-agent add" in err


def test_no_model_at_the_path_is_one_line(ice, home, monkeypatch):
    monkeypatch.setenv("ICE_MODEL__NAME", str(home / "nowhere"))
    code, out, err = ice("init")
    assert (code, out) == (1, "")
    assert "nowhere" in err.splitlines()[-1]


def test_a_worker_serves_every_tenant_that_is_due_and_makes_the_root_of_a_new_one(
    ice, tiny_home, monkeypatch
):
    monkeypatch.setenv("ICE_SCHEDULE__BATCH_TRIGGER", "1")
    handlers = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    ice("init")
    ice("add", "I live in Lisbon.")
    ice("add", "I live in Oslo.", "--tenant", "bob")
    code, _, err = ice("worker", "--once")
    assert code == 0, err
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)] == handlers
    with Archive.open(f"sqlite:///{tiny_home / 'ice_agent.db'}") as archive:
        for tenant in ("default", "bob"):
            assert archive.store(tenant).serving() is not None
            assert archive.backlog(tenant).ended_at is not None


# -- as a process


@pytest.mark.slow
def test_ctrl_c_in_a_cycle_leaves_the_facts_pending_and_the_parent_serving(ice, said, tiny_home):
    serving = said("init")["serving"]["id"]
    ice("add", "I live in Lisbon.")
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "ICE_EDIT__STEPS": "1000000"}
    running = subprocess.Popen(
        [sys.executable, "-m", "ice_agent", "cycle"], env=environment, stderr=subprocess.PIPE, text=True
    )
    _wait_until(lambda: said("facts")["facts"][0]["status"] == "claimed")
    running.send_signal(signal.SIGINT)
    _, complaint = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130
    assert complaint.splitlines()[-1] == "interrupted: nothing was promoted, the facts are pending again"
    assert [f["status"] for f in said("facts")["facts"]] == ["pending"]
    assert said("status")["serving"]["id"] == serving


@pytest.mark.slow
def test_run_shows_metrics_and_logs_json_until_it_is_stopped(said, tiny_home, unused_port):
    said("init")
    logging = {"ICE_LOGGING__FORMAT": "json", "ICE_LOGGING__LEVEL": "INFO"}
    log = tiny_home / "log.jsonl"
    with log.open("w") as stderr:
        running = subprocess.Popen(
            [sys.executable, "-m", "ice_agent", "run", "--metrics-port", str(unused_port)],
            env=os.environ | logging | {"PYTHONPATH": str(PROJECT)},
            stderr=stderr,
        )
    _wait_until(lambda: "cycles start" in log.read_text())
    with urllib.request.urlopen(f"http://127.0.0.1:{unused_port}/metrics") as answer:
        assert "ice_agent_database_up 1.0" in answer.read().decode()
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=PATIENCE) == 0
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["message"] for line in told} >= {"stopped"}


def test_ctrl_c_in_a_benchmark_says_that_the_same_command_goes_on(ice, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ice_agent.bench.command.bench", interrupt)
    code, out, err = ice("bench")
    assert (code, out) == (130, "")
    assert "the same command goes on" in err.splitlines()[-1]


def test_a_ctrl_c_that_somebody_swallows_ends_the_work_at_its_next_report():
    before = signal.getsignal(signal.SIGINT)
    with screen.bars(Console(stderr=True)) as progress:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            progress("editing", 1, 2, "")
    assert signal.getsignal(signal.SIGINT) is before


def test_verbs_that_need_no_model_never_import_torch(store):
    question = (
        "import sys; from ice_agent.cli import run_verb\n"
        "for verb in ('facts', 'pending', 'plan', 'adapters', 'status', 'verify'): run_verb([verb])\n"
        "run_verb(['add', 'I like chess.']); run_verb(['explain', 'chess']); run_verb(['search', 'chess'])\n"
        "print(*{'torch', 'transformers', 'peft'} & set(sys.modules), file=sys.stderr)"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", question], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == ""


def test_the_module_runs_as_the_console_script(store):
    done = subprocess.run(
        [sys.executable, "-m", "ice_agent", "facts", "--json"],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"facts": []}


# -- arranging


def _rows(table):
    """The cells of a table as it is printed, by the first of each row."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()]
    return {first: cells for first, *cells in rows}


def _wait_until(holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_empty_tenant_is_refused_and_means_nobody(store, ice):
    code, _, error = ice("facts", "--tenant", " ")
    assert code == 2
    assert "cannot be empty" in error
