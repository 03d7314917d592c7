"""The ledger, and all by which somebody outside can check it: checkpoints, receipts, the whole export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from ice_agent import verify
from ice_agent.server.access import Visit
from ice_agent.server.dashboard.rendering import Page, gone_to, page
from ice_agent.server.dashboard.visitors import Deciding, Form, Looking
from ice_agent.server.refusals import Refused
from memory import Forged, Notary, StoreError, opened_note, opened_receipt

router = APIRouter(route_class=Page, include_in_schema=False)

PER_PAGE: Final = 50
CHECKPOINTS: Final = "*.checkpoint"
RECEIPTS: Final = "*.receipt"
LATEST: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signed note on the disk, and what is wrong with it."""

    name: str
    at: datetime
    size: int | None = None
    """Of a checkpoint: how many tips it signed."""
    told: dict[str, Any] | None = None
    """What a receipt says."""
    problem: str = ""


@router.get("/ui/audit")
def shown(
    request: Request,
    visit: Looking,
    event: str = "",
    about: str = "",
    number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
) -> Response:
    entries = visit.store.ledger()
    found = [
        entry
        for entry in reversed(entries)
        if event in ("", entry.event) and entry.subject_id.startswith(about.strip())
    ]
    return page(
        request,
        "audit.html",
        entries=found[(number - 1) * PER_PAGE : number * PER_PAGE],
        n_found=len(found),
        n_entries=len(entries),
        events=sorted({entry.event for entry in entries}),
        event=event,
        about=about.strip(),
        number=number,
        n_pages=max(1, -(-len(found) // PER_PAGE)),
        tip=visit.store.tip(),
        checkpoints=_checkpoints(visit),
        receipts=_receipts(visit),
        key=_key(visit),
        checked=None,
    )


@router.get("/ui/audit/verify")
def verified(request: Request, visit: Looking) -> Response:
    """Read every entry, every row that it vouches for, and the adapters' files, now."""
    checked = verify.everything(visit.serving.archive, visit.config, [visit.tenant])
    return page(request, "verified.html", checked=checked, at=datetime.now(UTC))


@router.post("/ui/audit/checkpoint")
def signed(visit: Deciding, form: Form) -> Response:
    archive, settings = visit.serving.archive, visit.config.ledger
    Notary.at(settings.key, archive.origin).sign(archive.checkpoint(), settings.checkpoints)
    return gone_to("/ui/audit", done="checkpoint")


@router.get("/ui/audit/export")
def exported(visit: Looking, ledger: bool = False) -> Response:
    """All that is held about the tenant, a JSON line each; or its chain alone, without what was said."""
    kinds = ("entry", "tip")

    def lines() -> Iterator[str]:
        for row in visit.store.export():
            if not ledger or row["kind"] in kinds:
                yield json.dumps(row, ensure_ascii=False) + "\n"

    name = "ledger.jsonl" if ledger else "export.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)


@router.get("/ui/audit/notes/{name}")
def downloaded(visit: Looking, name: str) -> Response:
    """A checkpoint, which says nothing of anybody, or a receipt of this tenant."""
    settings = visit.config.ledger
    known = {path.name: path for path in (*settings.checkpoints.glob(CHECKPOINTS), *_own_receipts(visit))}
    if name not in known:
        raise Refused(404, f"there is no {name!r} here")
    return FileResponse(known[name], filename=name, media_type="text/plain; charset=utf-8")


def _checkpoints(visit: Visit) -> list[Signed]:
    return [
        _read(visit, path, lambda text, key: {"size": opened_note(text, key).size})
        for path in sorted(visit.config.ledger.checkpoints.glob(CHECKPOINTS), reverse=True)[:LATEST]
    ]


def _receipts(visit: Visit) -> list[Signed]:
    return [
        _read(visit, path, lambda text, key: {"told": opened_receipt(text, key)})
        for path in sorted(_own_receipts(visit), reverse=True)[:LATEST]
    ]


def _own_receipts(visit: Visit) -> Iterator[Path]:
    """They are named by the random id of the tenant, which all its entries carry."""
    if visit.store.exists():
        yield from visit.config.ledger.checkpoints.glob(f"{visit.store.identity()}-{RECEIPTS}")


def _read(visit: Visit, path: Path, opened: Any) -> Signed:
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    try:
        key = verify.public_key(visit.serving.archive, visit.config)
        return Signed(name=path.name, at=at, **opened(verify.read(path), key))
    except (Forged, StoreError) as error:
        return Signed(name=path.name, at=at, problem=str(error))


def _key(visit: Visit) -> str:
    """What signatures are checked with; empty before anything was signed."""
    if not visit.config.ledger.key.exists():
        return ""
    return str(verify.public_key(visit.serving.archive, visit.config))
