# %% [markdown]
# An audit, cell by cell: from an answer to the sentence it came from, the adapter that gives it, the
# ledger, a proof for somebody without the database, and the receipt of a forgetting. Run it where your
# `config.toml` and memory are, after a cycle; no model is needed:
#
#     python examples/audit.py "Where do I live?"             # reads, and signs a checkpoint
#     python examples/audit.py "Where do I live?" --forget    # erases that fact in the end, for good

# %% The memory, and an answer that somebody doubts
import json
import subprocess
import sys
from pathlib import Path

from ice_agent import config, explain, forget, promote, verify
from memory import Archive, Notary

QUESTION = sys.argv[1]
settings = config.load()
archive = Archive.open(settings.store.url)
store = archive.store(settings.agent.tenant)
offline = [sys.executable, "-m", "memory.audit"]  # one file that needs neither the database nor a model

# %% From the answer to the words it came from
story = explain.explain(store, settings.adapters.dir, QUESTION)
fact = story.fact
print(f"{fact.id}  {fact.statement}  [{fact.status}]")
for mention in story.mentions:
    print(f"  heard {mention.utterance.said_at:%Y-%m-%d}: ...{mention.words}...")
for older in story.history:
    print(f"  {older.status:<10} {older.object}")

# %% The adapter that gives it: what it was measured by, and its card
if (adapter := story.adapter) is None or adapter.scores is None or adapter.parent_scores is None:
    sys.exit("no adapter holds it yet: it is answered from the prompt (run `ice-agent cycle`)")
print(f"\n{adapter.id}, made from {adapter.parent_id}, {adapter.status}")
for guard in promote.table(adapter.parent_scores, adapter.scores, settings.guards):
    print(f"  {guard.metric:<32} {guard.candidate:<18} {guard.bar:<8} {'held' if guard.held else 'BROKEN'}")
for asked in story.transcripts:
    print(f"  {asked.prompt}  before: {asked.before}  after: {asked.after}")
card = settings.adapters.dir / adapter.path / "README.md"
print(f"  its card: {card.name}, {len(card.read_text().splitlines())} lines, without a word of what was told")

# %% Is everything as it was recorded?
checked = verify.everything(archive, settings)
print(f"\nledger: {checked.n_entries} entries, {'sound' if checked.ok else checked.problems}")

# %% A checkpoint: keep it, and the public key, where nobody who writes to the database can write
notary = Notary.at(settings.ledger.key, archive.origin)
checkpoint = notary.sign(archive.checkpoint(), settings.ledger.checkpoints)
print(f"signed: {checkpoint.name}, to be checked with {notary.key}")

# %% A proof that this very fact is under it, for somebody without the database
proof = Path("proof.json")
proof.write_text(json.dumps(verify.proof(archive, settings, store.tenant, fact.id, opening=True)))
subprocess.run([*offline, str(proof), "--key", str(notary.key)], check=True)

# %% Forgetting it: rows, words and adapters go; a signed receipt stays
if "--forget" in sys.argv:
    taken, receipt = forget.attested(
        archive, store, settings, lambda: forget.forget(store, settings, [fact.id])
    )
    assert receipt is not None
    print(
        f"\ngone: {len(taken.facts)} fact, {len(taken.utterances)} utterance, {len(taken.adapters)} adapters"
    )
    subprocess.run([*offline, str(receipt), "--key", str(notary.key)], check=True)
    print(f"still gone: {verify.undone_by(archive, settings, receipt) or 'yes'}")

# %% The end
archive.close()
