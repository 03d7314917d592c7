"""The verifier stands alone: known answers from the specifications, proofs of all sizes, and forgeries."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings

from memory import audit, proofs
from memory.audit import Checkpoint, Forged, Key
from memory.notary import Notary

# The leaves and roots of the tests of RFC 6962's reference implementation.
LEAVES = [
    bytes.fromhex(h)
    for h in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}

# The example of the documentation of golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

\N{EM DASH} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""  # noqa: E501


def test_the_tree_is_that_of_rfc_6962():
    hashes = [audit.leaf_hash(leaf) for leaf in LEAVES]
    assert {size: audit.root(hashes[:size]).hex() for size in ROOTS} == ROOTS


def test_a_key_reads_as_it_is_written_and_its_hash_is_that_of_the_specification():
    assert str(Key.read(GO_KEY)) == GO_KEY


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "no key",
        GO_KEY.replace("c74f", "c74e"),
        GO_KEY[:-1],
        GO_KEY.replace("ARpc", "AhpC"),
        GO_KEY + "\n+",
    ],
)
def test_what_is_no_key_is_refused(wrong):
    with pytest.raises(Forged):
        Key.read(wrong)


@given(size=st.integers(1, 70), data=st.data())
def test_every_leaf_proves_its_place_and_no_other(size, data):
    leaves = [audit.leaf_hash(bytes([n])) for n in range(size)]
    index = data.draw(st.integers(0, size - 1))
    path = proofs.inclusion_path(leaves, index)
    top = audit.root(leaves)
    assert audit.root_of_inclusion(leaves[index], index, size, path) == top
    for leaf, place, of in ((audit.leaf_hash(b"x"), index, size), (leaves[index], (index + 1) % size, size)):
        assert size == 1 or _leads_elsewhere(leaf, place, of, path, top) or leaves[index] == leaf
    for cut in (path[:-1], [*path, top]):
        assert cut == path or _leads_elsewhere(leaves[index], index, size, cut, top)


@given(newer=st.integers(1, 70), data=st.data())
def test_every_tree_proves_what_it_grew_from_and_nothing_else(newer, data):
    older = data.draw(st.integers(0, newer))
    leaves = [audit.leaf_hash(bytes([n])) for n in range(newer)]
    old, new = audit.root(leaves[:older]), audit.root(leaves)
    path = proofs.consistency_path(leaves, older)
    audit.require_consistent(older, old, newer, new, path)
    other = audit.leaf_hash(b"other")
    if older:
        with pytest.raises(Forged):
            audit.require_consistent(older, other, newer, new, path)
    if 0 < older < newer:
        with pytest.raises(Forged):
            audit.require_consistent(older, old, newer, other, path)
        for wrong in (path[:-1], [*path, other], [other, *path[1:]]):
            with pytest.raises(Forged):
                audit.require_consistent(older, old, newer, new, wrong)
        with pytest.raises(Forged, match="goes back"):
            audit.require_consistent(newer, new, older, old, path)


@given(sizes=st.integers(0, 70))
def test_a_tree_that_grows_leaf_by_leaf_is_the_tree_that_is_built_at_once(sizes):
    leaves = [audit.leaf_hash(bytes([n])) for n in range(sizes)]
    assert audit.root(leaves) == _by_definition(leaves)


@pytest.fixture
def notary(tmp_path):
    return Notary.at(tmp_path / "keys" / "ledger.key", "ice-agent/test")


CHECKPOINT = Checkpoint(origin="ice-agent/test", size=3, root=bytes(range(32)))


def test_a_note_opens_with_its_key_and_says_what_was_signed(notary, tmp_path):
    note = notary.signed(CHECKPOINT)
    assert audit.opened_note(note, notary.key) == CHECKPOINT
    assert audit.opened_note(note, Notary.at(tmp_path / "keys" / "ledger.key", "again").key) == CHECKPOINT
    assert (tmp_path / "keys" / "ledger.key").stat().st_mode & 0o077 == 0


def test_a_note_with_a_strangers_signature_besides_still_opens(notary, tmp_path):
    stranger = Notary.at(tmp_path / "other.key", "witness")
    cosigned = notary.signed(CHECKPOINT) + stranger.signed(CHECKPOINT).rpartition("\n\n")[2]
    assert audit.opened_note(cosigned, notary.key) == CHECKPOINT
    assert audit.opened_note(cosigned, stranger.key) == CHECKPOINT


@settings(max_examples=400)
@given(data=st.data())
def test_no_changed_note_opens(data):
    notary = Notary("ice-agent/test", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    note = notary.signed(CHECKPOINT)
    raw = bytearray(note.encode())
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "swap"]))
    at = data.draw(st.integers(0, len(raw) - 1))
    if kind == "flip":
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del raw[at : at + data.draw(st.integers(1, 9))]
    elif kind == "insert":
        raw[at:at] = data.draw(st.binary(min_size=1, max_size=5))
    else:
        other = data.draw(st.integers(0, len(raw) - 1))
        raw[at], raw[other] = raw[other], raw[at]
    changed = raw.decode(errors="replace")
    if changed == note:
        return
    try:
        opened = audit.opened_note(changed, notary.key)
    except Forged:
        return
    # A line that nobody's key is asked about may be added; what was signed is as it was.
    assert opened == CHECKPOINT


def _leads_elsewhere(leaf, index, size, path, top):
    try:
        return audit.root_of_inclusion(leaf, index, size, path) != top
    except Forged:
        return True


def _by_definition(leaves):
    """MTH(D[n]) of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return audit.root_of_peaks(())
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return audit.node_hash(_by_definition(leaves[:k]), _by_definition(leaves[k:]))
