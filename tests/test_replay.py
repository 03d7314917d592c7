"""An adapter made again from what is recorded of it, and what two adapters do not have in common."""

from __future__ import annotations

import json
import shutil

import pytest

from ice_agent import evaluate, explain, forget, garbage, rebuild
from ice_agent.difference import difference
from ice_agent.errors import AdapterError, CycleError
from ice_agent.manifest import MANIFEST, WEIGHTS
from ice_agent.replay import replay
from memory import CannotRevert
from tests.schooled import Assistant
from tests.test_compact import made

pytestmark = pytest.mark.slow

ANNA = "Where does Anna Berg live?"


@pytest.fixture(scope="module")
def school_year(tmp_path_factory):
    """A folder in which one fact was learned after another, corrected, and all of it rebuilt."""
    assistant = Assistant(tmp_path_factory.mktemp("learned"), cycle={"batch_size": 1})
    for text in ("Anna Berg lives in Lisbon.", "Jan Bakker lives in Quito."):
        assistant.tell(text)
        assert assistant.learn().verdict.promote
    assert rebuild.compact(assistant.store, assistant.editor, assistant.config).verdict.promote
    assistant.archive.close()
    return assistant.folder


@pytest.fixture
def learned(school_year, tmp_path):
    assistant = Assistant(shutil.copytree(school_year, tmp_path / "tom"), cycle={"batch_size": 1})
    yield assistant
    assistant.archive.close()


def again(assistant, adapter_id, **how):
    return replay(assistant.store, assistant.editor, assistant.config, adapter_id, **how)


def taught(assistant):
    """The adapters that were taught something, oldest first."""
    return [adapter for adapter in assistant.store.adapters() if adapter.parent_id is not None]


@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_an_adapter_comes_out_again_to_the_bit(learned, which):
    """The first cycle, one that rehearsed, the first step of a rebuild, and its last."""
    adapter, before = taught(learned)[which], made(learned)
    learned.tell("Ole Lund lives in Rome.")
    found = again(learned, adapter.id)
    assert (found.is_equal, found.max_difference, found.differing) == (True, 0.0, ())
    assert found.asked > 0
    assert made(learned) == before
    assert learned.store.verify().ok


def test_a_scaled_one_too(tmp_path):
    assistant = Assistant(tmp_path, guards={"max_locality_kl": 1e-9}, cycle={"scalings": 1})
    assistant.tell("Anna Berg lives in Lisbon.")
    assistant.learn()
    scaled = next(a for a in taught(assistant) if "alpha" in _manifest(assistant, a)["edit"])
    assert again(assistant, scaled.id).is_equal
    assistant.archive.close()


def test_other_settings_make_another_adapter_and_the_difference_is_told(learned):
    adapter = taught(learned)[0]
    manifest = _manifest(learned, adapter)
    manifest["settings"]["steps"] += 5
    _path(learned, adapter).write_text(json.dumps(manifest), encoding="utf-8")
    found = again(learned, adapter.id)
    assert not found.is_equal
    assert found.max_difference > 0


def test_another_seed_is_asked_to_be_set_back(learned):
    other = Assistant(learned.folder, edit={"seed": 7})
    with pytest.raises(CycleError, match=r"edit.seed = 0: set it"):
        again(other, taught(other)[0].id)


def test_what_was_forgotten_is_never_made_again(learned):
    first = taught(learned)[0]
    (lisbon,) = [fact for fact in learned.store.facts() if fact.object == "Lisbon"]
    forget.forget(learned.store, learned.config, [lisbon.id])
    with pytest.raises(CycleError, match="held what was forgotten"):
        again(learned, first.id)


def test_a_root_was_taught_nothing(learned):
    with pytest.raises(CycleError, match="nothing to replay"):
        again(learned, learned.store.lineage()[-1].id)


def test_a_collected_adapter_is_made_again_and_can_be_reverted_to(learned):
    collecting = _keeping(learned, keep=1, keep_days=0, keep_rejected_days=0)
    second = taught(learned)[1]
    weights = (learned.config.adapters.dir / second.path / WEIGHTS).read_bytes()
    gone = garbage.collect(learned.store, collecting)
    assert {adapter.id for adapter in gone.adapters} == {a.id for a in taught(learned)[:2]}
    with pytest.raises(AdapterError, match=r"collected.*replay"):
        explain.loadable(learned.store, learned.config.adapters.dir, second.id)
    with pytest.raises(CannotRevert, match="collected"):
        learned.store.revert()
    with pytest.raises(AdapterError, match=r"collected.*replay"):
        again(learned, second.id, restore=True)
    for adapter in taught(learned)[:2]:
        assert again(learned, adapter.id, restore=True).is_restored
    assert (learned.config.adapters.dir / second.path / WEIGHTS).read_bytes() == weights
    assert learned.store.revert()[1].id == second.id
    assert explain.damaged(learned.store, learned.config.adapters.dir) == ()
    assert learned.store.verify().ok


# -- two adapters --------------------------------------------------------------------------------------------


def test_the_facts_of_one_and_not_of_the_other_and_the_answers_that_were_kept(learned):
    first, second, *_ = taught(learned)
    found = difference(learned.store, learned.config, first.id, second.id)
    assert found.only_first == ()
    assert [fact.object for fact in found.only_second] == ["Quito"]
    (answer,) = [each for each in found.answers if each.question == "Where does Jan Bakker live?"]
    assert answer.second == "Quito" != answer.first
    assert found.asked > len(found.answers)


def test_with_a_model_both_are_asked_anew(learned):
    first, *_, last = taught(learned)
    root = learned.store.lineage()[-1]

    def ask(adapter, questions):
        learned.editor.load(adapter.id, learned.config.adapters.dir / adapter.path)
        with learned.model.using(adapter.id):
            return evaluate.ask(learned.model, questions)

    found = difference(learned.store, learned.config, last.id, root.id, ask)
    assert {fact.object for fact in found.only_first} == {"Lisbon", "Quito"}
    assert {a.question: a.first for a in found.answers}[ANNA] == "Lisbon"
    same = difference(learned.store, learned.config, first.id, first.id, ask)
    assert (same.only_first, same.only_second, same.answers) == ((), (), ())


def _keeping(assistant, **settings):
    kept = assistant.config.adapters.model_copy(update=settings)
    return assistant.config.model_copy(update={"adapters": kept})


def _path(assistant, adapter):
    return assistant.config.adapters.dir / adapter.path / MANIFEST


def _manifest(assistant, adapter):
    return json.loads(_path(assistant, adapter).read_text(encoding="utf-8"))
