"""Thousands of forgeries of what the verifier reads: none is accepted, and none is more than refused.

Accepted means: whatever else the bytes are, they state what the original states, no more and nothing else. An
export may have its lines in another order; a proof may come without the row that opens its entry.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Callable
from datetime import date
from functools import cache
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from memory import Archive, Notary, audit, proofs
from memory.audit import Export, Forged
from tests.memory.conftest import Tenant

LOOK_ALIKES = str.maketrans("aceopx015", "\u0430\u0441\u0435\u043e\u0440\u0445\uff10\uff11\uff15")
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.0, 10**30, -(10**400), 1e308, float("nan"), float("inf")),
    *("", "0", "1", "\ud800", "\0", "\u2028", "0" * 64, "A" * 64),
    *([], {}, [[]], ["0" * 64], {"kind": "inclusion"}, {"salt": "x"}),
)
TOKENS = (
    *("NaN", "Infinity", "-0", "1e999", "9" * 5000, "[" * 20000, '{"a":' * 20000, '"\\ud800"', "null"),
    *("\n", "\n\n", "\r", "\u2028", "\N{EM DASH}", "\ufeff", "\0", " ", "+", "//"),
    *('{"kind": "fakt"}\n', '"kind": "fact", '),
)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """What a life with a bit of everything leaves in the hands of somebody who checks it."""
    folder = tmp_path_factory.mktemp("fuzz")
    with Archive.open(f"sqlite:///{folder / 'm.db'}") as archive:
        tom, notary = Tenant(archive.store("tom")), Notary.at(folder / "ledger.key", archive.origin)
        tom.tell("Lyon", valid_from=date(2001, 1, 1))
        tom.tell("lyon")
        Tenant(archive.store("eve")).tell("Oslo")
        older = notary.signed(archive.checkpoint())
        tom.learn()
        tom.tell("Nice")
        tom.likes("\u2028 tea")
        xanadu = tom.tell("Xanadu", "hates").fact
        assert xanadu
        tom.store.forget([xanadu.id])
        newer = notary.signed(archive.checkpoint())
        (row,) = (line for line in tom.store.export() if line.get("content", {}).get("object") == "Nice")
        inclusion = archive.inclusion(tom.store.entry_of("fact", row["content"]["id"]), newer, notary.key)
        lines = [*tom.store.export(), *archive.export_log()]
        made = SimpleNamespace(
            key=notary.key,
            notes=(older, newer),
            checkpoint=audit.opened_note(newer, notary.key),
            texts={
                "note": newer,
                "key": str(notary.key),
                "inclusion": json.dumps(inclusion | {"opening": row}),
                "consistency": json.dumps(archive.consistency(older, newer, notary.key)),
                "export": "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines),
            },
        )
        made.true = {kind: true(made, kind) for kind in STATED}
        return made


def test_what_is_real_is_accepted(real):
    for kind, text in real.texts.items():
        assert STATED[kind](real, text) in real.true[kind]


def _note(real: SimpleNamespace, text: str) -> Any:
    return audit.opened_note(text, real.key)


def _key(real: SimpleNamespace, text: str) -> Any:
    return audit.Key.read(text)


def _proof(real: SimpleNamespace, text: str) -> Any:
    proof = audit.parsed(text)
    checkpoint = audit.require_proof(proof, real.key)
    if proof["kind"] == "consistency":
        return audit.opened_note(proof["older"], real.key), checkpoint
    opening = proof.get("opening")
    opened = opening and (opening["kind"], opening["salt"], opening["content"])
    return checkpoint, proof["entry"], proof["tip"], opened


def _export(real: SimpleNamespace, text: str) -> Any:
    export = Export.read(text.removesuffix("\n").split("\n"))
    problems = list(audit.broken_export(export, real.checkpoint))
    if problems:
        raise Forged(problems[0])
    rows = {json.dumps(_vouched(row), sort_keys=True) for row in export.rows}
    return export.chains, set(export.tips), export.signed[: real.checkpoint.size], rows


def _vouched(row: Any) -> Any:
    """Of what became of a row, an export shows by the chain how a fact ended."""
    state = row.get("state", {})
    return row | {"state": {name: state[name] for name in ("valid_until", "ended_at") if name in state}}


STATED: dict[str, Callable[[SimpleNamespace, str], Any]] = {
    "note": _note,
    "key": _key,
    "inclusion": _proof,
    "consistency": _proof,
    "export": _export,
}


def true(real: SimpleNamespace, kind: str) -> list[Any]:
    """All that may be accepted."""
    if kind in ("key", "export"):
        return [STATED[kind](real, real.texts[kind])]
    older, newer = (audit.opened_note(note, real.key) for note in real.notes)
    included = _proof(real, real.texts["inclusion"])
    # That a checkpoint grew out of itself needs no proof.
    grown = [(older, newer), (older, older), (newer, newer)]
    return [older, newer] if kind == "note" else [included, (*included[:3], None), *grown]


def require_no_forgery(real: SimpleNamespace, kind: str, text: str) -> None:
    """Anything but Forged is a crash of the verifier, and fails the test as what it is."""
    try:
        stated = STATED[kind](real, text)
    except Forged:
        return
    assert stated in real.true[kind], text


def mutated(text: str, choose: random.Random, others: tuple[str, ...]) -> str:
    """The text with one to three things wrong with it, or in it."""
    for _ in range(choose.choice((1, 1, 1, 2, 3))):
        text = choose.choice((_bytes, _lines, _values, _values, _tokens, _mixed))(text, choose, others)
    return text


def _bytes(text: str, choose: random.Random, others: tuple[str, ...]) -> str:
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    at = choose.randrange(len(raw) + 1)
    match choose.randrange(5):
        case 0 if at < len(raw):
            raw[at] ^= 1 << choose.randrange(8)
        case 1:
            del raw[at:]
        case 2:
            del raw[at : at + choose.randrange(1, 80)]
        case 3:
            raw[at:at] = choose.randbytes(choose.randrange(1, 5))
        case _:
            raw[at:at] = raw[at : at + choose.randrange(1, 80)]
    return raw.decode("utf-8", choose.choice(("replace", "surrogateescape")))


def _lines(text: str, choose: random.Random, others: tuple[str, ...]) -> str:
    lines = text.split("\n")
    at, to = choose.randrange(len(lines)), choose.randrange(len(lines))
    match choose.randrange(4):
        case 0:
            lines[at], lines[to] = lines[to], lines[at]
        case 1:
            del lines[at]
        case 2:
            lines.insert(to, lines[at])
        case _:
            lines[at] += lines[to]
    return "\n".join(lines)


def _values(text: str, choose: random.Random, others: tuple[str, ...]) -> str:
    """Another value, another type, nothing, or something more, somewhere in a JSON object."""
    lines = text.split("\n")
    at = choose.randrange(len(lines))
    try:
        found = json.loads(lines[at])
    except (ValueError, RecursionError):
        return _bytes(text, choose, others)
    holder = _somewhere(found, choose)
    if holder is None:
        lines[at] = json.dumps(choose.choice(STRANGE))
        return "\n".join(lines)
    name = choose.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match choose.randrange(6):
        case 0:
            del holder[name]
        case 1 if isinstance(holder, dict):
            holder[choose.choice(("salt", "extra", "kind", "opening", "id", "position"))] = choose.choice(
                STRANGE
            )
        case 2 if isinstance(holder[name], str):
            changes = (
                str.upper,
                str.strip,
                lambda s: f" {s}",
                lambda s: s.translate(LOOK_ALIKES),
                lambda s: s[::-1],
            )
            holder[name] = choose.choice(changes)(holder[name])
        case 3 if isinstance(holder[name], int):
            n = holder[name]
            holder[name] = choose.choice((f"{n:x}", n / 1 if abs(n) < 9**9 else 0.5, n + 1, -n, bool(n)))
        case 4:
            holder[name] = copy.deepcopy(choose.choice((holder, _somewhere(found, choose))))
        case _:
            holder[name] = choose.choice(STRANGE)
    lines[at] = json.dumps(found, ensure_ascii=choose.random() < 0.5)
    return "\n".join(lines)


def _somewhere(found: Any, choose: random.Random) -> Any:
    """A filled object or list in it, which may be itself."""
    holders, waiting = [], [found]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (dict, list)) and each:
            holders.append(each)
            waiting += each.values() if isinstance(each, dict) else each
    return choose.choice(holders) if holders else None


def _tokens(text: str, choose: random.Random, others: tuple[str, ...]) -> str:
    at = choose.randrange(len(text) + 1)
    return text[:at] + choose.choice(TOKENS) + text[at + choose.choice((0, 0, 1, 5)) :]


def _mixed(text: str, choose: random.Random, others: tuple[str, ...]) -> str:
    """With another document, or the same once more."""
    other = choose.choice((*others, text, ""))
    return choose.choice(
        (text + other, other + text, other, text + "\n" + other, text[: len(text) // 2] + other)
    )


def fuzz(real: SimpleNamespace, kind: str, n: int, seed: int) -> None:
    choose = random.Random(f"{kind} {seed}")
    others = (*real.texts.values(), *real.notes)
    for _ in range(n):
        require_no_forgery(real, kind, mutated(real.texts[kind], choose, others))


@pytest.mark.parametrize("kind", STATED)
def test_no_forgery_is_accepted_and_none_is_more_than_refused(real, kind):
    fuzz(real, kind, 300, seed=0)


@pytest.mark.long
@pytest.mark.parametrize("kind", STATED)
def test_no_forgery_is_accepted_out_of_very_many(real, kind):
    fuzz(real, kind, 30_000, seed=1)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_value_in_a_proof_or_an_export_crashes_the_verifier(real, data):
    """Any JSON in any place."""
    kind = data.draw(st.sampled_from(["inclusion", "consistency", "export"]))
    lines = real.texts[kind].removesuffix("\n").split("\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    found = json.loads(lines[at])
    holder = _somewhere(found, random.Random(data.draw(st.integers(0, 999))))
    places = list(holder) if isinstance(holder, dict) else range(len(holder))
    holder[data.draw(st.sampled_from(places))] = data.draw(ANY_JSON)
    lines[at] = json.dumps(found)
    require_no_forgery(real, kind, "\n".join(lines))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.mark.parametrize("kind", ["note", "inclusion", "consistency", "export"])
def test_the_command_says_what_is_wrong_with_any_bytes_and_never_more(real, tmp_path, capsys, kind):
    choose = random.Random(kind)
    file, note = tmp_path / "file", tmp_path / "note"
    note.write_text(real.notes[1])
    others = (*real.texts.values(), "[" * 100_000, "\ufeff", "")
    for _ in range(60):
        file.write_bytes(mutated(real.texts[kind], choose, others).encode("utf-8", "surrogatepass"))
        words = [
            "--key",
            str(real.key),
            *choose.choice(([], ["--checkpoint", str(note)], ["--checkpoint", str(file)])),
        ]
        code = audit.main([str(file), *words])
        assert capsys.readouterr().out.startswith("problem: " if code else "ok\n")


# The trees of RFC 6962, section 2.1, word for word: what `audit` computes in other ways.


@cache
def mth(start: int, end: int) -> bytes:
    if start == end:
        return hashlib.sha256(b"").digest()
    if end - start == 1:
        return hashlib.sha256(b"\0" + bytes([start])).digest()
    k = start + split(end - start)
    return hashlib.sha256(b"\1" + mth(start, k) + mth(k, end)).digest()


def path(m: int, start: int, end: int) -> list[bytes]:
    if end - start == 1:
        return []
    k = split(end - start)
    if m < k:
        return [*path(m, start, start + k), mth(start + k, end)]
    return [*path(m - k, start + k, end), mth(start, start + k)]


def subproof(m: int, start: int, end: int, *, is_whole: bool) -> list[bytes]:
    n = end - start
    if m == n:
        return [] if is_whole else [mth(start, end)]
    k = split(n)
    if m <= k:
        return [*subproof(m, start, start + k, is_whole=is_whole), mth(start + k, end)]
    return [*subproof(m - k, start + k, end, is_whole=False), mth(start, start + k)]


def split(n: int) -> int:
    """k is the largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def test_roots_and_proofs_are_those_of_the_definition_for_all_sizes_to_130():
    hashes = [audit.leaf_hash(bytes([n])) for n in range(130)]
    for n in range(131):
        root = mth(0, n)
        assert audit.root(hashes[:n]) == root
        # Every place in the smaller trees; in the larger ones those where something may go wrong.
        k = split(n)
        for m in range(n) if n <= 40 else {0, 1, 2, 3, k - 1, k, k + 1, n // 3, n - 2, n - 1} - {n}:
            assert proofs.inclusion_path(hashes[:n], m) == path(m, 0, n)
            assert audit.root_of_inclusion(hashes[m], m, n, path(m, 0, n)) == root
            grew = subproof(m, 0, n, is_whole=True) if m else []
            assert proofs.consistency_path(hashes[:n], m) == grew
            audit.require_consistent(m, mth(0, m), n, root, grew)
