"""Every probe of an adapter with its answers before and after: a file beside its directory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from memory import Transcript


def path(adapters_dir: Path, adapter_id: str) -> Path:
    return adapters_dir / f"{adapter_id}.transcripts.jsonl"


def written(transcripts: Iterable[Transcript]) -> str:
    """As they are kept: one to a line."""
    return "".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in transcripts)


def read(adapters_dir: Path, adapter_id: str) -> tuple[Transcript, ...] | None:
    """The probes that an adapter was measured by; None when its cycle kept none, or somebody removed or broke
    them."""
    try:
        rows = path(adapters_dir, adapter_id).read_text(encoding="utf-8").splitlines()
        return tuple(Transcript(**json.loads(row)) for row in rows if row)
    except (OSError, ValueError, TypeError):
        return None
