"""A folder with a store, a root and a promoted adapter, and verbs run in it as they are typed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ice_agent import cli, collect
from ice_agent.manifest import CONFIG, MANIFEST, WEIGHTS, file_hash
from ice_agent.settings import Collect
from memory import Adapter, AdapterStatus, Archive, Rate, Scores, Transcript, Verdict, now
from tests import databases, tiny

GOOD = Scores(
    edit_success=Rate(hits=20, asked=20),
    rephrase=Rate(hits=20, asked=20),
    locality_unrelated=Rate(hits=40, asked=40),
)
POOR = replace(GOOD, edit_success=Rate(hits=1, asked=20))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory):
    """A tiny random model in from_pretrained format."""
    folder = tmp_path_factory.mktemp("tiny-model")
    tiny.tiny_base(is_terse=True).save_pretrained(folder)
    tiny.tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_home(home, tiny_files):
    """A folder whose config names the tiny model and settings that take seconds."""
    text = f"""
[model]
name = {json.dumps(str(tiny_files))}
[agent]
max_answer_tokens = 4
[edit]
steps = 2
samples = 1
anchors = 8
survey_texts = 8
survey_questions = 8
"""
    (home / "config.toml").write_text(text, encoding="utf-8")
    return home


@pytest.fixture
def store(home):
    """The store of that folder, with a root that no verb here loads."""
    databases.ready(home / "ice_agent.db")
    with Archive.open("sqlite:///ice_agent.db") as archive:
        opened = archive.store("default")
        root = adapter("root_1", parent_id=None, batch_id=None)
        write_files(home, "root_1")
        opened.root(root)
        yield opened


@pytest.fixture
def ice(home, capsys):
    """Runs a verb as typed; gives exit code, stdout and stderr."""

    def run(*arguments):
        code = cli.run_verb(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def said(ice):
    """Runs a verb that must succeed, with --json, and gives the object."""

    def run(*arguments):
        code, out, err = ice(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def promoted(store, home):
    """One fact in the weights of a_1, as a cycle leaves it; the weights themselves are never read here."""
    fact_id = register(store, "a_1", "I live in Lisbon.")
    store.record_scores("a_1", GOOD, GOOD)
    store.promote("a_1", Verdict(promote=True))
    probe = Transcript(
        kind="edit_success", fact_id=fact_id, prompt="Where do I live?", expected="You live in Lisbon.",
        before="I don't know.", after="You live in Lisbon.", is_hit=True,
    )  # fmt: skip
    write_files(home, "a_1")
    line = json.dumps({name: getattr(probe, name) for name in Transcript.__dataclass_fields__})
    (home / "adapters" / "a_1.transcripts.jsonl").write_text(line + "\n", encoding="utf-8")


def register(store, adapter_id, text):
    """A batch with what `text` says, claimed, and a candidate for it."""
    heard = collect.hear(store, Collect(), text, collect.extractor_named("rules"))
    batch = store.claim_batch(10, store.take_lease("test", 60))
    store.register(adapter(adapter_id, parent_id="root_1", batch_id=batch.id))
    return heard.learned[0].id


def write_files(home, adapter_id):
    """Files that are whole, as far as hashes can tell."""
    folder = home / "adapters" / adapter_id
    folder.mkdir(parents=True)
    for name in (WEIGHTS, CONFIG):
        (folder / name).write_text(name)
    hashes = {name: file_hash(folder / name) for name in (WEIGHTS, CONFIG)}
    (folder / MANIFEST).write_text(json.dumps({"id": adapter_id, "base_hash": "b" * 64, "files": hashes}))


def adapter(adapter_id, *, parent_id, batch_id):
    return Adapter(
        id=adapter_id, parent_id=parent_id, batch_id=batch_id, created_at=now(),
        status=AdapterStatus.CANDIDATE, base_hash="b" * 64, path=adapter_id,
    )  # fmt: skip
