"""What was signed is still there, or it is named: checkpoints, proofs, exports, also without the database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from memory import audit
from memory.audit import Export, Forged
from memory.errors import NotaryError
from memory.notary import Notary

AUDIT = Path(audit.__file__)


@pytest.fixture
def notary(archive, tmp_path):
    return Notary.at(tmp_path / "elsewhere" / "ledger.key", archive.origin)


@pytest.fixture
def signed(archive, notary, tom, tenant_named):
    """Two tenants with a few entries, and the note over where their chains end."""
    tom.tell("Lyon")
    tom.learn()
    tenant_named("eve").tell("Rome")
    return notary.signed(archive.checkpoint())


def test_one_checkpoint_covers_all_tenants_and_goes_on_verifying(archive, notary, signed, tom, tenant_named):
    checkpoint = audit.opened_note(signed, notary.key)
    assert (checkpoint.origin, checkpoint.size) == (archive.origin, 2)
    assert archive.verify(checkpoint).ok
    tom.tell("Nice")
    tenant_named("ann").tell("Oslo")
    assert archive.verify(checkpoint).ok
    newer = archive.checkpoint()
    assert (newer.size, archive.checkpoint()) == (4, newer)
    assert archive.verify(newer).ok
    assert archive.verify(checkpoint).ok


def test_an_entry_proves_that_it_is_under_a_checkpoint(archive, notary, signed, tom):
    for entry in tom.store.ledger():
        proof = json.loads(json.dumps(archive.inclusion(entry, signed, notary.key)))
        assert audit.require_proof(proof, notary.key).size == 2
    tom.tell("Nice")
    with pytest.raises(NotaryError, match="ice-agent checkpoint"):
        archive.inclusion(tom.store.ledger()[-1], signed, notary.key)


def test_a_proof_opens_what_was_committed_to_and_nothing_else(archive, notary, signed, tom):
    (row,) = (line for line in tom.store.export() if line["kind"] == "fact")
    (entry,) = (e for e in tom.store.ledger() if e.event == "fact.recorded")
    proof = archive.inclusion(entry, signed, notary.key) | {"opening": row}
    audit.require_proof(proof, notary.key)
    lie = row | {"content": row["content"] | {"object": "Oslo"}}
    with pytest.raises(Forged, match="the opening is not what"):
        audit.require_proof(proof | {"opening": lie}, notary.key)


def test_a_newer_checkpoint_proves_that_it_grew_out_of_an_older_one(archive, notary, signed, tom):
    tom.tell("Nice")
    newer = notary.signed(archive.checkpoint())
    proof = archive.consistency(signed, newer, notary.key)
    assert audit.require_proof(proof, notary.key).size == 3
    with pytest.raises(Forged, match="goes back"):
        archive.consistency(newer, signed, notary.key)
    with pytest.raises(Forged, match="goes back"):
        audit.require_proof(proof | {"older": newer, "newer": signed}, notary.key)


def test_an_export_is_checked_by_one_file_away_from_the_database(archive, notary, signed, tom, tmp_path):
    lines = [*tom.store.export(), *archive.export_log()]
    (tmp_path / "export.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (tmp_path / "checkpoint").write_text(signed)
    (tmp_path / "audit.py").write_bytes(AUDIT.read_bytes())
    with_checkpoint = ("--checkpoint", "checkpoint", "--key", str(notary.key))
    assert _offline(tmp_path, "export.jsonl", *with_checkpoint) == (0, "ok\n")
    proof = archive.inclusion(tom.store.ledger()[2], signed, notary.key)
    (tmp_path / "proof.json").write_text(json.dumps(proof))
    assert _offline(tmp_path, "proof.json", "--key", str(notary.key)) == (0, "ok\n")
    code, said = _offline(tmp_path, "proof.json", "--key", str(notary.key).replace("ice-agent", "eve-agent"))
    assert (code, "problem: the key's hash" in said) == (1, True)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda rows: [r for r in rows if r.get("position") != 3], "entry 3 is missing"),
        (lambda rows: [r for r in rows if r["kind"] != "tip"], "has no tip"),
        (lambda rows: [_said(r, "Oslo") for r in rows], "is not what entry"),
        (lambda rows: [r for r in rows if r["kind"] != "signed_tip"], "set back"),
        (
            lambda rows: [r | {"extra": 1} if r["kind"] == "entry" else r for r in rows],
            "no line of an export",
        ),
    ],
)
def test_a_changed_export_is_found(archive, notary, signed, tom, wrong, found):
    rows = wrong([*tom.store.export(), *archive.export_log()])
    try:
        export = Export.read(json.dumps(row) for row in rows)
        problems = list(audit.broken_export(export, audit.opened_note(signed, notary.key)))
    except Forged as error:
        problems = [str(error)]
    assert any(found in problem for problem in problems), problems


def _said(row, value):
    return row | {"content": row["content"] | {"object": value}} if row["kind"] == "fact" else row


def _offline(folder, *words):
    run = [sys.executable, "-I", "audit.py", *words]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
