"""The card of an adapter: what whoever is handed its directory should know. No word of any fact, no name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ice_agent.promote import Guard
from memory import Verdict

FILE = "README.md"
"""Where hubs look for a model's card."""


def card(
    manifest: Mapping[str, Any], base: str, guards: Sequence[Guard] = (), verdict: Verdict | None = None
) -> str:
    """The card of a saved adapter, by its manifest; a root is judged by nobody."""
    tip, facts = manifest["ledger_tip"], manifest.get("facts", [])
    lines = [
        *("---", "library_name: peft", f"base_model: {json.dumps(base)}", "tags: [lora, ice-agent]", "---"),
        f"# {manifest['id']}",
        "",
        _about(len(facts)),
        "",
        *("| | |", "|---|---|"),
        f"| base | {base}, weights {manifest['base_hash'][:12]} |",
        f"| edited from | {manifest['parent_id'] or 'nothing: it is a root'} |",
        f"| tenant | {manifest['tenant']} |",
        f"| ledger, when it was made | {tip['position']} entries, tip {tip['hash']} |",
    ]
    if verdict is not None:
        seed = manifest["settings"]["seed"]
        lines += [
            f"| batch | {manifest['batch_id']} |",
            f"| seed | {seed} |",
            f"| verdict | {'promoted' if verdict.promote else 'rejected'} |",
            *(
                "",
                "## Guards",
                "",
                "| measured | parent | this adapter | bar | held |",
                "|---|---|---|---|---|",
            ),
            *(
                f"| {g.metric} | {g.parent} | {g.candidate} | {g.bar} | {'yes' if g.held else 'no'} |"
                for g in guards
            ),
            *("", "## Facts, by their commitments", "", *(f"- `{commitment}`" for commitment in facts)),
            *("", "## Settings", "", "```json", json.dumps(manifest["settings"], indent=1), "```"),
        ]
    return "\n".join(lines) + "\n"


def _about(n_facts: int) -> str:
    if n_facts == 0:
        return "A LoRA adapter that has learned nothing, or unlearned what its parent knew."
    n = "one fact" if n_facts == 1 else f"{n_facts} facts"
    return (
        f"A LoRA adapter that was taught {n}, on top of what its parent knows. They are in its weights: "
        "it is as private as they are."
    )
