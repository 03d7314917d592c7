"""What a cycle says of itself: every line with its ids, no line with a name or a word, every stage timed."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading

import pytest

from ice_agent import logs, watch
from memory import StaleLease
from tests.schooled import Assistant

WORDS = ("Anna", "Berg", "Lisbon", "Thomasina")


@pytest.fixture
def lines():
    """All that is logged, on every level and by everybody, as JSON lines."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    handler.addFilter(logs.Fields())
    handler.setFormatter(logs.JsonLines())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def assistant(tmp_path):
    called_for = {"on_promote": ["true"], "on_quarantine": ["true"], "on_forget": ["true"]}
    assistant = Assistant(tmp_path, tenant="Thomasina", hooks=called_for)
    yield assistant
    assistant.archive.close()


def seconds_of(stage):
    return watch.REGISTRY.get_sample_value("ice_agent_stage_seconds_count", {"stage": stage}) or 0


def test_a_cycle_is_logged_by_ids_and_told_by_commitments_without_a_word_of_what_it_learned(assistant, lines):
    fact = assistant.tell("Anna Berg lives in Lisbon.")
    stages = ("putting into words", "teaching", "measuring")
    before = {stage: seconds_of(stage) for stage in stages}
    report = assistant.learn()
    assert report.verdict.promote
    assistant.store.forget([fact.id])
    assert {stage: seconds_of(stage) - before[stage] for stage in stages} == dict.fromkeys(stages, 1)
    of_cycle = [line for line in lines() if "tenant" in line]
    assert {line["tenant"] for line in of_cycle} == {assistant.store.identity()}
    ended = {line["stage"]: line for line in of_cycle if line["logger"] == "ice_agent.watch"}
    assert set(ended) == set(stages)
    assert ended["teaching"]["batch"] == ended["measuring"]["batch"] == report.batch.id
    assert ended["measuring"]["adapter"] == report.adapter.id
    (promoted,) = [line for line in of_cycle if "promoted" in line["message"]]
    assert (promoted["batch"], promoted["adapter"]) == (report.batch.id, report.adapter.id)
    written = json.dumps(lines()) + " ".join(d.body for d in assistant.archive.outbox.every())
    assert len(assistant.archive.outbox.every()) >= 2
    assert [word for word in WORDS if word in written] == []


def test_what_is_logged_between_two_cycles_belongs_to_none(lines):
    logger = logging.getLogger("test")
    with watch.cycle("t_1"):
        logs.note(batch="b_1")
        with watch.stage("measuring"):
            logs.note(adapter="a_1")
            logger.info("within")
        logger.info("after the stage")
    logger.info("after the cycle")
    fields = [{n: line[n] for n in logs.FIELDS if n in line} for line in lines() if line["logger"] == "test"]
    assert fields == [
        {"tenant": "t_1", "batch": "b_1", "adapter": "a_1", "stage": "measuring"},
        {"tenant": "t_1", "batch": "b_1"},
        {},
    ]


def test_two_cycles_in_two_threads_are_told_apart(lines):
    def work(tenant):
        with watch.cycle(tenant):
            for _ in range(50):
                logging.getLogger("test").info("%s", tenant)

    threads = [threading.Thread(target=work, args=(f"t_{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    of_test = [line for line in lines() if line["logger"] == "test"]
    assert len(of_test) == 100
    assert all(line["tenant"] == line["message"] for line in of_test)


def test_a_stage_that_fails_is_timed_too_and_a_lost_lease_is_counted():
    lost = watch.REGISTRY.get_sample_value("ice_agent_lease_losses_total") or 0
    timed = seconds_of("measuring")
    with pytest.raises(StaleLease), watch.cycle("t_1"), watch.stage("measuring"):
        raise StaleLease("other/1")
    assert watch.REGISTRY.get_sample_value("ice_agent_lease_losses_total") == lost + 1
    assert seconds_of("measuring") == timed + 1


def test_refreshed_rows_are_counted_by_what_became_of_them():
    def rows(outcome):
        return watch.REGISTRY.get_sample_value("ice_agent_refresh_rows_total", {"outcome": outcome}) or 0

    before = rows("changed"), rows("malformed")
    watch.refreshed(changed=3, malformed=1)
    assert (rows("changed"), rows("malformed")) == (before[0] + 3, before[1] + 1)


def test_a_line_of_text_ends_with_the_ids():
    record = logging.LogRecord("a.module", logging.INFO, "", 1, "%s took %.1f s", ("editing", 1.25), None)
    with logs.about(tenant="t_1", stage="editing"):
        logs.Fields().filter(record)
    assert logs.TextLines().format(record) == "INFO a.module: editing took 1.2 s [tenant=t_1 stage=editing]"


def test_an_error_in_json_is_one_line_with_no_more_than_its_first(lines):
    try:
        raise ValueError("could not write\nDETAIL: Anna Berg lives in Lisbon")
    except ValueError:
        logging.getLogger("test").exception("it failed")
    (line,) = lines()
    assert (line["level"], line["message"]) == ("ERROR", "it failed")
    assert (line["error"]["kind"], line["error"]["message"]) == ("ValueError", "could not write")
    assert line["error"]["at"][-1].startswith("test_watch.py:")
    assert "Lisbon" not in json.dumps(line)


@pytest.mark.parametrize("where", ["main", "thread"])
def test_an_error_that_nobody_caught_is_one_line_of_json(where):
    program = f"""
import threading
from ice_agent import logs
from ice_agent.settings import LoggingSettings
def fail(): raise RuntimeError("out of memory")
logs.configure(LoggingSettings(format="json"))
with logs.about(tenant="t_1"):
    fail() if {where == "main"} else None
thread = threading.Thread(target=fail)
thread.start()
thread.join()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == (where == "main")
    (line,) = ended.stderr.splitlines()
    told = json.loads(line)
    assert told["level"] == "CRITICAL"
    assert told["error"]["message"] == "out of memory"
