"""Makes the paths of proofs that `audit` checks: a verifier has no need of it."""

from __future__ import annotations

from collections.abc import Sequence

from memory.audit import root


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of a leaf: PATH(m, D[n]) of RFC 6962 section 2.1.1."""
    if len(leaves) <= 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_path(leaves[:split], index), root(leaves[split:])]
    return [*inclusion_path(leaves[split:], index - split), root(leaves[:split])]


def consistency_path(leaves: Sequence[bytes], older: int) -> list[bytes]:
    """That a tree of the first `older` leaves became this one: PROOF(m, D[n]) of RFC 6962 section 2.1.2."""
    return _subproof(leaves, older, is_whole=True) if 0 < older < len(leaves) else []


def _subproof(leaves: Sequence[bytes], older: int, *, is_whole: bool) -> list[bytes]:
    if older == len(leaves):
        return [] if is_whole else [root(leaves)]
    split = _split(len(leaves))
    if older <= split:
        return [*_subproof(leaves[:split], older, is_whole=is_whole), root(leaves[split:])]
    return [*_subproof(leaves[split:], older - split, is_whole=False), root(leaves[:split])]


def _split(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << ((size - 1).bit_length() - 1)
