"""kill -9 while a real model is taught: its training goes on from the checkpoint and ends bit-equal."""

from __future__ import annotations

import logging
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from ice_agent.manifest import training_dir
from memory import FactStatus
from tests import killed
from tests.forked import in_a_child
from tests.schooled import CITIES, STRANGERS, Assistant
from tests.test_kills import wrong

logger = logging.getLogger(__name__)

STEPS = 6
# A state is kept after each step, so that every kill finds one.
OFTEN: dict[str, Any] = {
    "agent": {"tenant": "tom"},
    "edit": {"steps": STEPS, "steps_per_fact": 0.0},
    "guards": {"min_edit_success": 0.0},
    "cycle": {"checkpoint_seconds": 1e-9},
}
LISBON = "Anna Berg lives in Lisbon."


@pytest.mark.slow
def test_a_training_that_kill_9_ended_goes_on_and_ends_bit_equal(tmp_path):
    assistants = [Assistant(tmp_path / name, **OFTEN) for name in ("spared", "killed")]
    for assistant in assistants:
        assistant.tell(LISBON)
    spared, survivor = assistants
    expected = spared.model.tensors(spared.learn().adapter.id)
    assert die(survivor, f"report editing 4 of {STEPS}")[-1] == f"report editing 4 of {STEPS}"
    survivor = Assistant(tmp_path / "killed", **OFTEN)
    steps = []

    def count(stage, done, total, note):
        if stage == "editing":
            steps.append(done)

    report = survivor.learn(count)
    found = survivor.model.tensors(report.adapter.id)
    assert steps == [4, 5, 6], "the fourth was reported, and not kept any more"
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert not training_dir(survivor.config.adapters.dir / report.adapter.path).exists()
    for assistant in (spared, survivor):
        assistant.archive.close()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3))
def test_twenty_kills_of_a_real_cycle_and_nothing_is_lost(tmp_path, seed):
    """At as many kinds of moments, spread over all of a cycle; every other fact corrects the one before."""
    assistant = Assistant(tmp_path, **OFTEN)
    assistant.tell(LISBON)
    moments = list(dict.fromkeys(die(assistant, "none")[:-1]))
    random.Random(seed).shuffle(moments)
    died = list[str]()
    for number, moment in enumerate(moments):
        assistant = Assistant(tmp_path, **OFTEN)
        said = f"{STRANGERS[number % 2]} lives in {CITIES[(number // 2 + 1) % 4]}."
        fact = assistant.tell(said)
        seen = die(assistant, moment)
        # Some come in other batches only, such as a step with another number.
        died += [moment] if seen[-1] == moment else []
        assistant = Assistant(tmp_path, **OFTEN)
        assert wrong(assistant.store, assistant.config) == [], moment
        if assistant.store.fact(fact.id).status in (FactStatus.PENDING, FactStatus.CLAIMED):
            assert assistant.learn().verdict.promote, moment
        assert assistant.store.fact(fact.id).status in (FactStatus.LEARNED, FactStatus.QUARANTINED)
        assert wrong(assistant.store, assistant.config) == [], moment
        assistant.archive.close()
        if len(died) == 20:
            break
    assert len(died) == 20
    logger.info("%d kills: %s", len(died), ", ".join(died))


def die(assistant: Assistant, moment: str) -> list[str]:
    """A cycle in a child process that kills itself at a moment; what it came to. The store is closed."""
    note = assistant.folder / "note"
    note.unlink(missing_ok=True)
    assistant.archive.close()
    in_a_child(lambda: _cycle(assistant, moment, note))
    return note.read_text().splitlines()


def _cycle(assistant: Assistant, moment: str, note: Path) -> None:
    pass_by = killed.noting(note, signal.SIGKILL, moment)
    try:
        killed.run(assistant.url, assistant.config, assistant.editor, pass_by)
    finally:
        pass_by("over")
