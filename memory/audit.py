"""Checks a ledger away from its database: hash chain, Merkle trees, signed checkpoints, proofs.

This file stands alone, to be read and run by somebody who trusts neither the database nor this package:

    python audit.py export.jsonl [--checkpoint FILE] [--receipt FILE] [--key KEY]
    python audit.py proof.json --key KEY
    python audit.py forgotten.receipt --key KEY

It needs Python and, for signatures only, the package `cryptography`. The formats: a chain of SHA-256 hashes
over canonical JSON, each kind of content in a domain of its own; trees and their proofs after RFC 6962,
section 2.1; checkpoints as C2SP signed notes (signed-note, tlog-checkpoint) with Ed25519 signatures, and
receipts of forgetting as such notes, too, of an origin line of their own and JSON.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

GENESIS: Final = "0" * 64
"""What the first entry of a chain calls its predecessor."""

ED25519: Final = b"\x01"
"""The signature type of a C2SP key that is a plain Ed25519 key."""


RECEIPT: Final = "/forgetting"
"""What the origin line of a receipt has after the archive's name, so that it passes for no checkpoint."""


class Forged(ValueError):
    """A checkpoint, receipt, proof or export that is not what its signature or its hashes say."""


# -- hashes -----------------------------------------------------------------------------------------------


def digest(domain: str, content: Mapping[str, Any]) -> str:
    """SHA-256 over a domain and canonical JSON, so that no content of one kind passes for another."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(f"{domain}\n{canonical}".encode()).hexdigest()


def commit(kind: str, salt: str, content: Mapping[str, Any]) -> str:
    """The commitment to a row's content: worth nothing without the salt, and bound to its kind."""
    return digest(f"ice-agent.commitment.{kind}.v1", {"salt": salt, **content})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One link of a tenant's chain, all of it text and numbers, as it is hashed."""

    tenant: str
    position: int
    event: str
    subject_id: str
    commitment: str
    at: str
    previous_hash: str
    hash: str

    def hash_at(self, position: int) -> str:
        """The hash that this entry has at a place of the chain; its own is where it belongs."""
        content = {
            "tenant": self.tenant,
            "position": position,
            "event": self.event,
            "subject_id": self.subject_id,
            "commitment": self.commitment,
            "at": self.at,
            "previous_hash": self.previous_hash,
        }
        return digest("ice-agent.ledger.entry.v1", content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """Where a tenant's chain ends: its last entry, and the root of the tree over all of them."""

    tenant: str
    position: int
    hash: str
    root: str

    @property
    def leaf(self) -> bytes:
        """As a leaf of the tree that checkpoints sign."""
        content = {
            "tenant": self.tenant,
            "position": self.position,
            "hash": self.hash,
            "root": self.root,
        }
        return leaf_hash(digest("ice-agent.ledger.tip.v1", content).encode())


# -- chains -----------------------------------------------------------------------------------------------


def broken_chain(chain: Sequence[Entry], tip: Tip | None) -> Iterator[str]:
    """Everything that is wrong with a tenant's chain, and with the tip that says where it ends."""
    yield from _broken_links(chain)
    if tip is not None:
        yield from _broken_tip(chain, tip)


def chain_root(chain: Sequence[Entry], size: int | None = None) -> str:
    """The root of the tree over the first entries of a chain: its leaves are their hashes."""
    return root(leaf_hash(entry.hash.encode()) for entry in chain[:size]).hex()


def _broken_links(chain: Sequence[Entry]) -> Iterator[str]:
    expected, previous_hash = 1, GENESIS
    for entry in chain:
        if entry.position < expected:
            yield f"entry {entry.position} ({entry.event}) is there twice"
        elif entry.position > expected:
            yield f"{_span(expected, entry.position - 1)} missing: dropped from the chain"
        elif entry.hash_at(entry.position) != entry.hash:
            yield f"entry {entry.position} ({entry.event}) {_what_happened(entry, chain)}"
        elif entry.previous_hash != previous_hash:
            yield f"entry {entry.position} ({entry.event}) does not follow entry {entry.position - 1}"
        expected, previous_hash = entry.position + 1, entry.hash


def _broken_tip(chain: Sequence[Entry], tip: Tip) -> Iterator[str]:
    last = chain[-1].position if chain else 0
    if last < tip.position:
        yield f"{_span(last + 1, tip.position)} missing: the tail was cut off"
    elif last > tip.position:
        yield f"the tip says entry {tip.position}, and the chain goes on to entry {last}"
    elif chain and chain[-1].hash != tip.hash:
        yield f"the tip does not match entry {last}"
    elif chain_root(chain) != tip.root:
        yield f"the tip's root is not that of the tree over {last} entries"


def _what_happened(entry: Entry, chain: Sequence[Entry]) -> str:
    """An entry that is whole at another position was moved; any other was edited."""
    belongs = next((e.position for e in chain if entry.hash_at(e.position) == entry.hash), None)
    return "was edited" if belongs is None else f"belongs at position {belongs}: entries were swapped"


def _span(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


# -- Merkle trees, RFC 6962 section 2.1 -------------------------------------------------------------------


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def grown(peaks: Sequence[bytes], size: int, leaf: bytes) -> tuple[bytes, ...]:
    """The roots of the full subtrees, largest first, of a tree of `size` leaves and one more."""
    kept = list(peaks)
    while size & 1:
        leaf = node_hash(kept.pop(), leaf)
        size >>= 1
    return (*kept, leaf)


def root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    """The root of a tree from the roots of its full subtrees; of no leaves, the hash of nothing."""
    if not peaks:
        return hashlib.sha256().digest()
    *larger, top = peaks
    for peak in reversed(larger):
        top = node_hash(peak, top)
    return top


def root(leaves: Iterable[bytes]) -> bytes:
    peaks: tuple[bytes, ...] = ()
    for size, leaf in enumerate(leaves):
        peaks = grown(peaks, size, leaf)
    return root_of_peaks(peaks)


def root_of_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a path leads to. Raises Forged for a path that no leaf of such a tree has."""
    if not 0 <= index < size:
        raise Forged(f"leaf {index} is not in a tree of {size}")
    place, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise Forged("the inclusion path is too long")
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise Forged("the inclusion path is too short")
    return node


def require_consistent(
    older: int, older_root: bytes, newer: int, newer_root: bytes, path: Sequence[bytes]
) -> None:
    """Raises Forged unless the newer tree is the older one with leaves added (RFC 9162 section 2.1.4.2)."""
    if older > newer:
        raise Forged(f"the newer checkpoint covers {newer} tips, the older one {older}: it goes back")
    if older in (0, newer):
        if path:
            raise Forged("the consistency path is too long")
        if older == newer and older_root != newer_root:
            raise Forged("the same size with another root: history was rewritten")
        return
    nodes = list(path)
    if older & (older - 1) == 0:
        nodes.insert(0, older_root)
    if not nodes:
        raise Forged("the consistency path is too short")
    place, last = older - 1, newer - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            raise Forged("the consistency path is too long")
        if place & 1 or place == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, node)
        place, last = place >> 1, last >> 1
    if last:
        raise Forged("the consistency path is too short")
    if old != older_root:
        raise Forged("the older checkpoint's root is not in the newer tree: history was rewritten")
    if new != newer_root:
        raise Forged("the newer checkpoint's root is not what the path leads to")


# -- checkpoints: C2SP signed notes -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a note signs: how many tips the log of an archive held, and the root of the tree over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key with the name that it signs under, as `NAME+HASH+KEY` (C2SP signed-note)."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def read(cls, text: str) -> Key:
        """Raises Forged for what is no such key."""
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise Forged("the key holds half a surrogate pair")
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        algorithm_and_key = _decoded(encoded, "the key")
        if not name or algorithm_and_key[:1] != ED25519 or len(algorithm_and_key) != 33:
            raise Forged(f"{text.strip()[:60]!r} is no Ed25519 key of the form NAME+HASH+KEY")
        key = cls(name=name, public=algorithm_and_key[1:])
        if key.id.hex() != key_id:
            raise Forged(f"the key's hash {key_id!r} is not that of its name and bytes")
        return key


def opened_note(note: str, key: Key) -> Checkpoint:
    """The checkpoint in a note. Raises Forged unless this key signed it and every byte of it."""
    return _checkpoint(_signed_text(note, key, "checkpoint"))


def _signed_text(note: str, key: Key, what: str) -> str:
    if not note.isascii() and any("\ud800" <= character <= "\udfff" for character in note):
        raise Forged(f"the {what} holds half a surrogate pair")
    text, gap, signatures = note.rpartition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise Forged(f"the {what} has no signature")
    text += "\n"
    for line in signatures.removesuffix("\n").split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        if dash != "\N{EM DASH}" or not encoded:
            raise Forged(f"{line[:40]!r} is no signature line")
        signed = _decoded(encoded, "the signature")
        if name == key.name and signed[:4] == key.id:
            _require_signed(key, text, signed[4:], what)
            return text
    raise Forged(f"the {what} is not signed by {key.name} with this key")


def _require_signed(key: Key, text: str, signature: bytes, what: str) -> None:
    try:
        # Only here, so that chains and trees are checked by the standard library alone.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise SystemExit("a signature is checked with the package cryptography: pip install it") from error
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
    except InvalidSignature as error:
        raise Forged(
            f"the signature of {key.name} does not fit the {what}: one of them was edited"
        ) from error


def _checkpoint(text: str) -> Checkpoint:
    lines = text.split("\n")
    if (
        len(lines) < 4
        or not lines[0]
        or not (lines[1].isascii() and lines[1].isdigit() and len(lines[1]) < 20)
    ):
        raise Forged("the note is no checkpoint: origin, size and root are its first three lines")
    if lines[1] != str(int(lines[1])):
        raise Forged(f"{lines[1]!r} is no size: it begins with a zero")
    found = _decoded(lines[2], "the root")
    if len(found) != 32:
        raise Forged("the checkpoint's root has not 32 bytes")
    return Checkpoint(origin=lines[0], size=int(lines[1]), root=found)


def _decoded(text: str, what: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Forged(f"{what} is no base64") from error
    if base64.b64encode(decoded).decode() != text:
        raise Forged(f"{what} is no canonical base64")
    return decoded


# -- exports and proofs -----------------------------------------------------------------------------------

EVENTS: Final = {
    "tenant": "tenant.registered",
    "utterance": "utterance.heard",
    "fact": "fact.recorded",
    "proposal": "fact.proposed",
    "item": "item.kept",
    "batch": "batch.claimed",
    "adapter": "adapter.created",
    "scores": "adapter.scored",
    "access_key": "key.issued",
}
"""Which entry commits to a row of each kind."""

AGAIN: Final = {"utterance.erased": "utterance.heard", "fact.relinked": "fact.recorded"}
"""The events that commit anew to what a row says: the last one counts."""

FORGOTTEN: Final = {
    "fact.recorded": "fact.forgotten",
    "fact.proposed": "proposal.forgotten",
    "item.kept": "item.forgotten",
}
"""The events that say why a row is gone."""

ENDS: Final = {"fact.superseded": "superseded", "fact.retracted": "retracted"}
"""The events that commit to how a fact ended."""

MENTION: Final = "mention"
_DATES: Final = frozenset({"valid_from", "valid_until", "dated_at"})
_ENDED: Final = frozenset({"status", "valid_until", "ended_at"})
_STATE: Final = _ENDED | {"valid_from", "said_until"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What `ice-agent export` wrote: chains, their tips, the log of signed tips, rows with salts."""

    chains: Mapping[str, Sequence[Entry]]
    tips: Sequence[Tip]
    signed: Sequence[Tip]
    rows: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, lines: Iterable[str]) -> Export:
        """Raises Forged for a line that is none of ours."""
        chains: dict[str, list[Entry]] = {}
        tips, signed, rows = list[Tip](), list[Tip](), list[Mapping[str, Any]]()
        for number, line in enumerate(lines, 1):
            try:
                row = parsed(line)
                kind = row.pop("kind")
                if kind == "entry":
                    entry = _made(Entry, row)
                    chains.setdefault(entry.tenant, []).append(entry)
                elif kind in ("tip", "signed_tip"):
                    (tips if kind == "tip" else signed).append(_made(Tip, row))
                else:
                    rows.append(_row(kind, row))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise Forged(f"line {number} is no line of an export: {error}") from error
        return cls(chains=chains, tips=tips, signed=signed, rows=rows)


def broken_export(export: Export, checkpoint: Checkpoint | None = None) -> Iterator[str]:
    """Everything in an export that does not fit: chains, tips, rows, and what a checkpoint signed."""
    for tip in export.tips:
        chain = export.chains.get(tip.tenant, ())
        yield from (f"{tip.tenant}: {problem}" for problem in broken_chain(chain, tip))
    for tenant in export.chains.keys() - {tip.tenant for tip in export.tips}:
        yield f"{tenant}: its chain has no tip, so that a tail could have been cut off"
    if export.rows:
        yield from _broken_rows(export.rows, [e for chain in export.chains.values() for e in chain])
    if checkpoint is not None:
        yield from broken_since(checkpoint, export.signed, export.chains)


def _broken_rows(rows: Sequence[Mapping[str, Any]], chain: Sequence[Entry]) -> Iterator[str]:
    """Rows that say something else than was committed to, and those that are not there."""
    committed = {(AGAIN.get(e.event, e.event), e.subject_id): e for e in chain}
    ends = _ends(chain)
    found, mentions = set(), list[Mapping[str, Any]]()
    salts: dict[str, str | None] = {}
    for row in rows:
        if row["kind"] == MENTION:
            mentions.append(row)
            continue
        event, content = EVENTS[row["kind"]], row["content"]
        found.add((event, content["id"]))
        entry = committed.get((event, content["id"]))
        if entry is None:
            yield f"{content['id']} has no {event} entry"
        elif commit(row["kind"], row["salt"], content) != entry.commitment:
            yield f"{content['id']} is not what entry {entry.position} ({event}) committed to"
        elif row["kind"] == "fact" and not _ended_so(row, ends, committed.get(("fact.dated", content["id"]))):
            yield f"{content['id']} did not begin or end as its state says"
        if row["kind"] == "utterance":
            is_erased = entry is not None and entry.event != event
            salts[content["id"]] = None if is_erased else row["salt"]
    yield from _broken_mentions(mentions, salts, chain)
    for (event, row_id), entry in committed.items():
        is_forgotten = (FORGOTTEN.get(event, ""), row_id) in committed
        if event in EVENTS.values() and (event, row_id) not in found and not is_forgotten:
            yield f"{row_id} of entry {entry.position} ({event}) is not in the export"


def _ends(chain: Iterable[Entry]) -> dict[str, Entry]:
    """Of the facts that ended and do not stand again, the entry that says how."""
    ends: dict[str, Entry] = {}
    for entry in chain:
        if entry.event in ENDS:
            ends[entry.subject_id] = entry
        elif entry.event == "fact.reopened":
            ends.pop(entry.subject_id, None)
    return ends


def _ended_so(row: Mapping[str, Any], ends: Mapping[str, Entry], dated: Entry | None) -> bool:
    state, content = row["state"], row["content"]
    said = {"id": content["id"], **{name: state[name] for name in _ENDED}}
    period = {"valid_from": state["valid_from"], "valid_until": state["said_until"]}
    own = {"valid_from": content["valid_from"], "valid_until": content.get("stated_until")}
    told = commit("period", row["salt"], {"id": said["id"], **period})
    if period != own if dated is None else told != dated.commitment:
        return False
    if (end := ends.get(content["id"])) is not None:
        return commit("end", row["salt"], said) == end.commitment
    is_open = (said["valid_until"], said["ended_at"]) == (state["said_until"], None)
    return is_open and said["status"] not in ENDS.values()


def _broken_mentions(
    mentions: Sequence[Mapping[str, Any]], salts: Mapping[str, str | None], chain: Sequence[Entry]
) -> Iterator[str]:
    """Who said a fact again. Of words that were erased with another fact, the count is left."""
    told, seen = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    counts = Counter(row["fact_id"] for row in mentions)
    forgotten = {e.subject_id for e in chain if e.event == "fact.forgotten"}
    for entry in chain:
        if entry.event == "fact.mentioned" and entry.subject_id not in forgotten:
            told[entry.subject_id, entry.commitment] += 1
            counts[entry.subject_id] -= 1
    for row in mentions:
        if row["utterance_id"] not in salts:
            yield f"{row['utterance_id']} is mentioned and not in the export"
        elif (salt := salts[row["utterance_id"]]) is not None:
            said = {name: value for name, value in row.items() if name != "kind"}
            seen[row["fact_id"], commit(MENTION, salt, said)] += 1
    changed = {fact_id for fact_id, _ in seen - told} | {fact_id for fact_id, n in counts.items() if n}
    for fact_id in sorted(changed):
        yield f"the mentions of {fact_id} are not those that the ledger tells of"


def broken_since(
    checkpoint: Checkpoint, signed: Sequence[Tip], chains: Mapping[str, Sequence[Entry]]
) -> Iterator[str]:
    """What was changed or lost since a checkpoint was signed, of the chains that are at hand."""
    log = list(broken_log(checkpoint, signed))
    yield from log
    if not log:
        for tip in latest(signed[: checkpoint.size]).values():
            if tip.tenant in chains:
                found = broken_prefix(chains[tip.tenant], tip)
                yield from (f"{tip.tenant}: {problem}" for problem in found)


def broken_log(checkpoint: Checkpoint, signed: Sequence[Tip]) -> Iterator[str]:
    """Whether the log of signed tips still begins with what a checkpoint signed."""
    if len(signed) < checkpoint.size:
        yield (
            f"the checkpoint covers {checkpoint.size} tips and only {len(signed)} are left: "
            "the database was set back"
        )
    elif root(tip.leaf for tip in signed[: checkpoint.size]) != checkpoint.root:
        yield "the log of signed tips is not the one that the checkpoint signed: it was rewritten"


def broken_prefix(chain: Sequence[Entry], tip: Tip) -> Iterator[str]:
    """Whether a chain still begins with what a signed tip stands for."""
    if len(chain) < tip.position:
        yield f"{_span(len(chain) + 1, tip.position)} missing since the checkpoint"
    elif chain_root(chain, tip.position) != tip.root:
        yield f"the first {tip.position} entries are not those that the checkpoint signed"


def latest(tips: Iterable[Tip]) -> dict[str, Tip]:
    """The last tip of each tenant in a log of them."""
    return {tip.tenant: tip for tip in tips}


def parsed(text: str) -> dict[str, Any]:
    """One JSON object. Raises Forged for what two readers could read in two ways."""
    try:
        text.encode()
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        if "\\ud" in text.lower():
            # Half of a surrogate pair is no text: nothing that is hashed holds one.
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Forged(f"this is no JSON of ours: {error}") from error
    if not isinstance(found, dict):
        raise Forged("this is no JSON object")
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


Made = TypeVar("Made", Entry, Tip)


def _made(kind: type[Made], row: Mapping[str, Any]) -> Made:
    """An entry or a tip whose position is a number and all else text."""
    for name, value in row.items():
        if type(value) is not (int if name == "position" else str):
            raise Forged(f"{name} is {value!r:.40}")
    return kind(**row)


def _row(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row of an export, of the shape that `export` gives it."""
    if kind == MENTION and row.keys() - _DATES == {"fact_id", "utterance_id", "span"}:
        if any(not isinstance(row[name], str) for name in row.keys() - {"span"}):
            raise Forged("a mention has a fact and an utterance, and its dates are text")
        return {"kind": kind, **row}
    if kind not in EVENTS or row.keys() != {"salt", "content", "state"}:
        raise Forged(f"{kind!r:.40} is no row that is exported, or not all of one")
    _require_opening(row)
    if not isinstance(row["state"], dict) or (kind == "fact" and not row["state"].keys() >= _STATE):
        raise Forged("its state is not whole")
    return {"kind": kind, **row}


def _require_opening(row: Mapping[str, Any]) -> None:
    """A salt beside its content: one inside would pass for the other."""
    content = row["content"]
    if not isinstance(row["salt"], str) or not isinstance(content, dict) or "salt" in content:
        raise Forged("a row has a salt and a content")
    if not isinstance(content["id"], str):
        raise Forged("a row has an id")


def _nodes(path: Any) -> list[bytes]:
    """A path as it is written: 64 small hexadecimal digits a node."""
    if not isinstance(path, list):
        raise Forged("the path is no list")
    nodes = [bytes.fromhex(node) for node in path]
    if any(len(node) != 32 or node.hex() != written for node, written in zip(nodes, path, strict=True)):
        raise Forged("a node of the path has not 64 hexadecimal digits")
    return nodes


def require_proof(proof: Mapping[str, Any], key: Key) -> Checkpoint:
    """Check a proof that an entry is under a checkpoint, or that one checkpoint grew out of another.

    Raises Forged, and says at which step.
    """
    try:
        if proof["kind"] == "consistency":
            older, newer = opened_note(proof["older"], key), opened_note(proof["newer"], key)
            if older.origin != newer.origin:
                raise Forged(f"the checkpoints are of two archives: {older.origin} and {newer.origin}")
            require_consistent(older.size, older.root, newer.size, newer.root, _nodes(proof["path"]))
            return newer
        if proof["kind"] != "inclusion":
            raise Forged(f"{proof['kind']!r} is no kind of proof")
        return _require_included(proof, key)
    except Forged:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Forged(f"the proof is not whole: {error!r:.200}") from error


def _require_included(proof: Mapping[str, Any], key: Key) -> Checkpoint:
    entry, tip = _made(Entry, proof["entry"]), _made(Tip, proof["tip"])
    if entry.hash_at(entry.position) != entry.hash:
        raise Forged(f"entry {entry.position} was edited")
    if entry.tenant != tip.tenant:
        raise Forged("the entry and the tip are of two tenants")
    path = _nodes(proof["path"])
    leaf = leaf_hash(entry.hash.encode())
    if root_of_inclusion(leaf, entry.position - 1, tip.position, path).hex() != tip.root:
        raise Forged(f"entry {entry.position} is not under the tip's root")
    checkpoint = opened_note(proof["checkpoint"], key)
    path = _nodes(proof["tip_path"])
    if root_of_inclusion(tip.leaf, proof["tip_index"], checkpoint.size, path) != checkpoint.root:
        raise Forged("the tip is not under the checkpoint's root")
    if (row := proof.get("opening")) is not None:
        _require_opening(row)
        if EVENTS[row["kind"]] != entry.event or row["content"]["id"] != entry.subject_id:
            raise Forged("the opening is of something else than the entry")
        if commit(row["kind"], row["salt"], row["content"]) != entry.commitment:
            raise Forged(f"the opening is not what entry {entry.position} committed to")
    return checkpoint


# -- receipts of forgetting -------------------------------------------------------------------------------

ERASED: Final = {"facts": "fact.forgotten", "utterances": "utterance.erased", "adapters": "adapter.forgotten"}
"""Which entries must say what a receipt says is gone."""


def opened_receipt(note: str, key: Key) -> dict[str, Any]:
    """What a receipt says. Raises Forged unless this key signed all of it, and its proofs hold.

    Each entry that it names must be under its checkpoint, and what it says is gone must be what they say.
    """
    origin, _, text = _signed_text(note, key, "receipt").partition("\n")
    if not origin.endswith(RECEIPT):
        raise Forged("the note is no receipt of forgetting: its first line is another's")
    try:
        receipt = parsed(text)
        for proof in receipt["entries"]:
            checkpoint = _require_included({**receipt["ledger"], **proof}, key)
            if checkpoint.origin + RECEIPT != origin:
                raise Forged(f"the receipt is of {origin}, and its checkpoint of {checkpoint.origin}")
        entries = [Entry(**proof["entry"]) for proof in receipt["entries"]]
        if any(entry.tenant != receipt["tenant"] for entry in entries):
            raise Forged("the receipt and its entries are of two tenants")
        for what, event in () if entries[0].event == "tenant.forgotten" else ERASED.items():
            if sorted(receipt[what]) != sorted({e.subject_id for e in entries if e.event == event}):
                raise Forged(f"the {what} of the receipt are not those that its entries say are gone")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, Forged):
            raise
        raise Forged(f"the receipt is not whole: {error!r}") from error
    return receipt


def broken_receipt(receipt: Mapping[str, Any], chain: Sequence[Entry]) -> Iterator[str]:
    """Whether a tenant's chain still has the entries of an opened receipt where they were."""
    there = {entry.position: entry.hash for entry in chain}
    for proof in receipt["entries"]:
        entry = Entry(**proof["entry"])
        if there.get(entry.position) != entry.hash:
            yield f"entry {entry.position} ({entry.event}) of the receipt is not in the ledger"


# -- the command line of this file ------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    words = argparse.ArgumentParser(
        description="Check an export, proof or receipt of ice-agent's ledger, offline."
    )
    words.add_argument("file", type=Path, help="what `ice-agent export`, `prove`, ... or `forget` wrote")
    words.add_argument("--checkpoint", type=Path, help="a checkpoint that was kept elsewhere")
    words.add_argument("--receipt", type=Path, help="a receipt of forgetting, to hold the export against")
    words.add_argument("--key", help="the public key of the checkpoints: NAME+HASH+KEY, or a file with it")
    asked = words.parse_args(arguments)
    try:
        problems = list(_checked(asked.file, asked.checkpoint, asked.receipt, asked.key))
    except (Forged, OSError, UnicodeDecodeError) as error:
        problems = [str(error)]
    print("\n".join(f"problem: {problem}" for problem in problems) or "ok")  # noqa: T201
    return 1 if problems else 0


def _checked(file: Path, checkpoint: Path | None, receipt: Path | None, key: str | None) -> Iterator[str]:
    text = file.read_text(encoding="utf-8")
    if text.partition("\n")[0].endswith(RECEIPT):
        opened_receipt(text, _key(key))
        return
    try:
        only = parsed(text)
    except Forged:
        # An export has an object on each line.
        only = {}
    if only.get("kind") in ("inclusion", "consistency"):
        require_proof(only, _key(key))
        return
    note = None
    if checkpoint is not None:
        note = opened_note(checkpoint.read_text(encoding="utf-8"), _key(key))
    export = Export.read(text.removesuffix("\n").split("\n"))
    yield from broken_export(export, note)
    if receipt is not None:
        opened = opened_receipt(receipt.read_text(encoding="utf-8"), _key(key))
        yield from broken_receipt(opened, export.chains.get(opened["tenant"], ()))


def _key(text: str | None) -> Key:
    if text is None:
        raise Forged("a signature is worth no more than the key it is checked with: give --key")
    return Key.read(Path(text).read_text(encoding="utf-8") if Path(text).is_file() else text)


if __name__ == "__main__":
    sys.exit(main())
