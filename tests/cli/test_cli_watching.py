"""The verbs for whoever keeps it running or measures it, and what others tell hooks and logs on the way."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ice_agent import logs
from tests.engines import Vllm, running

PROJECT = Path(__file__).parents[2]
SECRET = "whsec_" + "QUJD" * 8


@pytest.fixture
def hooked(home, monkeypatch):
    """Settings with a command that keeps what it is told, or fails while there is a file `down`."""
    program = home / "hook.py"
    program.write_text(
        "import os, sys\n"
        "os.path.exists('down') and sys.exit(3)\n"
        "open('told.jsonl', 'a').write(sys.stdin.read() + '\\n')\n"
    )
    command = json.dumps(f"{sys.executable} {program}")
    lines = ["[hooks]", "retry_seconds = 3600.0", *(f"on_{e} = [{command}]" for e in ("revert", "forget"))]
    (home / "config.toml").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("ICE_HOOKS_SECRET", SECRET)

    def told():
        kept = home / "told.jsonl"
        return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []

    return told


def test_a_verb_tells_the_hooks_when_it_is_done(ice, hooked, promoted, store):
    (fact,) = store.learned()
    assert ice("revert")[0] == 0
    assert ice("forget", fact.id)[0] == 0
    assert [body["event"] for body in hooked()] == ["adapter.reverted", "fact.forgotten"]
    assert "Lisbon" not in json.dumps(hooked())


def test_a_hook_that_fails_changes_neither_what_a_verb_does_nor_its_exit_code(
    ice, said, hooked, promoted, home
):
    (home / "down").touch()
    assert ice("revert")[0] == 0
    assert said("status")["serving"]["id"] == "root_1"
    (waiting,) = said("hooks")["waiting"]
    assert (waiting["event"], waiting["attempts"]) == ("adapter.reverted", 1)
    assert waiting["problem"].endswith(": exit code 3")
    assert waiting["id"] in ice("hooks")[1]
    (home / "down").unlink()
    assert "told 1 event" in ice("hooks", "--retry")[1]
    assert [body["event"] for body in hooked()] == ["adapter.reverted"]
    assert "nothing waits" in ice("hooks")[1]


def test_hooks_lists_who_is_called_for_what_without_their_arguments(ice, said, store, home):
    (home / "config.toml").write_text(
        '[hooks]\non_promote = ["https://example.org/T0/hush", "notify --token hush"]', encoding="utf-8"
    )
    assert said("hooks")["hooks"] == {"adapter.promoted": ["https://example.org", "notify"]}
    assert "hush" not in ice("hooks")[1]


def test_a_missing_secret_is_said_and_the_verb_is_done_all_the_same(ice, said, hooked, promoted, monkeypatch):
    monkeypatch.delenv("ICE_HOOKS_SECRET")
    assert ice("revert")[0] == 0
    code, _, err = ice("hooks", "--retry")
    assert (code, err.count("\n")) == (1, 1)
    assert "ICE_HOOKS_SECRET" in err
    assert len(said("hooks")["waiting"]) == 1
    assert "hooks     none is told: [hooks] $ICE_HOOKS_SECRET has no secret" in ice("status")[1]
    assert ice("facts")[2] == ""


def test_without_a_hook_there_is_nothing_to_sign(ice, store):
    code, out, _ = ice("hooks", "--retry")
    assert (code, out) == (0, "told 0 events\nnothing waits for a hook\n")


def test_what_libraries_log_is_logged_once_as_all_else_is(capsys):
    library = logging.getLogger("huggingface_hub")
    library.addHandler(logging.StreamHandler(sys.stderr))
    logs.adopt("huggingface_hub")
    assert library.handlers == []
    assert library.propagate


def test_metrics_prints_what_a_textfile_collector_reads(ice, promoted, home):
    code, out, _ = ice("metrics")
    assert code == 0
    found = {f.name: f.samples for f in text_string_to_metric_families(out)}
    assert [s.value for s in found["ice_agent_promotions"]] == [1]
    (home / "config.toml").write_text("[metrics]\nper_tenant = true", encoding="utf-8")
    assert 'ice_agent_promotions_total{tenant="t_' in ice("metrics")[1]


def test_in_json_every_line_on_stderr_is_an_object(store, home):
    (home / "config.toml").write_text('[logging]\nformat = "json"', encoding="utf-8")
    program = "import sys; from ice_agent.cli import run_verb; sys.exit(run_verb(sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", program, "show", "zebra"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    told = json.loads(line)
    assert (told["level"], "zebra" in told["message"]) == ("ERROR", True)


def test_poisoned_batches_are_benched_on_demand(ice, monkeypatch, tmp_path):
    monkeypatch.setattr("ice_agent.bench.poison.run", lambda *_: [])
    code, out, _ = ice("bench", "--poison", "--run", str(tmp_path / "run"), "--json")
    assert (code, json.loads(out)["batches"]) == (0, [])
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == json.loads(out)


@pytest.fixture
def engine(home, promoted):
    """An outside engine that the settings name, and an adapter with what such an engine looks at."""
    config = {"r": 64, "target_modules": ["q_proj"], "base_model_name_or_path": "a model"}
    (home / "adapters" / "a_1" / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with running(Vllm, "a model", max_lora_rank=64) as engine:
        text = f'[publish]\nengine = "vllm"\nurl = "{engine.url}"\nretry_seconds = 3600.0\n'
        (home / "config.toml").write_text(text, encoding="utf-8")
        yield engine


@pytest.mark.slow
def test_publish_brings_the_engine_to_what_serves_also_when_it_was_started_anew(ice, said, engine, home):
    assert said("status")["published"]["adapter_id"] is None
    assert said("publish")["brought"] == 1
    assert engine.adapters == {"default": str(home / "adapters" / "a_1")}
    assert "as 'default' on vllm http://127.0.0.1" in ice("status")[1]
    assert said("publish")["brought"] == 0
    engine.restart()
    told = said("publish")
    assert (told["lost"], told["brought"], list(engine.adapters)) == (1, 1, ["default"])


@pytest.mark.slow
def test_a_verb_publishes_what_it_changed_and_an_engine_that_is_away_fails_no_verb(ice, said, engine):
    ice("publish")
    engine.is_down = True
    assert ice("revert")[0] == 0
    assert "cannot be reached" in said("status")["published"]["problem"]
    assert "waits for vllm: vllm http://127.0.0.1" in ice("status")[1]
    assert ice("publish")[0] == 1
    engine.is_down = False
    assert said("publish")["brought"] == 1
    assert (engine.adapters, said("status")["published"]) == ({}, None)


def test_publish_ends_with_1_while_the_engine_refuses_something(ice, engine):
    engine.max_lora_rank = 16
    code, out, _ = ice("publish")
    assert (code, "LoRA rank 64 is greater than max_lora_rank 16" in " ".join(out.split())) == (1, True)


def test_publish_without_an_engine_says_what_to_set(ice, store):
    code, _, err = ice("publish")
    assert (code, "set publish.engine" in err) == (1, True)


@pytest.mark.slow
def test_an_outside_engine_writes_the_answers_of_a_chat(ice, said, tiny_home, tiny_files):
    with running(Vllm, str(tiny_files), script=lambda path, prompt: [" From", " outside."]) as engine:
        text = f'[publish]\nengine = "vllm"\nurl = "{engine.url}"\ngenerate = true\n'
        with (tiny_home / "config.toml").open("a", encoding="utf-8") as file:
            file.write(text)
        ice("init")
        (turn,) = said("chat", "--say", "Hello.")["turns"]
        assert turn["reply"]["text"] == "From outside."
        assert engine.asked[-1].body["model"] == str(tiny_files)
