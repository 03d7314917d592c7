"""The report as one page that needs nothing else: tables, and plots as inline SVG, in light and dark."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ice_agent.bench.figures import figures
from ice_agent.bench.run import Run, Step, retention

INK = "#010203"
"""Stands for the page's own text colour, which matplotlib does not know."""

STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "ice-agent", "font.family": "sans-serif", "font.size": 9,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "axes.titlesize": 10, "axes.titlelocation": "left", "legend.frameon": False,
}  # fmt: skip

COMPARED = {
    "edit_success": "edit success", "rephrase": "rephrase", "portability": "portability",
    "locality_subject": "locality, same subject", "locality_relation": "locality, same relation",
    "locality_unrelated": "locality, unrelated",
}  # fmt: skip

CSS = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
p { max-width: 50rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #8888; }
svg { max-width: 100%; height: auto; font-family: system-ui, sans-serif; }
"""

Grid = tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]


def render(
    *, title: str, protocol: str, tables: Sequence[Grid], details: Sequence[Grid], runs: Sequence[Run]
) -> str:
    """One HTML page: what was asked, the tables, the plots that the runs have material for, and details."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        plots = [_figure(caption, canvas) for caption, canvas in _plots(runs)]
    body = [f"<h1>{escape(title)}</h1>", f"<p>{escape(protocol[0].upper() + protocol[1:])}.</p>"]
    body += [_table(*table) for table in tables]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>\n'
        f"<body>{''.join(body + plots)}{''.join(_table(*table) for table in details)}</body></html>\n"
    )


def _table(title: str, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in rows
    )
    return (
        f'<h2>{escape(title)}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>\n"
    )


def _figure(caption: str, canvas: Canvas) -> str:
    drawn = io.StringIO()
    canvas.savefig(drawn, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    words = escape(caption)
    return f'<h2>{words}</h2><div class="scroll" role="img" aria-label="{words}">{svg}</div>\n'


# -- plots ---------------------------------------------------------------------------------------------------


def _plots(runs: Sequence[Run]) -> list[tuple[str, Canvas]]:
    largest = [run for run in runs if run.facts == max(run.facts for run in runs)]
    methods: dict[str, list[Run]] = {}
    for run in largest:
        methods.setdefault(run.method, []).append(run)
    found = []
    if len(methods) > 1:
        found.append(("Methods compared, with 95% intervals", _comparison(methods)))
        found.append(("Cost", _costs(methods)))
    sequences = {name: of[0] for name, of in methods.items() if len(of[0].steps) > 1}
    if sequences:
        found.append(("Batch after batch", _courses(sequences)))
        found.append(("Retention: what each batch still answers, after each batch", _heat_maps(sequences)))
    curves = {name: of[0] for name, of in methods.items() if of[0].steps[0].losses}
    if curves:
        found.append(("Loss of lessons and KL of anchors, first batch of the first seed", _curves(curves)))
    return found


def _comparison(methods: dict[str, list[Run]]) -> Canvas:
    found = {name: figures(of) for name, of in methods.items()}
    canvas = Canvas(figsize=(11, 0.5 + 0.22 * len(methods) * 2 + 1.2))
    for place, (metric, label) in enumerate(COMPARED.items(), start=1):
        axes = canvas.add_subplot(2, 3, place)
        for y, of in enumerate(found.values()):
            figure = of[metric]
            if not math.isnan(figure.mean):
                axes.plot([figure.low, figure.high], [y, y], color="C0", linewidth=1.5)
                axes.plot([figure.mean], [y], "o", color="C0", markersize=4)
        axes.set_title(label)
        axes.set_xlim(-0.03, 1.03)
        _named(axes, list(found), place % 3 == 1)
    canvas.tight_layout()
    return canvas


def _costs(methods: dict[str, list[Run]]) -> Canvas:
    found = {name: figures(of) for name, of in methods.items()}
    canvas = Canvas(figsize=(11, 0.8 + 0.22 * len(methods)))
    for place, (metric, label) in enumerate(
        {"seconds_per_fact": "seconds per fact", "edit_mb": "memory for the edit, MB"}.items(), start=1
    ):
        axes = canvas.add_subplot(1, 2, place)
        axes.barh(range(len(found)), [of[metric].mean for of in found.values()], color="C0", height=0.6)
        axes.set_title(label)
        _named(axes, list(found), place == 1)
    canvas.tight_layout()
    return canvas


def _named(axes: Axes, names: list[str], shown: bool) -> None:
    axes.set_yticks(range(len(names)), names if shown else [""] * len(names))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)


def _courses(sequences: dict[str, Run]) -> Canvas:
    canvas = Canvas(figsize=(11, 2.8))
    panels: tuple[tuple[str, Callable[[Step], float]], ...] = (
        ("facts of earlier batches retained", lambda step: retention(step).share),
        ("locality, unrelated", lambda step: step.scores.locality_unrelated.share),
        ("perplexity ratio", lambda step: step.scores.perplexity_ratio),
    )
    for place, (label, value) in enumerate(panels, start=1):
        axes = canvas.add_subplot(1, 3, place)
        for i, (name, run) in enumerate(sequences.items()):
            steps = [step for step in run.steps if label != panels[0][0] or len(step.retained) > 1]
            at = [run.steps.index(step) + 1 for step in steps]
            axes.plot(at, [value(step) for step in steps], "o-", color=f"C{i}", markersize=3, label=name)
        axes.set_title(label)
        axes.set_xlabel("after batch")
        axes.grid(color=INK, alpha=0.15, linewidth=0.6)
        if place < len(panels):
            axes.set_ylim(-0.03, 1.03)
    canvas.axes[0].legend(fontsize=8)
    canvas.tight_layout()
    return canvas


def _heat_maps(sequences: dict[str, Run]) -> Canvas:
    columns = min(3, len(sequences))
    rows = math.ceil(len(sequences) / columns)
    canvas = Canvas(figsize=(3.9 * columns, 3.4 * rows))
    for place, (name, run) in enumerate(sequences.items(), start=1):
        axes = canvas.add_subplot(rows, columns, place)
        n = len(run.steps)
        shares = [[math.nan] * n for _ in range(n)]
        for after, step in enumerate(run.steps):
            for batch, rate in enumerate(step.retained):
                shares[batch][after] = rate.share
        # Cells as shapes, not as a bitmap: sharp at any size.
        drawn = axes.pcolormesh(shares, vmin=0, vmax=1, cmap="viridis", shading="flat")
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.set_title(name)
        axes.set_xlabel("after batch")
        axes.set_ylabel("batch")
        ticks = range(0, n, max(1, n // 5))
        axes.set_xticks([tick + 0.5 for tick in ticks], [str(tick + 1) for tick in ticks])
        axes.set_yticks([tick + 0.5 for tick in ticks], [str(tick + 1) for tick in ticks])
        canvas.colorbar(drawn, ax=axes, shrink=0.7)
    canvas.tight_layout()
    return canvas


def _curves(runs: dict[str, Run]) -> Canvas:
    canvas = Canvas(figsize=(11, 2.8))
    for place, (label, curve) in enumerate(
        (("loss of lessons, nats", 0), ("KL of anchors, nats", 1)), start=1
    ):
        axes = canvas.add_subplot(1, 2, place)
        for i, (name, run) in enumerate(runs.items()):
            values = (run.steps[0].losses, run.steps[0].anchor_losses)[curve]
            # Zero has no place on a logarithmic axis: a method without anchors draws no line there.
            if any(values):
                axes.plot(range(1, len(values) + 1), values, color=f"C{i % 10}", linewidth=1, label=name)
        axes.set_yscale("log")
        axes.set_title(label)
        axes.set_xlabel("step")
        axes.grid(color=INK, alpha=0.15, linewidth=0.6)
    canvas.axes[0].legend(fontsize=7, ncols=2)
    canvas.tight_layout()
    return canvas
