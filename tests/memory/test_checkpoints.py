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


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        pytest.param(
            "DELETE FROM ledger_entries WHERE position > 3; UPDATE ledger_tips SET position = 3, hash = "
            "(SELECT hash FROM ledger_entries e WHERE e.position = 3 AND e.tenant = ledger_tips.tenant)",
            "missing since the checkpoint",
            id="cut the tail together with its tip",
        ),
        pytest.param("DELETE FROM signed_tips WHERE number = 1", "set back", id="cut signed tips"),
        pytest.param("UPDATE signed_tips SET root = hash", "rewritten", id="rewrite signed tips"),
        pytest.param("UPDATE signed_tips SET number = 2 WHERE number = 0", "rewritten", id="swap tips"),
        pytest.param("UPDATE archive SET id = 'ar_other'", "and this is", id="another archive"),
    ],
)
def test_what_was_changed_since_a_checkpoint_is_found_and_named(
    archive, notary, signed, execute, tampering, found
):
    kept = archive.origin.removeprefix("ice-agent/")
    for statement in tampering.split("; "):
        execute(statement)
    problems = archive.verify(audit.opened_note(signed, notary.key)).problems
    execute(f"UPDATE archive SET id = '{kept}'")
    assert any(found in problem for problem in problems), problems


def test_a_history_that_was_rewritten_from_the_start_is_found(archive, notary, signed, execute, tom):
    """All hashes, tips and rows fit each other: only the checkpoint knows that there was another history."""
    forged = _rewritten(tom.store.ledger())
    execute(f"DELETE FROM ledger_entries WHERE tenant = '{forged[0].tenant}'")
    for entry in forged:
        execute(
            "INSERT INTO ledger_entries (tenant, position, event, subject_id, commitment, at, previous_hash, "
            f"hash) VALUES ('{entry.tenant}', {entry.position}, '{entry.event}', '{entry.subject_id}', "
            f"'{entry.commitment}', '{entry.at.replace('T', ' ')}', '{entry.previous_hash}', '{entry.hash}')"
        )
    peaks: tuple[bytes, ...] = ()
    for size, entry in enumerate(forged):
        peaks = audit.grown(peaks, size, audit.leaf_hash(entry.hash.encode()))
    text = "".join(peak.hex() for peak in peaks)
    execute(
        f"UPDATE ledger_tips SET hash = '{forged[-1].hash}', peaks = '{text}' "
        f"WHERE tenant = '{forged[0].tenant}'"
    )
    assert list(audit.broken_chain(tom.store.ledger(), tom.store.tip())) == []
    problems = archive.verify(audit.opened_note(signed, notary.key)).problems
    assert any("not those that the checkpoint signed" in problem for problem in problems)


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


def _rewritten(chain):
    """The same chain with another third entry, and every later hash made to fit."""
    forged, previous = [], audit.GENESIS
    for entry in chain:
        commitment = "f" * 64 if entry.position == 5 else entry.commitment
        values = {name: getattr(entry, name) for name in audit.Entry.__dataclass_fields__}
        made = audit.Entry(**values | {"commitment": commitment, "previous_hash": previous})
        made = audit.Entry(**{n: getattr(made, n) for n in values} | {"hash": made.hash_at(made.position)})
        forged.append(made)
        previous = made.hash
    return forged


def _offline(folder, *words):
    run = [sys.executable, "-I", "audit.py", *words]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
