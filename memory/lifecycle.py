"""The life of a tenant's adapters, as a store offers it: the lease, batches, candidates, what serves."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa

from memory import (
    leases,
    ledger,
    lineage,
    places,
    slots,
)
from memory.errors import WrongState
from memory.records import (
    Adapter,
    AdapterStatus,
    Batch,
    BatchStatus,
    Lease,
    Scores,
    Verdict,
)
from memory.tables import (
    AdapterRow,
    BatchRow,
    FactRow,
)
from memory.tenancy import Door

logger = logging.getLogger(__name__)

FAILED = Verdict(promote=False, reasons=("its batch failed",))


class LifeCycle:
    """How facts of one tenant get into weights, and out again. Each method is one transaction."""

    def __init__(self, door: Door) -> None:
        self.tenant, self._reading, self._writing = door.tenant, door.reading, door.writing
        self._engine = door.engine

    # The lease: one cycle per tenant

    def take_lease(self, owner: str, seconds: float, *, dead: str | None = None) -> Lease:
        """Become the one cycle of a tenant for so long. Raises LeaseHeld while somebody else is.

        `dead` names an owner that is known to be gone: its lease is taken over before it ends.
        """
        with self._writing() as tx:
            return leases.take(tx, self.tenant, owner, seconds, dead)

    def is_leased(self) -> bool:
        """True while somebody holds the right to the tenant's one cycle."""
        with self._reading() as tx:
            return leases.is_held(tx)

    def renew_lease(self, lease: Lease, seconds: float) -> Lease:
        """Hold on for so long from now. Raises StaleLease when the lease has ended."""
        with self._writing() as tx:
            return leases.renew(tx, lease, seconds)

    def drop_lease(self, lease: Lease) -> None:
        """Let the next cycle begin. A lease that has ended already is no error."""
        with self._writing() as tx:
            leases.drop(tx, lease)

    def note_failure(self) -> None:
        """A cycle of the tenant ended in an error: it counts as one that promoted nothing."""
        with self._writing() as tx:
            leases.note_end(tx, failed=True)

    # Batches

    def claim_batch(self, limit: int, lease: Lease, sensitive: Collection[str] = ()) -> Batch | None:
        """Claim the oldest pending facts for this cycle, removals first, at most `limit`; None without any.

        What an earlier cycle claimed and never finished goes back first: it cannot be running now. Facts of a
        `sensitive` relation are quarantined instead.
        """
        if limit < 1:
            raise ValueError(f"a batch needs room for at least one edit, got a limit of {limit}")
        with self._writing(lease) as tx:
            lineage.fail_abandoned(tx)
            tx.flush()
            slots.end_what_is_over(tx)
            lineage.keep_out(tx, sensitive)
            row = lineage.claim(tx, limit)
            if row is None:
                return None
            logger.info("claimed %s for %s", row.id, tx.tenant)
            return lineage.batch_record(tx, row)

    def resume_batch(self, lease: Lease, sensitive: Collection[str] = (), *, times: int) -> Batch | None:
        """The batch that a cycle left when it died, to go on with; None where there is none.

        None, too, where what it claimed was superseded, taken back or called `sensitive` since: then
        claim_batch gives the rest back. What was gone on with so many `times` has killed each of them: from
        then on it is halved each time, and a single fact that kills is quarantined.
        """
        with self._writing(lease) as tx:
            row = lineage.resume(tx, sensitive, times)
            tx.flush()
            if row is None:
                return None
            logger.info("goes on with %s", row.id)
            return lineage.batch_record(tx, row)

    def claim_rebuild(self, lease: Lease, sensitive: Collection[str] = ()) -> Batch | None:
        """Claim all that weights should know, learned or pending, to be taught to a root; None without any.

        What is learned stays so. Whatever is promoted of it takes the place of what serves now.
        """
        with self._writing(lease) as tx:
            row = lineage.claim_all(tx, sensitive)
            if row is None:
                return None
            logger.info("claimed %s, to replace %s of %s", row.id, row.replaces_id, self.tenant)
            return lineage.batch_record(tx, row)

    def fail_batch(self, batch_id: str, lease: Lease, *, count_attempt: bool, quarantine_after: int) -> Batch:
        """Give a batch's facts back; with `count_attempt`, quarantine those that failed so often."""
        with self._writing(lease) as tx:
            row = tx.named(BatchRow, batch_id)
            lineage.fail(
                tx, row, count_attempt=count_attempt, quarantine_after=quarantine_after, verdict=FAILED
            )
            tx.flush()
            return lineage.batch_record(tx, row)

    def put_back(self, batch_id: str, fact_ids: Iterable[str], lease: Lease) -> None:
        """Take facts out of the batch that is being edited: they wait for the next one."""
        with self._writing(lease) as tx:
            for fact_id in fact_ids:
                lineage.put_back(tx, batch_id, tx.named(FactRow, fact_id))

    def batch(self, batch_id: str) -> Batch:
        with self._reading() as tx:
            return lineage.batch_record(tx, tx.named(BatchRow, batch_id))

    def batches(self) -> tuple[Batch, ...]:
        made = sa.select(BatchRow).order_by(BatchRow.number)
        with self._reading() as tx:
            return tuple(lineage.batch_record(tx, row) for row in tx.scalars(made))

    # Adapters

    def root(self, adapter: Adapter) -> Adapter:
        """Make `adapter` the root of a lineage that has none; returns the adapter that serves."""
        with self._writing() as tx:
            serving = places.serving(tx)
            if serving is None:
                serving = lineage.create(tx, adapter)
                lineage.promote(tx, serving, Verdict(promote=True))
                logger.info("%s is the root of %s", adapter.id, tx.tenant)
            return lineage.adapter_record(serving)

    def register(self, adapter: Adapter, lease: Lease | None = None) -> Adapter:
        """Write a candidate down, of a running batch or none. A rejected or reverted one may try again."""
        with self._writing(lease) as tx:
            if adapter.parent_id is not None:
                tx.named(AdapterRow, adapter.parent_id)
            if adapter.batch_id is not None:
                batch = tx.named(BatchRow, adapter.batch_id)
                if batch.status is not BatchStatus.CLAIMED:
                    raise WrongState(f"batch {batch.id} is {batch.status}: its cycle is over")
            return lineage.adapter_record(lineage.create(tx, adapter))

    def record_scores(
        self,
        adapter_id: str,
        scores: Scores,
        parent_scores: Scores | None = None,
        lease: Lease | None = None,
    ) -> Adapter:
        """Keep what was measured of an adapter and of its parent. Raises WrongState for a forgotten one."""
        with self._writing(lease) as tx:
            row = tx.named(AdapterRow, adapter_id)
            if row.status is AdapterStatus.FORGOTTEN:
                raise WrongState(f"adapter {row.id} held what was forgotten: its cycle is over")
            row.scores, row.parent_scores = scores, parent_scores
            tx.flush()
            ledger.append(tx, "adapter.scored", row.id, ledger.commit_scores(row))
            return lineage.adapter_record(row)

    def promote(
        self,
        adapter_id: str,
        verdict: Verdict,
        lease: Lease | None = None,
        *,
        set_aside: Mapping[str, str] | None = None,
        lost: Iterable[str] = (),
    ) -> Adapter:
        """Make a candidate the serving adapter and retire its parent: its batch is learned.

        Facts that are `set_aside`, by id with the reason, are quarantined instead: they stay in the prompt.
        Facts learned earlier that this adapter has `lost` go back to the prompt and wait for an edit again. A
        reverted adapter can be promoted again. Raises StaleParent when another adapter was promoted since
        the candidate was edited: its scores were measured against a parent that no longer serves.
        """
        with self._writing(lease) as tx:
            row = tx.named(AdapterRow, adapter_id)
            for fact_id, reason in (set_aside or {}).items():
                lineage.quarantine(tx, tx.named(FactRow, fact_id), reason)
            lineage.promote(tx, row, verdict, [tx.named(FactRow, fact_id) for fact_id in lost])
            logger.info("promoted %s over %s for %s", row.id, row.parent_id, tx.tenant)
            return lineage.adapter_record(row)

    def reject(
        self, adapter_id: str, verdict: Verdict, lease: Lease | None = None, *, quarantine_after: int = 3
    ) -> Adapter:
        """Refuse a candidate and fail its batch; facts that failed so often are quarantined."""
        with self._writing(lease) as tx:
            row = tx.named(AdapterRow, adapter_id)
            lineage.reject(tx, row, verdict, quarantine_after)
            logger.info("rejected %s for %s: %s", row.id, tx.tenant, "; ".join(verdict.reasons))
            return lineage.adapter_record(row)

    def refuse(self, adapter_id: str, verdict: Verdict, lease: Lease | None = None) -> Adapter:
        """Refuse a candidate whose batch goes on with another one."""
        with self._writing(lease) as tx:
            row = tx.named(AdapterRow, adapter_id)
            lineage.refuse(tx, row, verdict)
            return lineage.adapter_record(row)

    def revert(self, *, to: str | None = None, retract: bool = False) -> tuple[Adapter, Adapter]:
        """Put the parent, or the ancestor `to`, back; returns what served and what serves now.

        The facts of every batch undone are held: in the prompt, out of edits. With `retract` they are taken
        back instead, and the values they had superseded stand again.
        """
        with self._writing() as tx:
            ancestor = tx.named(AdapterRow, to) if to is not None else None
            undone, serving = lineage.revert(tx, ancestor, also_retract=retract)
            logger.info("reverted %s to %s for %s", undone.id, serving.id, tx.tenant)
            return lineage.adapter_record(undone), lineage.adapter_record(serving)

    def serving(self) -> Adapter | None:
        with self._reading() as tx:
            row = places.serving(tx)
            return lineage.adapter_record(row) if row else None

    def adapter(self, adapter_id: str) -> Adapter:
        with self._reading() as tx:
            return lineage.adapter_record(tx.named(AdapterRow, adapter_id))

    def awaiting(self) -> Adapter | None:
        """A candidate that was measured and not yet judged: a person, or the next cycle, decides."""
        measured = (
            sa.select(AdapterRow)
            .join(BatchRow, BatchRow.id == AdapterRow.batch_id)
            .where(
                AdapterRow.status == AdapterStatus.CANDIDATE,
                AdapterRow.scores.is_not(None),
                BatchRow.status == BatchStatus.CLAIMED,
            )
        )
        with self._reading() as tx:
            row = tx.scalars(measured.order_by(AdapterRow.number.desc()).limit(1)).one_or_none()
            return lineage.adapter_record(row) if row is not None else None

    def lineage(self) -> tuple[Adapter, ...]:
        """What serves, its parent, and so on to the root that it stands on."""
        with self._reading() as tx:
            return tuple(map(lineage.adapter_record, lineage.ancestry(tx)))

    def way_back(self) -> tuple[Adapter, ...]:
        """What serves, and what one revert after the other puts back: after a rebuild, what it replaced."""
        with self._reading() as tx:
            return tuple(map(lineage.adapter_record, lineage.way_back(tx)))

    def collect(self, adapter_id: str) -> Adapter:
        """Note that an adapter's files go: nothing leads back to it. Raises WrongState where it serves."""
        with self._writing() as tx:
            row = tx.named(AdapterRow, adapter_id)
            lineage.collect(tx, row)
            return lineage.adapter_record(row)

    def bring_back(self, adapter_id: str) -> Adapter:
        """Note that a collected adapter's files are there again."""
        with self._writing() as tx:
            row = tx.named(AdapterRow, adapter_id)
            lineage.bring_back(tx, row)
            return lineage.adapter_record(row)

    def adapters(self) -> tuple[Adapter, ...]:
        made = sa.select(AdapterRow).order_by(AdapterRow.number)
        with self._reading() as tx:
            return tuple(lineage.adapter_record(row) for row in tx.scalars(made))
