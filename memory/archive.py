"""One database with the facts of many tenants: opens it, names its tenants, and hands out their stores."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.orm import Session

from memory import access, audit, backlog, database, ledger, proofs, tally, verification
from memory.audit import Checkpoint, Entry, Key, Tip
from memory.backlog import Backlog
from memory.errors import AccessDenied, NotaryError, StoreError, UnknownFact
from memory.outbox import Outbox
from memory.publications import Publications
from memory.records import AccessKey, HookEvent, Tally, Verification
from memory.store import FactStore
from memory.tables import ArchiveRow, FactRow, SignedTipRow, TenantRow, TipRow
from memory.tenancy import Door
from memory.text import is_storable
from memory.transaction import Transaction


class Archive:
    """A database on SQLite or PostgreSQL. What belongs to a tenant is reached through its `store` alone."""

    def __init__(self, url: str, announced: Collection[HookEvent] = ()) -> None:
        self._engine = database.connect(url)
        self._reader = database.reader(self._engine)
        self._turns = database.turns(self._engine)
        self._announced = frozenset(announced)
        self.outbox = Outbox(self._engine, self._reader, self._turns)
        self.publications = Publications(self._engine, self._reader, self._turns)

    @classmethod
    def open(cls, url: str, migrate: bool = True, announced: Collection[HookEvent] = ()) -> Self:
        """Connect, and bring the schema up to date.

        Of each change that is `announced`, the outbox has a row, committed with it. Raises StoreTooNew for a
        database that a newer version wrote, and StoreOutdated for an older one that may not be migrated.
        """
        archive = cls(url, announced)
        try:
            if migrate:
                database.upgrade(archive._engine)
            else:
                database.require_head(archive._engine)
        except StoreError:
            archive.close()
            raise
        return archive

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def store(self, tenant: str) -> FactStore:
        """What one tenant knows. Nothing is written: a tenant is made by the first thing it is told."""
        return FactStore(Door(self._engine, self._reader, self._turns, tenant, self._announced))

    def owner(self, fact_id: str) -> FactStore:
        """The store that has the fact of this whole id, for callers without a tenant. Raises UnknownFact."""
        owns = sa.select(TenantRow.name).join(FactRow, FactRow.tenant == TenantRow.id)
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            name = tx.scalar(owns.where(FactRow.id == fact_id)) if is_storable(fact_id) else None
        if name is None:
            raise UnknownFact(fact_id)
        return self.store(name)

    def opened_with(self, access_key: str) -> tuple[FactStore, AccessKey]:
        """The store of the tenant that the key was issued for, and what the key may do there.

        Raises AccessDenied for any other key.
        """
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            opened = access.opened(tx, access_key) if is_storable(access_key) else None
        if opened is None:
            raise AccessDenied
        name, key = opened
        return self.store(name), key

    def has_keys(self) -> bool:
        """Whether an access key was ever issued, to any tenant: revoking the last one opens nothing."""
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            return access.is_any(tx)

    def held(self, fact_ids: Sequence[str]) -> tuple[str, ...]:
        """Those of these facts that are in the database, whoever's they are."""
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            return tuple(tx.scalars(sa.select(FactRow.id).where(FactRow.id.in_(fact_ids))))

    def tenants(self) -> tuple[str, ...]:
        named = sa.select(TenantRow.name).where(TenantRow.name.is_not(None)).order_by(TenantRow.name)
        with self._reading() as tx:
            return tuple(name for name in tx.scalars(named) if name is not None)

    def tallies(self, *, by_tenant: bool = False) -> tuple[Tally, ...]:
        """What stands in the database, counted by indexes: one of all tenants together, or one of each."""
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            return tally.tallies(tx, by_tenant=by_tenant)

    def backlogs(self) -> tuple[Backlog, ...]:
        """Of every tenant for which something waits, found by indexes: tenants without cost nothing."""
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            return backlog.backlogs(tx)

    def backlog(self, tenant: str) -> Backlog:
        """Of one tenant, whether anything waits or not."""
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            return backlog.backlog(tx, tenant)

    # Checkpoints

    @property
    def origin(self) -> str:
        """The name of this archive in its checkpoints."""
        with self._reading() as tx:
            return _origin(tx.scalars(sa.select(ArchiveRow)).one())

    def checkpoint(self) -> Checkpoint:
        """What is to be signed now: where each chain ends, as the root of the tree over all such tips so far.

        A tip is logged for every chain that grew since the last checkpoint, so that one covers all tenants.
        """
        with database.clear_errors(self._engine), self._turns, Session(self._engine) as tx, tx.begin():
            at = tx.scalars(sa.select(ArchiveRow).with_for_update()).one()
            peaks = ledger.peaks_of(at)
            for row in tx.scalars(_grown()).all():
                top = audit.root_of_peaks(ledger.peaks_of(row)).hex()
                tip = Tip(tenant=row.tenant, position=row.position, hash=row.hash, root=top)
                tx.add(SignedTipRow(number=at.n_signed, **asdict(tip)))
                peaks = audit.grown(peaks, at.n_signed, tip.leaf)
                at.n_signed += 1
            at.peaks = ledger.as_text(peaks)
            return Checkpoint(origin=_origin(at), size=at.n_signed, root=audit.root_of_peaks(peaks))

    def signed_tips(self) -> tuple[Tip, ...]:
        """Where chains ended whenever a checkpoint was made: the leaves of the tree that checkpoints sign."""
        with self._reading() as tx:
            return _signed_tips(tx)

    def export_log(self) -> Iterator[dict[str, Any]]:
        """The signed tips as lines of an export: what a checkpoint is checked with."""
        for tip in self.signed_tips():
            yield {"kind": "signed_tip", **asdict(tip)}

    def verify(self, checkpoint: Checkpoint | None = None, only: Sequence[str] | None = None) -> Verification:
        """Check all chains, or some tenants' alone, the rows they vouch for, and what a checkpoint signed."""
        with self._reading() as tx:
            log, at, problems = _signed_tips(tx), tx.scalars(sa.select(ArchiveRow)).one(), list[str]()
            if checkpoint is not None:
                problems += audit.broken_log(checkpoint, log)
                if checkpoint.origin != _origin(at):
                    problems.append(f"the checkpoint is of {checkpoint.origin}, and this is {_origin(at)}")
            elif (len(log), audit.root(tip.leaf for tip in log)) != (
                at.n_signed,
                audit.root_of_peaks(ledger.peaks_of(at)),
            ):
                problems.append("the log of signed tips is not the one that was written: it was edited")
            signed = {} if problems else audit.latest(log[: checkpoint.size] if checkpoint else log)
            n_entries = 0
            for tenant in tx.scalars(sa.select(TenantRow).order_by(TenantRow.name, TenantRow.id)).all():
                if only is None or tenant.name in only:
                    tx.tenant = tenant.id
                    found = verification.verify(tx, tenant.name or tenant.id, signed.get(tenant.id))
                    n_entries += found.n_entries
                    problems += found.problems
        return Verification(n_entries=n_entries, problems=tuple(problems))

    def inclusion(self, entry: Entry, note: str, key: Key) -> dict[str, Any]:
        """The proof that an entry is under a signed checkpoint, as `audit` checks it.

        Raises Forged for a checkpoint that this key did not sign, NotaryError for one older than the entry.
        """
        (proof,), ledger_part = self._under(entry.tenant, [entry.position], note, key)
        return {"kind": "inclusion", **proof, **ledger_part}

    def receipt(
        self, tenant_id: str, positions: Sequence[int], note: str, key: Key, told: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What was forgotten, as `told`, with the entries that say so and the proof that they are signed.

        Raises as `inclusion` does.
        """
        entries, ledger_part = self._under(tenant_id, positions, note, key)
        return {"tenant": tenant_id, **told, "entries": entries, "ledger": ledger_part}

    def chain(self, tenant_id: str) -> tuple[Entry, ...]:
        """A tenant's chain by its random id, which is all that is left of one that was forgotten."""
        with self._reading() as tx:
            tx.tenant = tenant_id
            return ledger.entries(tx)

    def _under(
        self, tenant_id: str, positions: Sequence[int], note: str, key: Key
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """A tenant's entries with their paths to its tip, and how the tip is under a signed checkpoint."""
        checkpoint = audit.opened_note(note, key)
        log = self.signed_tips()[: checkpoint.size]
        index, tip = max(
            ((n, tip) for n, tip in enumerate(log) if tip.tenant == tenant_id), default=(0, None)
        )
        if tip is None or tip.position < max(positions):
            older = f"the checkpoint is older than entry {max(positions)}"
            raise NotaryError(f"{older}: sign one with `ice-agent checkpoint`")
        chain = self.chain(tenant_id)[: tip.position]
        leaves = [audit.leaf_hash(entry.hash.encode()) for entry in chain]
        entries = [
            {
                "entry": asdict(chain[position - 1]),
                "path": [node.hex() for node in proofs.inclusion_path(leaves, position - 1)],
            }
            for position in positions
        ]
        tip_path = proofs.inclusion_path([each.leaf for each in log], index)
        return entries, {
            "tip": asdict(tip),
            "tip_index": index,
            "tip_path": [node.hex() for node in tip_path],
            "checkpoint": note,
        }

    def consistency(self, older: str, newer: str, key: Key) -> dict[str, Any]:
        """The proof that the newer of two signed checkpoints only adds to the older, as `audit` checks it.

        Raises Forged for a checkpoint that this key did not sign, and for one that did not grow out of it.
        """
        sizes = [audit.opened_note(note, key).size for note in (older, newer)]
        leaves = [tip.leaf for tip in self.signed_tips()[: sizes[1]]]
        path = [node.hex() for node in proofs.consistency_path(leaves, sizes[0])]
        proof = {"kind": "consistency", "older": older, "newer": newer, "path": path}
        audit.require_proof(proof, key)
        return proof

    @contextmanager
    def _reading(self) -> Iterator[Transaction]:
        with database.clear_errors(self._engine), Transaction(self._reader) as tx:
            yield tx


def _origin(row: ArchiveRow) -> str:
    return f"ice-agent/{row.id}"


def _signed_tips(tx: Session) -> tuple[Tip, ...]:
    rows = tx.scalars(sa.select(SignedTipRow).order_by(SignedTipRow.number))
    return tuple(Tip(tenant=r.tenant, position=r.position, hash=r.hash, root=r.root) for r in rows)


def _grown() -> sa.Select[TipRow]:
    """The ends of chains that are longer than when they were last signed."""
    signed = (
        sa.select(SignedTipRow.tenant, sa.func.max(SignedTipRow.position).label("position"))
        .group_by(SignedTipRow.tenant)
        .subquery()
    )
    return (
        sa.select(TipRow)
        .outerjoin(signed, signed.c.tenant == TipRow.tenant)
        .where(TipRow.position > sa.func.coalesce(signed.c.position, 0))
        .order_by(TipRow.tenant)
    )
