"""Publishing as the engines see it: stand-ins that speak their contract, rejections included."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from ice_agent import publish, watch
from ice_agent.config import Config
from ice_agent.errors import AdapterError, EngineError, PublishError
from ice_agent.external import External
from ice_agent.manifest import CONFIG, WEIGHTS
from ice_agent.writing import Ask, Finish
from memory import Archive
from tests import tiny
from tests.engines import Sglang, Vllm, running
from tests.memory.conftest import Tenant

BOTH = pytest.mark.parametrize(
    "kind", [Vllm, pytest.param(Sglang, marks=pytest.mark.slow)], ids=lambda kind: kind.name
)


@pytest.fixture
def world(tmp_path):
    """A database, a folder of adapters, and engines that share it."""
    with ExitStack() as opened:
        yield World(tmp_path, opened)


class World:
    def __init__(self, folder, opened, url=""):
        self.folder, self._opened = folder, opened
        self.archive = opened.enter_context(Archive.open(url or f"sqlite:///{folder / 'memory.db'}"))

    def engine(self, kind=Vllm, **options):
        self.at = self._opened.enter_context(running(kind, **options))
        self.config = self.settings()
        return self.at

    def settings(self, **publishing):
        return Config.model_validate({
            "adapters": {"dir": self.folder / "adapters"},
            "publish": {
                "engine": self.at.name, "url": self.at.url, "timeout_seconds": 20.0, "retry_seconds": 3600.0,
            } | publishing,
        })  # fmt: skip

    def tenant(self, name="ann", **files):
        return Pupil(self.archive.store(name), self.folder / "adapters", files)

    def deliver(self, config=None):
        return publish.deliver(self.archive, config or self.config, 30)

    def path(self, adapter):
        return str((self.folder / "adapters" / adapter.path).resolve())

    @property
    def problem(self):
        return self.archive.publications.of("ann").problem


class Pupil(Tenant):
    """A tenant whose adapters have files, with what engines look at in them."""

    def __init__(self, store, folder, files):
        super().__init__(store)
        self._folder = folder
        self._files = {"r": 8, "target_modules": ["q_proj"], "base_model_name_or_path": "a notebook"} | files

    def adapter(self, adapter_id, **made_of):
        place = self._folder / adapter_id
        place.mkdir(parents=True, exist_ok=True)
        (place / CONFIG).write_text(json.dumps(self._files), encoding="utf-8")
        (place / WEIGHTS).write_bytes(b"weights")
        return super().adapter(adapter_id, **made_of)

    def learns(self, value):
        self.tell(value)
        return self.learn()


# -- promote, revert, forget ---------------------------------------------------------------------------------


@BOTH
def test_what_serves_is_loaded_under_the_tenants_name_through_promotions_and_reverts(world, kind):
    engine, ann = world.engine(kind), world.tenant()
    first = ann.learns("Lyon")
    assert world.deliver() == 1
    assert engine.adapters == {"ann": world.path(first)}
    second = ann.learns("Nice")
    assert world.deliver() == 1
    assert engine.adapters == {"ann": world.path(second)}
    ann.store.revert()
    world.deliver()
    assert engine.adapters == {"ann": world.path(first)}
    ann.store.revert()
    world.deliver()
    assert engine.adapters == {}
    told = [(e.event, e.subject_id) for e in ann.store.ledger() if "published" in e.event]
    assert [event.removeprefix("adapter.") for event, _ in told] == ["published"] * 3 + ["unpublished"]
    assert world.archive.verify().problems == ()


def test_vllm_replaces_in_place_only_what_is_there_so_that_no_request_finds_nothing(world):
    engine, ann = world.engine(Vllm), world.tenant()
    for value in ("Lyon", "Nice"):
        ann.learns(value)
        world.deliver()
    first, second = (a.body for a in engine.asked if a.route == "/v1/load_lora_adapter")
    assert "load_inplace" not in first
    assert second["load_inplace"] is True
    assert engine.routes("/v1/unload_lora_adapter") == []


@pytest.mark.slow
def test_sglang_knows_no_replacing_so_the_name_is_unloaded_first(world):
    engine, ann = world.engine(Sglang), world.tenant()
    for value in ("Lyon", "Nice"):
        ann.learns(value)
        world.deliver()
    changed = engine.routes("/load_lora_adapter", "/unload_lora_adapter")
    assert changed == ["/load_lora_adapter", "/unload_lora_adapter", "/load_lora_adapter"]


@pytest.mark.slow
def test_tenants_have_names_of_their_own_and_what_is_not_ours_stays(world):
    engine = world.engine()
    engine.adapters["sql"] = "/theirs"
    for name in ("ann", "bob"):
        world.tenant(name).learns("Lyon")
    assert world.deliver() == 2
    assert sorted(engine.adapters) == ["ann", "bob", "sql"]
    world.archive.store("ann").forget_everything()
    world.deliver()
    assert sorted(engine.adapters) == ["bob", "sql"]


@pytest.mark.slow
@BOTH
def test_who_is_known_again_by_the_name_of_somebody_forgotten_keeps_the_name(world, kind):
    engine, gone = world.engine(kind), world.tenant()
    gone.learns("Lyon")
    world.deliver()
    gone.store.forget_everything()
    again = world.tenant()
    next(again._numbers)
    served = again.learns("Oslo")
    world.deliver()
    assert engine.adapters == {"ann": world.path(served)}
    assert [p.tenant for p in world.archive.publications.every()] == ["ann"]
    again.store.revert()
    world.deliver()
    assert engine.adapters == {}


@pytest.mark.slow
@BOTH
def test_a_forgotten_fact_leaves_the_engine_with_its_adapter(world, kind):
    engine, ann = world.engine(kind), world.tenant()
    first = ann.learns("Lyon")
    fact = ann.tell("tea", "drinks").fact
    ann.learn()
    world.deliver()
    ann.store.forget([fact.id])
    world.deliver()
    assert engine.adapters == {"ann": world.path(first)}


@pytest.mark.slow
def test_each_revision_may_have_a_name_of_its_own(world):
    engine, ann = world.engine(), world.tenant()
    config = world.settings(name="{tenant}@{adapter}")
    first, second = ann.learns("Lyon"), None
    world.deliver(config)
    assert sorted(engine.adapters) == [f"ann@{first.id}"]
    second = ann.learns("Nice")
    world.deliver(config)
    assert sorted(engine.adapters) == [f"ann@{second.id}"]


@pytest.mark.slow
def test_the_engine_may_see_the_folder_elsewhere(world):
    engine, ann = world.engine(), world.tenant()
    first = ann.learns("Lyon")
    world.deliver(world.settings(adapters_dir="/srv/adapters/"))
    assert f"No adapter found for /srv/adapters/{first.path}" in world.problem
    there = world.folder / "mounted"
    there.symlink_to(world.folder / "adapters")
    world.archive.publications.retry()
    assert world.deliver(world.settings(adapters_dir=str(there))) == 1
    assert engine.adapters == {"ann": f"{there}/{first.path}"}


@pytest.mark.slow
def test_the_key_is_sent_and_shown_nowhere(world, monkeypatch, caplog):
    engine, ann = world.engine(key="hush"), world.tenant()
    ann.learns("Lyon")
    world.deliver()
    assert "Unauthorized" in world.problem
    monkeypatch.setenv("ICE_PUBLISH_KEY", "hush")
    assert _later(world) == 1
    assert list(engine.adapters) == ["ann"]
    config = world.settings(url=engine.url.replace("//", "//me:hush@"))
    assert "hush" not in caplog.text + repr(config) + repr(world.archive.publications.every())


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "files", "words"),
    [
        (Vllm, {}, {"r": 64}, "LoRA rank 64 is greater than max_lora_rank 16"),
        (Sglang, {}, {"r": 64}, "rank 64 is incompatible with the current LoRA memory pool"),
        (Vllm, {}, {"target_modules": ["c_attn"]}, "expected target modules in"),
        (Vllm, {}, {"use_dora": True, "bias": "all"}, "not yet support DoRA. Adapter bias is not supported"),
        (Sglang, {}, {"target_modules": ["c_attn"]}, "--lora-target-modules"),
        (Vllm, {"runtime": False}, {}, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"),
        (Sglang, {"runtime": False}, {}, "LoRA is not enabled"),
        (Vllm, {"base": "another"}, {}, "made for 'a notebook', and the engine serves 'another'"),
        (Sglang, {"base": "another"}, {}, "--served-model-name a notebook"),
    ],
)
def test_what_an_engine_refuses_is_kept_in_its_words_and_nothing_is_loaded(
    world, kind, options, files, words
):
    engine, ann = world.engine(kind, **options), world.tenant(**files)
    ann.learns("Lyon")
    assert world.deliver() == 0
    assert words in world.problem
    assert engine.adapters == {}
    assert not any(e.event == "adapter.published" for e in ann.store.ledger())


@pytest.mark.slow
def test_what_a_cycle_saves_is_what_engines_take(world):
    model = tiny.tiny_model()
    model.create_root("a_1")
    place = world.folder / "adapters" / "a_1"
    model.save("a_1", place, {})
    config = json.loads((place / CONFIG).read_text(encoding="utf-8"))
    for kind in (Vllm, Sglang):
        engine = world.engine(kind, base=model.name, modules=tuple(config["target_modules"]))
        with External(world.config.publish) as there:
            there.load("ann", str(place), there.served())
        assert engine.adapters == {"ann": str(place)}
    assert config["base_model_name_or_path"] == model.name


@pytest.mark.slow
def test_files_that_are_gone_are_named(world):
    world.engine()
    first = world.tenant().learns("Lyon")
    (world.folder / "adapters" / first.path / CONFIG).unlink()
    world.deliver()
    assert first.id in world.problem


@pytest.mark.slow
def test_a_tenant_with_the_bases_name_would_be_answered_by_the_base_and_is_refused(world):
    world.engine()
    world.tenant("a notebook").learns("Lyon")
    world.deliver()
    assert "set publish.name" in world.archive.publications.of("a notebook").problem
    assert _later(world, world.settings(name="memory of {tenant}")) == 1


@pytest.mark.slow
def test_an_engine_that_is_away_gets_it_once_it_is_back(world):
    engine, ann = world.engine(), world.tenant()
    engine.is_down = True
    ann.learns("Lyon")
    before = _failures()
    assert world.deliver() == 0
    assert "cannot be reached" in world.problem
    assert _failures() > before
    engine.is_down = False
    assert _later(world) == 1


@pytest.mark.slow
def test_what_is_refused_too_often_is_given_up_until_something_else_serves(world, caplog):
    world.engine()
    ann = world.tenant(r=64)
    ann.learns("Lyon")
    config = world.settings(attempts=2, retry_seconds=0.001)
    _until(lambda: world.deliver(config) or world.archive.publications.of("ann").due_at is None)
    assert "gave up after 2 attempts" in caplog.text
    assert world.deliver(config) == 0
    ann._files["r"] = 8
    ann.learns("Nice")
    assert world.deliver(config) == 1


@pytest.mark.slow
def test_a_refused_successor_leaves_vllm_serving_what_it_had(world):
    engine, ann = world.engine(), world.tenant()
    first = ann.learns("Lyon")
    world.deliver()
    ann._files["r"] = 64
    ann.learns("Nice")
    world.deliver()
    assert engine.adapters == {"ann": world.path(first)}
    assert world.archive.publications.of("ann").adapter_id == first.id


# -- beside other work ---------------------------------------------------------------------------------------


def test_what_is_promoted_meanwhile_is_published(world):
    engine, ann = world.engine(), world.tenant()
    with publish.publishing(world.archive, world.config, poll_seconds=0.02):
        ann.learns("Lyon")
        _until(lambda: "ann" in engine.adapters)
        ann.store.revert()
        _until(lambda: not engine.adapters)
    assert not [thread for thread in threading.enumerate() if thread.name == "publish"]


@pytest.mark.slow
def test_an_engine_that_was_started_anew_gets_all_it_had(world):
    engine = world.engine()
    for name in ("ann", "bob"):
        world.tenant(name).learns("Lyon")
    world.deliver()
    engine.restart()
    with publish.publishing(world.archive, world.config, poll_seconds=0.02):
        _until(lambda: sorted(engine.adapters) == ["ann", "bob"])


@pytest.mark.slow
def test_two_that_publish_at_once_load_each_adapter_once(tmp_path, postgresql):
    with ExitStack() as opened:
        world = World(tmp_path, opened, postgresql())
        engine = world.engine(Sglang)
        for n in range(6):
            world.tenant(f"t{n}").learns("Lyon")
        both = [threading.Thread(target=world.deliver) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert len(engine.adapters) == len(engine.routes("/load_lora_adapter")) == 6
        assert all(p.is_current for p in world.archive.publications.every())
        assert world.archive.verify().problems == ()


def test_without_an_engine_nothing_is_done(world):
    with publish.publishing(world.archive, Config()):
        assert not [thread for thread in threading.enumerate() if thread.name == "publish"]


# -- answers -------------------------------------------------------------------------------------------------


@pytest.fixture
def writer(world):
    opened = []

    def write(kind=Vllm, **options):
        engine = world.engine(kind, **options)
        opened.append(publish.OutsideWriter(world.archive, world.config, stop_ids=[2, 7]))
        return SimpleNamespace(engine=engine, write=opened[-1].write)

    yield write
    for each in opened:
        each.__exit__()


def ask(adapter=None, **options):
    return Ask(prompt=(5, 6), adapter=adapter, **{"max_tokens": 9} | options)


@BOTH
def test_an_answer_is_written_by_the_tenants_adapter_which_is_brought_there_first(world, writer, kind):
    outside = writer(kind, script=lambda path, prompt: [" You live", " in ", f"{path[-6:]}{prompt}. "])
    ann = world.tenant()
    first = ann.learns("Lyon")
    writing = outside.write(ask(first))
    assert writing.text() == f"You live in {world.path(first)[-6:]}[5, 6]."
    assert (writing.ended.finish, writing.ended.n_written) == (Finish.STOP, 3)
    assert [e.event for e in ann.store.ledger()][-1] == "adapter.published"


@BOTH
def test_the_base_and_a_root_are_answered_by_the_base(world, writer, kind):
    outside = writer(kind, script=lambda path, prompt: [path])
    root = world.tenant().root()
    assert outside.write(ask()).text() == outside.write(ask(root)).text() == "a notebook"


def test_what_is_asked_of_an_answer_is_passed_on(writer):
    outside = writer()
    outside.write(ask(temperature=0.7, top_p=0.9, seed=3, stop=("\n",), max_tokens=1)).text()
    body = outside.engine.asked[-1].body
    asked = {"temperature": 0.7, "top_p": 0.9, "seed": 3, "stop": ["\n"], "max_tokens": 1}
    assert asked.items() <= body.items()
    assert (body["prompt"], body["stop_token_ids"]) == ([5, 6], [2, 7])


@pytest.mark.slow
def test_an_answer_that_is_cut_says_so(writer):
    writing = writer(script=lambda path, prompt: ["a", "b", "c"]).write(ask(max_tokens=2))
    assert (writing.text(), writing.ended.finish, writing.ended.n_written) == ("ab", Finish.LENGTH, 2)


def test_pieces_come_as_they_are_written(writer):
    outside = writer(script=lambda path, prompt: ["one", " two"])
    outside.engine.hold.clear()
    pieces = iter(outside.write(ask()))
    assert next(pieces) == "one"
    outside.engine.hold.set()
    assert "".join(pieces) == " two"


@pytest.mark.slow
def test_whoever_cancels_frees_the_engine(writer):
    outside = writer(script=lambda path, prompt: ["word "] * 100_000)
    writing = outside.write(ask(max_tokens=100_000))
    next(iter(writing))
    writing.cancel()
    assert outside.engine.gone.wait(240)


@pytest.mark.slow
@BOTH
def test_an_adapter_that_does_not_serve_is_not_there_to_answer(world, writer, kind):
    outside, ann = writer(kind), world.tenant()
    first = ann.learns("Lyon")
    ann.learns("Nice")
    with pytest.raises(AdapterError, match="has what serves alone"):
        outside.write(ask(first))


@pytest.mark.slow
def test_an_adapter_that_the_engine_refuses_is_no_answer_and_says_why(world, writer):
    outside = writer()
    with pytest.raises(EngineError, match=r"`ice-agent publish`.*max_lora_rank 16"):
        outside.write(ask(world.tenant(r=64).learns("Lyon")))


@pytest.mark.slow
def test_an_engine_that_is_away_is_an_error_of_the_answer(world, writer):
    outside = writer()
    outside.engine.is_down = True
    with pytest.raises(EngineError, match="cannot be reached"):
        outside.write(ask())
    with pytest.raises(PublishError, match="cannot be reached"):
        publish.look(world.archive, world.config)


@pytest.mark.slow
def test_many_who_ask_for_what_was_just_promoted_are_all_answered(world, writer):
    outside = writer(script=lambda path, prompt: [path[-6:]])
    first = world.tenant().learns("Lyon")
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(outside.write(ask(first)).text())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [world.path(first)[-6:]] * 4
    assert len(outside.engine.routes("/v1/load_lora_adapter")) == 1


def _failures():
    return watch.REGISTRY.get_sample_value("ice_agent_publish_failures_total")


def _later(world, config=None):
    """Deliver what waited for its next turn."""
    world.archive.publications.retry()
    return world.deliver(config)


def _until(is_so):
    end = time.monotonic() + 240
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
