"""Where an answer came from, and the proof that everything is as it was recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from ice_agent import explain, verify
from ice_agent.explain import Explanation
from ice_agent.server.access import Operating, Reading, Visit
from ice_agent.server.refusals import Refused, documented, example
from ice_agent.verify import Checked
from memory import Entry, Notary, Tip

router = APIRouter(prefix="/audit", tags=["audit"], responses=documented(409))

RECEIPTS: Final = "*.receipt"
LINES: Final = "application/x-ndjson"

ENTRY = {
    "tenant": "t_1", "position": 3, "event": "fact.recorded", "subject_id": "f_1", "commitment": "5891b5b5",
    "at": "2026-11-22T12:00:00.000000+00:00", "previous_hash": "2c26b46b", "hash": "fcde2b2e",
}  # fmt: skip
NOTE = "ice-agent/1\n3\nq83vEjRWeJA=\n\n\N{EM DASH} ice-agent/1 m0dZ...\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A page of a tenant's chain, and where the chain ends."""

    entries: tuple[Entry, ...]
    tip: Tip


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    note: str
    """A C2SP signed note: keep it where nobody who writes to the database can."""
    key: str
    """The public key that it is checked with."""
    size: int
    """Ends of chains that were signed, of all tenants."""


class Two(BaseModel):
    """Two checkpoints, as they were signed."""

    older: str = Field(examples=[NOTE])
    newer: str = Field(examples=[NOTE])


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    receipts: tuple[str, ...]


@router.get("/explain", responses=documented(404))
def explained(
    visit: Reading,
    about: Annotated[str, Query(examples=["Where does the user live?"])],
    answer: Annotated[str, Query(description="What was answered to the question.")] = "",
) -> Explanation:
    """The story of one fact, by its id or a question and its `answer`: sentence, batch, adapter, entries."""
    return explain.explain(visit.store, visit.config.adapters.dir, about, answer)


@router.get("/ledger", responses=example({"entries": [ENTRY], "tip": {"tenant": "t_1", "position": 3}}))
def ledger(
    visit: Reading,
    after: Annotated[int, Query(ge=0, description="The position of the last one that is known.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Ledger:
    """The entries of the tenant's chain, in their order: ids and commitments, no word of what was said."""
    chain = visit.store.ledger()
    return Ledger(entries=chain[after : after + limit], tip=visit.store.tip())


@router.get("/verify", responses=example({"n_entries": 3, "n_signed": 1, "problems": []}))
def verified(visit: Reading) -> Checked:
    """Check the tenant's chain, the rows it vouches for, and its adapters' files: every problem is named."""
    found = verify.everything(visit.serving.archive, visit.config, only=[visit.tenant])
    return replace(found, problems=tuple(map(visit.serving.without_folders, found.problems)))


@router.post("/checkpoint", responses=example({"note": NOTE, "key": "ice-agent/1+ab12+AQ==", "size": 1}))
def checkpoint(visit: Operating) -> Signed:
    """Sign where all chains end: hashes alone, that show later whether the database was rewritten."""
    archive, settings = visit.serving.archive, visit.config.ledger
    notary = Notary.at(settings.key, archive.origin)
    signed = archive.checkpoint()
    path = notary.sign(signed, settings.checkpoints)
    return Signed(note=verify.read(path), key=str(notary.key), size=signed.size)


@router.get("/proof/{id_}", responses=documented(404) | example({"kind": "inclusion", "entry": ENTRY}))
def proof(
    id_: str,
    visit: Reading,
    opening: Annotated[bool, Query(alias="open", description="Show what was committed to.")] = False,
) -> dict[str, Any]:
    """That a fact, utterance, batch or adapter is under the newest checkpoint, as `python -m memory.audit`
    checks it without the database."""
    return verify.proof(visit.serving.archive, visit.config, visit.tenant, id_, opening=opening)


@router.post("/consistency", responses=example({"kind": "consistency", "path": []}))
def consistency(notes: Two, visit: Reading) -> dict[str, Any]:
    """That a checkpoint only adds to an older one."""
    archive = visit.serving.archive
    return archive.consistency(notes.older, notes.newer, verify.public_key(archive, visit.config))


@router.get("/receipts", responses=example({"receipts": ["t_1-000000007.receipt"]}))
def receipts(visit: Reading) -> Receipts:
    """What there is to show that something was forgotten."""
    return Receipts(receipts=tuple(path.name for path in _receipts(visit)))


@router.get(
    "/receipts/{name}",
    response_class=Response,
    responses=documented(404)
    | {200: {"content": {"text/plain": {"example": "ice-agent/1/forgetting\n{...}\n"}}}},
)
def receipt(name: str, visit: Reading) -> Response:
    """One of them: a signed note with ids and hashes, and nothing of what was forgotten."""
    found = next((path for path in _receipts(visit) if path.name == name), None)
    if found is None:
        raise Refused(404, f"no receipt {name!r} (see /audit/receipts)")
    return Response(verify.read(found), media_type="text/plain; charset=utf-8")


@router.get(
    "/export",
    response_class=Response,
    responses={200: {"content": {LINES: {"example": json.dumps({"kind": "entry"} | ENTRY) + "\n"}}}},
)
def export(
    visit: Reading,
    ledger_only: Annotated[bool, Query(description="Without what was said.")] = False,
) -> Response:
    """All that is held about the tenant, and nothing of another, as JSON lines that `python -m memory.audit`
    checks.
    """
    # Whole, and not as it is read: a slow client would hold the database's reading transaction open.
    rows = list(visit.store.export())
    kept = (row for row in rows if not ledger_only or row["kind"] in ("entry", "tip"))
    return Response("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), media_type=LINES)


def _receipts(visit: Visit) -> list[Path]:
    """Those of the tenant: a file's name begins with its random id.

    Of one that was forgotten whole nobody knows any more which are its own: where no key is asked for, all
    are shown.
    """
    every = sorted(visit.config.ledger.checkpoints.glob(RECEIPTS))
    if not visit.store.exists():
        return every if visit.serving.is_open else []
    # A tenant that is there has an id: asking for it writes nothing.
    begins = f"{visit.store.identity()}-"
    return [path for path in every if path.name.startswith(begins)]
