"""Every kind of tampering with the database is found, and the message names what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from memory import CandidateFact, Forged, Notary, Rate, Scores, SuiteScores, audit
from memory.tables import Table
from tests.memory.conftest import Tenant, behind_its_back, emptied


@pytest.fixture(scope="module")
def life(opened, tmp_path_factory):
    """A tenant with a bit of everything, another one beside it, and a checkpoint over both."""
    archive = emptied(opened)
    tom, eve = Tenant(archive.store("tom")), Tenant(archive.store("eve"))
    lyon = tom.tell("Lyon").fact
    tom.tell("lyon")
    first = tom.learn()
    rules = SuiteScores(name="rules", right=Rate(hits=2, asked=3), n_texts=1, perplexity_ratio=1.5)
    tom.store.record_scores(first.id, Scores(edit_success=Rate(hits=1, asked=1), suites=(rules,)))
    old = tom.tell("Ulm", "born_in", valid_until=date(2010, 1, 1)).fact
    tom.tell("Nice")
    tom.likes("tea")
    second = tom.learn()
    tom.store.revert()
    tom.take_back("Nice")
    poison, rome = tom.likes("poison").fact, tom.tell("Rome", "works_in").fact
    assert lyon
    assert old
    assert poison
    assert rome
    tom.store.quarantine(poison.id, "it is wrong")
    proposed = CandidateFact(
        subject="user", relation="owns", object="a boat", statement="I own a boat.", start=0, end=4
    )
    (proposal,) = tom.store.tell("Do I own a boat?", proposed=[proposed]).proposed
    xanadu = tom.tell("Xanadu", "hates").fact
    assert xanadu
    tom.store.forget([xanadu.id])
    lease = tom.lease()
    batch = tom.store.claim_batch(9, lease)
    assert batch
    eve.tell("Oslo")
    notary = Notary.at(tmp_path_factory.mktemp("elsewhere") / "ledger.key", archive.origin)
    note = notary.signed(archive.checkpoint())
    by_object = {fact.object: fact.id for fact in tom.store.facts(statuses=list(tom.store.counts()))}
    assert archive.verify(audit.opened_note(note, notary.key)).problems == ()
    return SimpleNamespace(
        tom=tom, eve=eve, notary=notary, note=note, origin=archive.origin,
        old=old.id, first=first.id, second=second.id, batch=batch.id,
        lyon=lyon.id, nice=by_object["Nice"], tea=by_object["tea"], poison=poison.id, rome=rome.id,
        proposal=proposal.id, heard=lyon.utterance_id, last=tom.store.tip().position,
        me=tom.store.tip().tenant, other=eve.store.tip().tenant,
    )  # fmt: skip


@pytest.fixture
def tamper(opened, life) -> Iterator[Callable[[str], None]]:
    """Runs SQL behind the store's back; all is as it was afterwards."""
    with opened._engine.connect() as connection:
        rows = {table: connection.execute(table.select()).mappings().all() for table in TABLES}

    def run(sql: str) -> None:
        with behind_its_back(opened) as connection:
            for statement in sql.format(**vars(life)).split("; "):
                connection.execute(sa.text(statement))

    yield run
    with behind_its_back(opened) as connection:
        _put_back(connection, rows)


TABLES = Table.metadata.sorted_tables
OF_TOM = "tenant = '{me}'"

ENTRY_COLUMNS = "tenant, position, event, subject_id, commitment, at, previous_hash, hash"

WITH_THE_CHAIN = {
    "flip a byte of an entry": (
        "UPDATE ledger_entries SET event = 'fact.recordee' WHERE position = 3 AND " + OF_TOM,
        "entry 3 (fact.recordee) was edited",
    ),
    "backdate an entry": (
        "UPDATE ledger_entries SET at = '2020-01-01 00:00:00+00:00' WHERE position = 3 AND " + OF_TOM,
        "entry 3 (fact.recorded) was edited",
    ),
    "change a commitment": (
        "UPDATE ledger_entries SET commitment = hash WHERE position = 3 AND " + OF_TOM,
        "entry 3 (fact.recorded) was edited",
    ),
    "change a hash": (
        "UPDATE ledger_entries SET hash = previous_hash WHERE position = 3 AND " + OF_TOM,
        "entry 3 (fact.recorded) was edited",
    ),
    "drop the first": ("DELETE FROM ledger_entries WHERE position = 1 AND " + OF_TOM, "entry 1 is missing"),
    "drop one in the middle": (
        "DELETE FROM ledger_entries WHERE position = 3 AND " + OF_TOM,
        "entry 3 is missing",
    ),
    "drop the tail": (
        "DELETE FROM ledger_entries WHERE position > {last} - 2 AND " + OF_TOM,
        "are missing: the tail was cut off",
    ),
    "drop all": ("DELETE FROM ledger_entries WHERE " + OF_TOM, "entries 1 to {last} are missing"),
    "insert one at the end": (
        f"INSERT INTO ledger_entries ({ENTRY_COLUMNS}) SELECT tenant, position + 1, event, subject_id, "
        "commitment, at, hash, hash FROM ledger_entries WHERE position = {last} AND " + OF_TOM,
        "the tip says entry {last}, and the chain goes on",
    ),
    "swap two": (
        "UPDATE ledger_entries SET position = -1 WHERE position = 2 AND " + OF_TOM + "; "
        "UPDATE ledger_entries SET position = 2 WHERE position = 3 AND " + OF_TOM + "; "
        "UPDATE ledger_entries SET position = 3 WHERE position = -1 AND " + OF_TOM,
        "entry 3 (utterance.heard) belongs at position 2: entries were swapped",
    ),
    "set the tip back": (
        "UPDATE ledger_tips SET position = position - 1 WHERE " + OF_TOM,
        "the chain goes on to entry {last}",
    ),
    "change the tip": (
        "UPDATE ledger_tips SET hash = 'f00' WHERE " + OF_TOM,
        "the tip does not match entry {last}",
    ),
    "change the tree": (
        "UPDATE ledger_tips SET peaks = peaks || peaks WHERE " + OF_TOM,
        "the tip's root is not that of the tree",
    ),
}

COLUMNS = (
    "tenant, subject, relation, object, statement, subject_key, value_key, cardinality, status, recorded_at, "
    "valid_from, valid_until, stated_from, ended_at, utterance_id, span_start, span_end, is_held, "
    "attempts, confidence, source, salt, commitment"
)

WITH_WHAT_WAS_SAID = {
    "change a fact's value": (
        "UPDATE facts SET object = 'Oslo', value_key = 'oslo' WHERE id = '{lyon}'",
        "{lyon} no longer says what entry 3 (fact.recorded) committed to",
    ),
    "change whom it is about": (
        "UPDATE facts SET subject = 'Eve' WHERE id = '{lyon}'",
        "{lyon} no longer says what entry",
    ),
    "change when it began": (
        "UPDATE facts SET stated_from = '2001-01-01 00:00:00+00:00' WHERE id = '{lyon}'",
        "{lyon} no longer says what entry",
    ),
    "change since when it holds": (
        "UPDATE facts SET valid_from = '2001-01-01 00:00:00+00:00' WHERE id = '{lyon}'",
        "{lyon} holds from or until a day that no entry tells of",
    ),
    "move it to another slot": (
        "UPDATE facts SET subject_key = 'eve' WHERE id = '{lyon}'",
        "{lyon} is compared by what it does not say",
    ),
    "replace its salt": ("UPDATE facts SET salt = 'aa' WHERE id = '{lyon}'", "{lyon} no longer says what"),
    "replace its commitment": (
        "UPDATE facts SET commitment = 'aa' WHERE id = '{lyon}'",
        "{lyon} no longer says what entry",
    ),
    "unlink it from what it superseded": (
        "UPDATE facts SET supersedes_id = NULL WHERE id = '{nice}'",
        "{nice} no longer says what entry",
    ),
    "delete a fact": (
        "DELETE FROM facts WHERE id = '{rome}'",
        "{rome} of entry",
    ),
    "add a fact": (
        f"INSERT INTO facts (id, {COLUMNS}) SELECT 'f_forged', {COLUMNS} FROM facts WHERE id = '{{nice}}'",
        "f_forged has no fact.recorded entry: it was added behind the ledger's back",
    ),
    "move a fact to another tenant": (
        "UPDATE facts SET tenant = '{other}' WHERE id = '{rome}'",
        "eve: {rome} has no fact.recorded entry",
    ),
    "change what was said": (
        "UPDATE utterances SET text = 'I never did.' WHERE id = '{heard}'",
        "{heard} no longer says what entry 2 (utterance.heard) committed to",
    ),
    "change who said it": (
        "UPDATE utterances SET speaker = 'eve' WHERE id = '{heard}'",
        "{heard} no longer says what entry",
    ),
    "delete what was said": ("DELETE FROM utterances WHERE id = '{heard}'", "{heard} of entry 2"),
    "change a mention": (
        "UPDATE mentions SET span_end = span_end + 1 WHERE fact_id = '{lyon}'",
        "the mentions of {lyon} are not those",
    ),
    "delete a mention": ("DELETE FROM mentions WHERE " + OF_TOM, "the mentions of {lyon} are not those"),
    "move a mention": (
        "UPDATE mentions SET fact_id = '{rome}' WHERE " + OF_TOM,
        "the mentions of {rome} are not those",
    ),
    "change a proposal": (
        "UPDATE proposals SET candidate = replace(candidate, 'boat', 'yacht') WHERE " + OF_TOM,
        "{proposal} no longer says what entry",
    ),
    "delete a proposal": ("DELETE FROM proposals WHERE " + OF_TOM, "{proposal} of entry"),
    "swap two tenants' names": (
        "UPDATE tenants SET name = 'x' WHERE id = '{me}'; "
        "UPDATE tenants SET name = 'tom' WHERE id = '{other}'; "
        "UPDATE tenants SET name = 'eve' WHERE id = '{me}'",
        "{me} no longer says what entry 1 (tenant.registered) committed to",
    ),
    "make a personal lineage a shared one": (
        "UPDATE tenants SET is_shared = (1 = 1) WHERE id = '{me}'",
        "{me} no longer says what entry 1",
    ),
}

WITH_WHAT_BECAME_OF_IT = {
    "revive a fact that was taken back": (
        "UPDATE facts SET status = 'superseded' WHERE id = '{lyon}'; "
        "UPDATE facts SET status = 'pending' WHERE id = '{nice}'",
        "{nice} is pending, and the ledger says retracted",
    ),
    "revive a fact that was superseded": (
        "UPDATE facts SET status = 'pending' WHERE id = '{old}'",
        "{old} is pending, and the ledger says superseded",
    ),
    "call a retraction a supersession": (
        "UPDATE facts SET status = 'superseded' WHERE id = '{nice}'",
        "{nice} is superseded, and the ledger says retracted",
    ),
    "end a fact": (
        "UPDATE facts SET status = 'retracted' WHERE id = '{rome}'",
        "{rome} is retracted, and the ledger says claimed",
    ),
    "release a quarantined fact": (
        "UPDATE facts SET status = 'pending' WHERE id = '{poison}'",
        "{poison} is pending, and the ledger says quarantined",
    ),
    "release a held fact": (
        "UPDATE facts SET status = 'pending' WHERE id = '{tea}'",
        "{tea} is pending, and the ledger says held",
    ),
    "let go of a held fact when it stands again": (
        "UPDATE facts SET is_held = (1 = 0) WHERE id = '{tea}'",
        "{tea} is not held, and the ledger says otherwise",
    ),
    "hide a fact from the prompt": (
        "UPDATE facts SET status = 'learned' WHERE id = '{rome}'",
        "{rome} is learned, and the ledger says claimed",
    ),
    "say that the weights hold a fact": (
        "UPDATE facts SET status = 'learned', adapter_id = '{first}' WHERE id = '{rome}'",
        "{rome} is said to be in {first}",
    ),
    "change why a fact is kept out": (
        "UPDATE facts SET quarantine_reason = 'no reason' WHERE id = '{poison}'",
        "{poison} is kept out of edits for a reason",
    ),
    "change when a fact ended": (
        "UPDATE facts SET valid_until = '2999-01-01 00:00:00+00:00' WHERE id = '{nice}'",
        "{nice} ended otherwise in entry",
    ),
    "let a fact end that stands": (
        "UPDATE facts SET valid_until = '2020-01-01 00:00:00+00:00' WHERE id = '{rome}'",
        "{rome} has an end that no entry tells of",
    ),
    "approve a proposal": (
        "UPDATE proposals SET status = 'approved' WHERE " + OF_TOM,
        "{proposal} is approved, and the ledger says proposed",
    ),
    "lift a tombstone": (
        "DELETE FROM tombstones WHERE " + OF_TOM,
        "is gone: what was forgotten could be learned again",
    ),
    "lay a tombstone": (
        "UPDATE tombstones SET digest = 'f00' WHERE " + OF_TOM,
        "1 tombstones were laid behind the ledger's back",
    ),
    "blind the tombstones": (
        "UPDATE tenants SET tombstone_salt = 'aa' WHERE id = '{me}'",
        "is blind: the tenant's salt was edited",
    ),
}

WITH_WHAT_WAS_LEARNED = {
    "change which adapter serves": (
        "UPDATE adapters SET status = 'reverted' WHERE id = '{first}'; "
        "UPDATE adapters SET status = 'promoted' WHERE id = '{second}'",
        "{second} serves, and the ledger says {first}",
    ),
    "let nothing serve": (
        "UPDATE adapters SET status = 'retired' WHERE id = '{first}'",
        "nothing serves, and the ledger says {first}",
    ),
    "call a reverted adapter a candidate": (
        "UPDATE adapters SET status = 'candidate' WHERE id = '{second}'",
        "{second} is candidate, and the ledger says reverted",
    ),
    "point an adapter at other files": (
        "UPDATE adapters SET path = 'elsewhere' WHERE id = '{first}'",
        "{first} no longer says what entry",
    ),
    "change scores": (
        "UPDATE adapters SET scores = '{{}}' WHERE id = '{first}'",
        "{first} no longer says what entry",
    ),
    "change the scores of a suite": (
        "UPDATE adapters SET scores = replace(scores, '[2, 3]', '[3, 3]') WHERE id = '{first}'",
        "{first} no longer says what entry",
    ),
    "remove scores": ("UPDATE adapters SET scores = NULL WHERE id = '{first}'", "(adapter.scored) is gone"),
    "change a verdict": (
        "UPDATE adapters SET verdict = replace(verdict, 'true', 'false') WHERE id = '{second}'",
        "{second} was judged otherwise in entry",
    ),
    "drop a batch's members": (
        "DELETE FROM batch_facts WHERE batch_id = '{batch}'",
        "{batch} no longer says what entry",
    ),
    "change a batch's members": (
        "UPDATE batch_facts SET fact_id = '{poison}' WHERE batch_id = '{batch}' AND fact_id = '{rome}'",
        "{batch} did not claim {poison} as fact",
    ),
    "change what a batch does to a fact": (
        "UPDATE batch_facts SET role = 'set_aside' WHERE batch_id = '{batch}' AND fact_id = '{rome}'",
        "{batch} did not claim {rome} as set_aside",
    ),
    "call a running batch done": (
        "UPDATE batches SET status = 'done' WHERE id = '{batch}'",
        "{batch} is done, and the ledger says claimed",
    ),
}

ALL = WITH_THE_CHAIN | WITH_WHAT_WAS_SAID | WITH_WHAT_BECAME_OF_IT | WITH_WHAT_WAS_LEARNED


@pytest.mark.parametrize("tampering", ALL)
def test_tampering_is_found_and_named(opened, life, tamper, tampering):
    change, found = ALL[tampering]
    tamper(change)
    problems = opened.verify().problems
    assert any(found.format(**vars(life)) in problem for problem in problems), problems
    assert all(problem.startswith(("tom: ", "eve: ")) for problem in problems)


def cut(table: str) -> str:
    return f"DELETE FROM {table} WHERE position > 5 AND {OF_TOM}"


SINCE_THE_CHECKPOINT = {
    "cut the tail together with its tip": (
        cut("ledger_entries")
        + "; UPDATE ledger_tips SET position = 5, hash = (SELECT hash FROM ledger_entries e "
        "WHERE e.position = 5 AND e.tenant = ledger_tips.tenant) WHERE " + OF_TOM,
        "entries 6 to {last} are missing since the checkpoint",
    ),
    "cut signed tips": ("DELETE FROM signed_tips WHERE number = 1", "the database was set back"),
    "rewrite signed tips": ("UPDATE signed_tips SET root = hash", "signed tips is not the one"),
    "swap signed tips": (
        "UPDATE signed_tips SET number = -1 WHERE number = 0; "
        "UPDATE signed_tips SET number = 0 WHERE number = 1; "
        "UPDATE signed_tips SET number = 1 WHERE number = -1",
        "signed tips is not the one",
    ),
    "be another archive": (
        "UPDATE archive SET id = 'ar_other'",
        "the checkpoint is of {origin}, and this is",
    ),
}


@pytest.mark.parametrize("tampering", SINCE_THE_CHECKPOINT)
def test_what_was_changed_since_a_checkpoint_is_found_and_named(opened, life, tamper, tampering):
    change, found = SINCE_THE_CHECKPOINT[tampering]
    tamper(change)
    problems = opened.verify(audit.opened_note(life.note, life.notary.key)).problems
    assert any(found.format(**vars(life)) in problem for problem in problems), problems


@pytest.mark.parametrize("tampering", list(SINCE_THE_CHECKPOINT)[:-1])
def test_the_log_in_the_database_shows_what_was_cut_to_those_who_kept_no_checkpoint(
    opened, life, tamper, tampering
):
    tamper(SINCE_THE_CHECKPOINT[tampering][0])
    assert not opened.verify().ok


def test_a_history_that_was_rewritten_from_the_start_is_found(opened, life, tamper):
    """All hashes, tips and logs fit each other: only the checkpoint knows that there was another history."""
    forged = _rewritten(life.tom.store.ledger())
    rows = ", ".join(
        f"('{e.tenant}', {e.position}, '{e.event}', '{e.subject_id}', '{e.commitment}', "
        f"'{e.at.replace('T', ' ')}', '{e.previous_hash}', '{e.hash}')"
        for e in forged
    )
    peaks: tuple[bytes, ...] = ()
    for size, entry in enumerate(forged):
        peaks = audit.grown(peaks, size, audit.leaf_hash(entry.hash.encode()))
    text = "".join(peak.hex() for peak in peaks)
    tamper(
        f"DELETE FROM ledger_entries WHERE {OF_TOM}; "
        f"INSERT INTO ledger_entries ({ENTRY_COLUMNS}) VALUES {rows}; "
        f"UPDATE ledger_tips SET hash = '{forged[-1].hash}', peaks = '{text}' WHERE {OF_TOM}; "
        f"DELETE FROM signed_tips; UPDATE archive SET n_signed = 0, peaks = ''"
    )
    assert list(audit.broken_chain(life.tom.store.ledger(), life.tom.store.tip())) == []
    opened.checkpoint()
    problems = opened.verify(audit.opened_note(life.note, life.notary.key)).problems
    assert any("not the one that the checkpoint signed" in problem for problem in problems), problems


def test_a_database_that_was_set_back_whole_is_found_by_the_newest_checkpoint(opened, life, tamper):
    """The old copy is whole in itself, and so is the old checkpoint: the newer one tells."""
    older = audit.opened_note(life.note, life.notary.key)
    with opened._engine.connect() as connection:
        copy = {table: connection.execute(table.select()).mappings().all() for table in TABLES}
    life.tom.tell("Oslo")
    newer = opened.checkpoint()
    with behind_its_back(opened) as connection:
        _put_back(connection, copy)
    assert opened.verify(older).ok
    problems = opened.verify(newer).problems
    assert "the checkpoint covers 3 tips and only 2 are left: the database was set back" in problems


def test_a_checkpoint_that_another_key_signed_is_refused(life, tmp_path):
    stranger = Notary.at(tmp_path / "stranger.key", life.notary.key.name)
    checkpoint = audit.opened_note(life.note, life.notary.key)
    with pytest.raises(Forged, match="with this key"):
        audit.opened_note(stranger.signed(checkpoint), life.notary.key)


def test_what_no_entry_vouches_for_is_this(opened, life, tamper):
    """Said in memory/verification.py too: what steers work, or grows by itself."""
    tamper(
        "UPDATE leases SET owner = 'eve'; UPDATE facts SET attempts = 9, confidence = 0.1, batch_id = NULL; "
        "UPDATE batch_facts SET previous_adapter_id = NULL; UPDATE adapters SET promoted_at = created_at"
    )
    assert opened.verify().ok


def _rewritten(chain):
    """The same chain with another fifth entry, and every later hash made to fit."""
    forged, previous = [], audit.GENESIS
    for entry in chain:
        commitment = "f" * 64 if entry.position == 5 else entry.commitment
        made = replace(entry, commitment=commitment, previous_hash=previous)
        forged.append(replace(made, hash=made.hash_at(made.position)))
        previous = forged[-1].hash
    return forged


def _put_back(connection, rows):
    for table in TABLES:
        connection.execute(table.delete())
        if rows[table]:
            connection.execute(table.insert(), [dict(row) for row in rows[table]])
