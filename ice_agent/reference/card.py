"""The card beside the bundled weights: how they were trained and what they can do, as JSON and as a page to
read.

`python -m ice_agent.reference.card` measures the abilities of the weights as they lie there, and rewrites the
card.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from ice_agent.reference import abilities, world
from memory import Rate

# What the weights must reach, by ability; the others are reported without a bar.
BARS = {
    "stored": 0.97,
    "override": 0.97,
    "unseen_subject": 0.95,
    "first_person": 0.97,
    "unrelated_beside_facts": 0.95,
    "hop_over_context": 0.80,
    "unknown": 0.90,
}


def write(out: Path, training: Mapping[str, Any], asked: int) -> dict[str, Rate]:
    """Measure the model in `out` and write card.json and README.md beside it. `training` says how it was
    made."""
    model = LlamaForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    measured = abilities.measure(model, AutoTokenizer.from_pretrained(out), world.build(), asked=asked)
    rows = {
        name: {"hits": rate.hits, "asked": rate.asked, "bar": BARS.get(name)}
        for name, rate in measured.items()
    }
    card = {**training, "parameters": model.num_parameters(), "abilities": rows}
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").write_text(_page(card, measured), encoding="utf-8")
    return measured


def _page(card: Mapping[str, Any], measured: Mapping[str, Rate]) -> str:
    recipe = card["recipe"]
    size, tokens = f"{card['parameters'] / 1e6:.2f} million", f"{card['tokens_seen'] / 1e6:.1f} million"
    lines = [
        "# The bundled reference model",
        "",
        f"A Llama-architecture chat model of {size} parameters, trained on text that",
        "`ice_agent.reference` generates about real countries and invented people and companies. Made for",
        "demonstration and tests: it knows nothing else.",
        "",
        f"Trained with `python -m ice_agent.reference.train` on {tokens} tokens in",
        f"{card['seconds'] / 60:.0f} minutes ({card['machine']}): {recipe['layers']} layers,",
        f"width {recipe['width']}, vocabulary {recipe['vocabulary']}, rows of {recipe['row_tokens']} tokens,",
        f"seed {recipe['seed']}.",
        *card.get("history", ()),
        "",
        "| ability (free generation, exact match) | right / asked | share | bar |",
        "|---|---|---|---|",
    ]
    for name, rate in measured.items():
        bar = f"{BARS[name]:.2f}" if name in BARS else "-"
        lines.append(f"| {name.replace('_', ' ')} | {rate.hits} / {rate.asked} | {rate.share:.3f} | {bar} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the reference model and rewrite its card.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "model")
    parser.add_argument("--asked", type=int, default=500, help="prompts per ability")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training = json.loads((arguments.out / "card.json").read_text(encoding="utf-8"))
    for name, rate in write(arguments.out, training, arguments.asked).items():
        print(f"{name:32} {rate}")


if __name__ == "__main__":
    main()
