"""Verbs for whoever answers for what was learned: review, checkpoints, proofs, exports, forgetting."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from pathlib import Path

from memory import audit


def test_a_checkpoint_is_signed_and_shows_that_the_database_was_set_back(ice, said, promoted, store, home):
    signed = said("checkpoint")
    assert (signed["signed_tips"], Path(signed["checkpoint"]).name) == (1, "000000001.checkpoint")
    assert said("verify")["signed_tips"] == 1
    shutil.copy(home / "ice_agent.db", home / "before.db")
    store.tell("I like tea.")
    newer = said("checkpoint")["checkpoint"]
    assert ice("consistency", signed["checkpoint"], newer)[0] == 0
    assert ice("verify", "--checkpoint", signed["checkpoint"])[0] == 0
    (home / newer).write_text((home / signed["checkpoint"]).read_text())
    code, out, _ = ice("verify")
    assert (code, "covers 1 of the 2 tips that were signed" in " ".join(out.split())) == (1, True)


def test_what_is_held_can_be_exported_and_proved_without_the_database(ice, said, promoted, store, home):
    key = said("checkpoint")["key"]
    (fact,) = store.learned()
    proof, lines = ice("prove", fact.id, "--open")[1], ice("export")[1]
    (home / "proof.json").write_text(proof)
    (home / "export.jsonl").write_text(lines)
    assert json.loads(proof)["opening"]["content"]["object"] == "Lisbon"
    assert "Lisbon" not in ice("prove", fact.id)[1] + ice("export", "--ledger")[1]
    for file in ("proof.json", "export.jsonl"):
        assert audit.main([file, "--key", key]) == 0
    (home / "proof.json").write_text(proof.replace("Lisbon", "Oslo"))
    assert audit.main(["proof.json", "--key", key]) == 1


def test_a_proof_without_a_checkpoint_names_the_next_step(ice, promoted, store):
    code, _, err = ice("prove", store.learned()[0].id)
    assert (code, "ice-agent checkpoint" in err) == (1, True)


def test_forgetting_shows_first_what_would_go(ice, said, promoted, store, home):
    (fact,) = store.learned()
    code, out, _ = ice("forget", fact.id, "--dry-run")
    assert (code, "would forget 1 fact" in out, "a_1 deleted" in out) == (0, True, True)
    assert store.learned() == (fact,)
    done = said("forget", fact.id)
    assert [a["id"] for a in done["forgotten"]["adapters"]] == ["a_1"]
    assert (store.serving().id, (home / "adapters" / "a_1").exists()) == ("root_1", False)
    assert ice("show", fact.id)[0] == 1
    assert ice("verify")[0] == 0
    (home / "adapters" / "a_1").mkdir()
    assert "still holds what was forgotten" in " ".join(ice("verify")[1].split())


def test_forgetting_leaves_a_signed_receipt_that_verify_holds_the_disk_against(
    ice, said, promoted, store, home
):
    (fact,) = store.learned()
    assert said("forget", fact.id, "--dry-run")["receipt"] is None
    path = said("forget", fact.id)["receipt"]
    text = Path(path).read_text().lower()
    assert (fact.id in text, "a_1" in text, "ever taught it" in text) == (True, True, True)
    assert [word for word in ("lisbon", "default", "live") if word in text] == []
    assert said("verify", "--receipt", path)["ok"]
    key = (home / "checkpoints" / "key.pub").read_text().strip()
    assert audit.main([path, "--key", key]) == 0
    (home / "adapters" / "a_1").mkdir()
    assert "a_1 is there again" in " ".join(ice("verify", "--receipt", path)[1].split())
    (home / "changed.receipt").write_text(Path(path).read_text().replace(fact.id, "f_0"))
    code, out, _ = ice("verify", "--receipt", "changed.receipt")
    assert (code, "one of them was edited" in " ".join(out.split())) == (1, True)


def test_a_backup_that_brings_a_forgotten_fact_back_is_found(ice, said, promoted, store, home):
    (fact,) = store.learned()
    with sqlite3.connect("ice_agent.db") as database, sqlite3.connect("backup.db") as backup:
        database.backup(backup)
    path = said("forget", fact.id)["receipt"]
    with sqlite3.connect("backup.db") as backup, sqlite3.connect("ice_agent.db") as database:
        backup.backup(database)
    code, out, _ = ice("verify", "--receipt", path)
    assert (code, f"{fact.id} is in the database again" in " ".join(out.split())) == (1, True)
    assert "of the receipt is not in the ledger" in " ".join(out.split())


def test_a_key_that_cannot_sign_is_said_before_anything_is_erased(ice, promoted, store, home):
    (home / "ledger.key").write_text("no key")
    (fact,) = store.learned()
    code, _, err = ice("forget", fact.id)
    assert (code, "holds no signing key" in err) == (1, True)
    assert store.learned() == (fact,)


def test_what_is_sensitive_is_kept_in_the_prompt_and_never_released(ice, said, store, monkeypatch):
    monkeypatch.setenv("ICE_COLLECT__SENSITIVE_RELATIONS", '["home"]')
    assert said("add", "I live in Lisbon.")["learned"] == 0
    monkeypatch.setenv("ICE_COLLECT__SENSITIVE_POLICY", "prompt")
    assert "no weights ever learn it" in " ".join(ice("add", "I live in Lisbon.")[1].split())
    (fact,) = store.recall()
    assert (fact.object, fact.status) == ("Lisbon", "quarantined")
    assert "no weights ever learn it" in " ".join(ice("pending")[1].split())
    code, _, err = ice("release", fact.id)
    assert (code, "sensitive_relations" in err) == (1, True)


def test_what_was_forgotten_is_not_learned_again_until_that_is_allowed(ice, said, promoted, store):
    said("forget", store.learned()[0].id)
    assert "not learned again" in " ".join(ice("add", "I live in Lisbon.")[1].split())
    assert "Lisbon" not in str(list(store.export()))
    assert said("allow", "I live in Lisbon.")["allowed"][0]["object"] == "Lisbon"
    assert ice("allow", "I live in Lisbon.")[1] == "nothing in it was forgotten\n"
    assert said("add", "I live in Lisbon.")["learned"] == 1


def test_all_of_a_tenant_is_forgotten_only_when_that_is_confirmed(ice, said, promoted, store, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert ice("forget", "--tenant", "default")[0] == 130
    assert said("forget", "--tenant", "default", "--dry-run")["forgotten"]["fact"] == 1
    assert store.exists()
    done = said("forget", "--tenant", "default", "--yes")
    assert done["forgotten"]["adapter"] == 2
    assert said("verify", "--receipt", done["receipt"])["ok"]
    assert not store.exists()
    assert ice("forget", "--tenant", "default", "--yes")[0] == 1
    assert ice("forget")[0] == 2


def test_what_needs_approval_is_no_fact_before_somebody_approves_it(ice, said, store, monkeypatch):
    monkeypatch.setenv("ICE_COLLECT__APPROVAL", "manual")
    code, out, _ = ice("add", "I live in Lisbon and I like tea.")
    assert (code, "wait for approval" in " ".join(out.split())) == (0, True)
    assert store.facts() == ()
    home, tea = (row["proposal"]["id"] for row in said("review")["proposals"])
    assert "I live in Lisbon" in " ".join(ice("review")[1].split())
    assert ice("approve", home)[1].startswith(store.facts()[0].id)
    assert said("decline", tea)["declined"][0]["status"] == "declined"
    assert ice("review")[1] == "nothing waits for approval\n"
    assert ice("approve", tea)[0] == 1
    assert [fact.object for fact in store.facts()] == ["Lisbon"]


def test_a_key_is_shown_once_and_revoked_by_its_id(store, said, ice):
    made = said("keys", "--issue", "phone")
    (key,) = made["keys"]
    assert made["issued"].startswith(f"{key['id']}.")
    assert said("keys")["issued"] is None
    assert "revoked" in ice("keys", "--revoke", key["id"])[1]
    code, _, error = ice("keys", "--revoke", key["id"])
    assert (code, error.count("revoked already")) == (1, 1)
