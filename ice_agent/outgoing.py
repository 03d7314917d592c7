"""How it is shown what leaves: events that hooks are to be told of, and adapters for an outside engine."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ice_agent.screen import headed, when
from memory import Delivery, Publication


def deliveries(rows: Sequence[Delivery]) -> Table:
    shown = headed("event", "id", "tenant", "tried", "next", "problem")
    for row in rows:
        due = when(row.due_at) if row.due_at else "given up"
        shown.add_row(row.event, row.id, row.tenant_id, str(row.attempts), due, escape(row.problem))
    return shown


def publications(rows: Sequence[Publication]) -> Table:
    """What the engine has of each tenant, beside what serves."""
    shown = headed("tenant", "called", "has", "serves", "tried", "next", "problem")
    for row in rows:
        names = (row.tenant or "(forgotten)", row.name, row.adapter_id or "-", row.wanted_id or "base")
        shown.add_row(*map(escape, names), str(row.attempts), _due(row), escape(row.problem))
    return shown


def publication(out: Console, row: Publication | None, engine: str) -> None:
    """Where what serves a tenant is published, or why it is not yet."""
    if row is None:
        said = f"nothing to {engine}: no more than a root serves"
    elif row.is_current:
        said = f"as {row.name!r} on {row.engine}" + (
            f", {when(row.published_at)}" if row.published_at else ""
        )
    else:
        said = f"waits for {engine}" + (f": {row.problem}" if row.problem else "")
    out.print(f"  published {said}", markup=False)


def _due(row: Publication) -> str:
    if row.is_current:
        return ""
    if row.due_at is not None:
        return when(row.due_at)
    return "given up" if row.attempts else "now"
