"""How fast answers are written when many ask at once: figures, by hand; LOG.md has what was measured.

python -m tests.serving mixture [...]     (--help says what each takes)
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch

from ice_agent.config import Config
from ice_agent.engine import Engine
from ice_agent.model import EditableModel
from ice_agent.settings import EngineSettings
from ice_agent.turns import asking
from ice_agent.writing import Ask
from memory import Adapter, AdapterStatus


def mixture(tenants: int, rows: int, tokens: int, turns: int) -> None:
    """The same answers by one adapter and by many: tokens a second, of CPU time and of the clock."""
    config = Config()
    model = EditableModel.load(config.model, config.lora)
    # All answers are of one length: else what is compared is how long made-up adapters talk.
    model.stop_ids = (len(model.tokenizer) - 1,)
    with tempfile.TemporaryDirectory() as folder:
        adapters = [made_up(model, Path(folder), seed) for seed in range(tenants)]
        settings = EngineSettings(max_rows=rows, max_waiting=10 * rows)
        with Engine(model, settings, Path(folder)) as engine:
            ratios = []
            for _ in range(turns):
                base = rate(engine, model, [None] * rows, tokens)
                one = rate(engine, model, adapters[:1] * rows, tokens)
                mixed = rate(engine, model, [adapters[i % tenants] for i in range(rows)], tokens)
                ratios.append((mixed[0] / one[0], mixed[1] / one[1]))
                print(f"base {base[0]:.0f}  one {one[0]:.0f}  {tenants} mixed {mixed[0]:.0f} tokens/s of CPU")
    by_cpu, by_clock = (median(ratio) for ratio in zip(*ratios, strict=True))
    print(f"{tenants} tenants in {rows} rows: {by_cpu:.2f} of one alone by CPU time, {by_clock:.2f} by clock")


def rate(
    engine: Engine, model: EditableModel, adapters: Sequence[Adapter | None], tokens: int
) -> tuple[float, float]:
    """Tokens a second, by CPU time and by the clock, of an answer by each of these."""
    cpu, clock = time.process_time(), time.monotonic()
    begun = [
        engine.write(Ask(prompt=model.encode(asking(f"Where does {i} live?")), adapter=a, max_tokens=tokens))
        for i, a in enumerate(adapters)
    ]
    for writing in begun:
        writing.text()
    n = sum(writing.ended.n_written for writing in begun)
    return n / (time.process_time() - cpu), n / (time.monotonic() - clock)


def made_up(model: EditableModel, folder: Path, seed: int) -> Adapter:
    """An adapter of random weights: it says something, and goes on saying it."""
    name = f"a_{seed}"
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad(), model.training(name, None, seed) as parameters:
        for parameter in parameters:
            parameter.normal_(std=0.05, generator=generator)
    model.save(name, folder / name, {})
    model.forget(name)
    return Adapter(
        id=name, parent_id=None, status=AdapterStatus.PROMOTED, base_hash=model.base_hash, path=name,
        created_at=datetime.now(UTC),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=8)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--turns", type=int, default=7)
    torch.set_num_threads(1)
    mixture(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
