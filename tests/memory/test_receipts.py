"""A receipt of forgetting: it is proved without the database, says no word, and cannot be changed."""

from __future__ import annotations

import copy
import json
import re

import pytest

from memory import audit
from memory.audit import Export, Forged
from memory.errors import NotaryError
from memory.notary import Notary


@pytest.fixture
def notary(archive, tmp_path):
    return Notary.at(tmp_path / "elsewhere" / "ledger.key", archive.origin)


@pytest.fixture
def taken(tom):
    """One fact of two in an adapter, forgotten."""
    tom.tell("tea", "likes")
    tom.learn()
    fact = tom.tell("Xanadu").fact
    tom.learn()
    return tom.store.forget([fact.id])


@pytest.fixture
def receipt(archive, notary, taken):
    return made(archive, notary, taken)


def made(archive, notary, taken):
    told = {
        "facts": [fact.id for fact in taken.facts],
        "utterances": [utterance.id for utterance in taken.utterances],
        "adapters": [adapter.id for adapter in taken.adapters],
        "probe": [{"fact_id": taken.facts[0].id, "leaks": False}],
    }
    note = notary.signed(archive.checkpoint())
    return archive.receipt(taken.tenant_id, taken.entries, note, notary.key, told)


def signed(notary, receipt, folder):
    return notary.certify(receipt, folder).read_text(encoding="utf-8")


def test_a_receipt_is_checked_without_the_database_and_against_the_ledger(
    archive, notary, taken, receipt, tom, tmp_path
):
    path = notary.certify(receipt, tmp_path / "kept")
    assert audit.opened_receipt(path.read_text(), notary.key) == receipt
    assert [row["entry"]["event"] for row in receipt["entries"]][-1] == "fact.forgotten"
    assert list(audit.broken_receipt(receipt, archive.chain(receipt["tenant"]))) == []
    lines = [json.dumps(row) for row in (*tom.store.export(), *archive.export_log())]
    (tmp_path / "export.jsonl").write_text("\n".join(lines))
    key = str(notary.key)
    assert audit.main([str(path), "--key", key]) == 0
    assert audit.main([str(tmp_path / "export.jsonl"), "--receipt", str(path), "--key", key]) == 0
    assert audit.main([str(path)]) == 1
    assert Export.read(lines).chains.keys() == {receipt["tenant"]}


def test_a_receipt_says_no_word_and_no_name(notary, receipt, tmp_path):
    # Hashes and signatures are long and random: any short word is in some of them.
    text = re.sub(r"[\w+/=]{20,}", "", signed(notary, receipt, tmp_path).lower())
    assert not [word for word in ("xanadu", '"tom"', "home", "tea", "user") if word in text]


@pytest.mark.parametrize(
    "place",
    [
        ("tenant",),
        ("facts", 0),
        ("utterances", 0),
        ("adapters", 0),
        ("probe", 0, "fact_id"),
        ("entries", 0, "path", 0),
        *(("entries", 0, "entry", field) for field in audit.Entry.__dataclass_fields__),
        *(("ledger", "tip", field) for field in audit.Tip.__dataclass_fields__),
        ("ledger", "tip_index"),
        ("ledger", "checkpoint"),
    ],
    ids=lambda place: "/".join(map(str, place)),
)
def test_a_field_that_was_changed_is_found(notary, receipt, place, tmp_path):
    changed = with_change(receipt, place)
    forged = signed(notary, receipt, tmp_path).replace(
        json.dumps(receipt, indent=1, sort_keys=True), json.dumps(changed, indent=1, sort_keys=True)
    )
    assert changed != receipt
    with pytest.raises(Forged, match="does not fit the receipt: one of them was edited"):
        audit.opened_receipt(forged, notary.key)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (("tenant",), "of two tenants"),
        (("facts", 0), "the facts of the receipt are not those"),
        (("utterances", 0), "the utterances of the receipt are not those"),
        (("adapters", 0), "the adapters of the receipt are not those"),
        (("entries", 0, "entry", "commitment"), "was edited"),
        (("entries", 0, "path", 0), "not under the tip's root"),
        (("ledger", "tip", "root"), "not under the tip's root"),
        (("ledger", "tip", "hash"), "the tip is not under the checkpoint's root"),
        (("ledger", "checkpoint"), "checkpoint"),
        (("ledger",), "not whole"),
    ],
)
def test_whoever_has_the_key_cannot_sign_what_the_ledger_does_not_say(
    notary, receipt, place, found, tmp_path
):
    note = signed(notary, with_change(receipt, place), tmp_path)
    with pytest.raises(Forged, match=found):
        audit.opened_receipt(note, notary.key)


def test_a_receipt_is_no_checkpoint_and_a_checkpoint_no_receipt(archive, notary, receipt, tmp_path):
    with pytest.raises(Forged, match="no checkpoint"):
        audit.opened_note(signed(notary, receipt, tmp_path), notary.key)
    with pytest.raises(Forged, match="no receipt"):
        audit.opened_receipt(notary.signed(archive.checkpoint()), notary.key)


def test_a_ledger_that_was_set_back_behind_a_receipt_is_found(archive, receipt):
    earlier = archive.chain(receipt["tenant"])[: receipt["entries"][0]["entry"]["position"]]
    problems = list(audit.broken_receipt(receipt, earlier))
    assert len(problems) == len(receipt["entries"]) - 1
    assert "is not in the ledger" in problems[0]


def test_a_checkpoint_from_before_proves_nothing(archive, notary, tom):
    fact = tom.tell("Xanadu").fact
    before = notary.signed(archive.checkpoint())
    taken = tom.store.forget([fact.id])
    with pytest.raises(NotaryError, match="older than entry"):
        archive.receipt(taken.tenant_id, taken.entries, before, notary.key, {})


def test_a_tenant_that_was_forgotten_has_a_receipt_too(archive, notary, tom, tmp_path):
    fact = tom.tell("Xanadu").fact
    tom.learn()
    taken = tom.store.forget_everything()
    receipt = made(archive, notary, taken)
    assert receipt["facts"] == [fact.id]
    assert [row["entry"]["event"] for row in receipt["entries"]] == ["tenant.forgotten"]
    assert audit.opened_receipt(signed(notary, receipt, tmp_path), notary.key) == receipt
    assert list(audit.broken_receipt(receipt, archive.chain(taken.tenant_id))) == []


def with_change(receipt, place):
    changed = copy.deepcopy(receipt)
    *way, last = place
    at = changed
    for step in way:
        at = at[step]
    old = at[last]
    at[last] = old + 1 if isinstance(old, int) else ("f" * 64 if place[-1] != "ledger" else {})
    return changed
