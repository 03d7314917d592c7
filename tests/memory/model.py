"""What a tenant's memory looks like after any history, in plain dicts and lists: the oracle of the histories.

Written from DESIGN.md and the docstrings, and as naive as it can be: an adapter is the dict of what a perfect
edit leaves in its weights, and the state of a fact is no field but a question about where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time

from memory import STATEMENT, AdapterStatus, BatchStatus, CandidateFact, Cardinality, FactStatus
from memory import ProposalStatus as Review

NOW = datetime(2021, 1, 1, tzinfo=UTC)
"""Nothing in a history happens between this and the day on which the test runs."""


@dataclass(eq=False, kw_only=True)
class Known:
    id: str
    said: CandidateFact
    since: datetime
    stated: datetime | None
    until: datetime | None
    heard: list[str]
    supersedes: Known | None = None
    ended: FactStatus | None = None
    is_held: bool = False
    reason: str | None = None
    attempts: int = 0
    confidence: float

    @property
    def is_over(self) -> bool:
        return self.until is not None and self.until <= NOW

    @property
    def holds(self) -> bool:
        return self.since <= NOW and not self.is_over


@dataclass(eq=False, kw_only=True)
class Made:
    """An adapter; `weights` says of each fact they hold which adapter was taught it.

    `before` is what it takes the place of: its parent, or what a rebuild replaces.
    """

    parent: str | None
    before: str | None
    batch: str | None
    status: AdapterStatus = AdapterStatus.CANDIDATE
    weights: dict[Known, str] | None = None
    is_collected: bool = False


@dataclass(eq=False, kw_only=True)
class Taken:
    facts: list[Known]
    removals: list[Known]
    status: BatchStatus = BatchStatus.CLAIMED
    set_aside: list[Known] = field(default_factory=list)
    lost: list[Known] = field(default_factory=list)
    replaces: str | None = None

    @property
    def all(self) -> list[Known]:
        return [*self.facts, *self.removals, *self.set_aside, *self.lost]


@dataclass(eq=False, kw_only=True)
class Waiting:
    said: CandidateFact
    said_at: datetime
    heard: str
    status: Review = Review.PROPOSED
    fact: Known | None = None


@dataclass(kw_only=True)
class Done:
    fact: Known | None = None
    is_new: bool = False
    superseded: list[Known] = field(default_factory=list)
    retracted: list[Known] = field(default_factory=list)
    reopened: list[Known] = field(default_factory=list)


class Model:
    def __init__(self) -> None:
        self.facts: dict[str, Known] = {}
        self.adapters: dict[str, Made] = {}
        self.batches: dict[str, Taken] = {}
        self.proposals: dict[str, Waiting] = {}
        self.words: dict[str, bool] = {}
        """Of each utterance, whether its words are still there."""
        self.buried: set[tuple[str, ...]] = set()

    # Where a fact is

    @property
    def serving(self) -> str:
        return next(name for name, made in self.adapters.items() if made.status is AdapterStatus.PROMOTED)

    @property
    def weights(self) -> dict[Known, str]:
        return self.adapters[self.serving].weights or {}

    @property
    def running(self) -> str | None:
        return next((id for id, batch in self.batches.items() if batch.status is BatchStatus.CLAIMED), None)

    @property
    def standing(self) -> list[Known]:
        return [fact for fact in self.facts.values() if not fact.ended]

    def status(self, fact: Known) -> FactStatus:
        if fact.ended:
            return fact.ended
        if fact.reason is not None:
            return FactStatus.QUARANTINED
        if fact.is_held:
            return FactStatus.HELD
        if fact in self.weights:
            return FactStatus.LEARNED
        if self.running and fact in self.batches[self.running].facts:
            return FactStatus.CLAIMED
        return FactStatus.PENDING

    @property
    def negations(self) -> list[Known]:
        """Taken back, still in the weights, and no other value in the prompt or the weights says so."""
        taken_back = [fact for fact in self.weights if fact.ended is FactStatus.RETRACTED]
        holding = [fact for fact in self.standing if fact.holds]
        return self.in_order(f for f in taken_back if not any(displaces(o, f) for o in holding))

    @property
    def prompt(self) -> list[Known]:
        """Also what was superseded as of a day to come. Whoever asks takes back what is over."""
        self.take_back_what_is_over()
        unlearned = [f for f in self.standing if self.status(f) is not FactStatus.LEARNED]
        outlives = [f for f in self.facts.values() if f.ended is FactStatus.SUPERSEDED]
        told = [f for f in (*unlearned, *(f for f in outlives if f not in self.weights)) if f.holds]
        return self.in_order([*told, *self.negations])

    def in_order(self, facts: Iterable[Known]) -> list[Known]:
        return sorted(facts, key=list(self.facts.values()).index)

    def as_of(self, moment: datetime) -> list[str]:
        return [
            f.id for f in self.facts.values() if f.since <= moment and not (f.until and f.until <= moment)
        ]

    # What is said

    def record(self, said: CandidateFact, said_at: datetime, heard: str, id: str) -> Done:
        beside = [fact for fact in self.standing if slot(fact.said) == slot(said)]
        same = [fact for fact in beside if value(fact.said) == value(said)]
        means_all = not value(said) if said.retracts else is_functional(said)
        if any(fact.is_over for fact in (beside if means_all else same)):
            self.take_back_what_is_over()
            return self.record(said, said_at, heard, id)
        since, until = midnight(said.valid_from) or said_at, midnight(said.valid_until)
        if said.retracts and until and until > said_at:
            told = [self._say_again(fact, said, said_at, heard) for fact in (same if value(said) else beside)]
            return Done(fact=told[-1] if told else None)
        if said.retracts:
            return self._take_back(same if value(said) else beside, until or said_at, heard, said.is_over)
        if until and until <= said_at and same:
            return self._take_back(same, until, heard, is_over=True)
        is_earlier_stay = same and until and until <= same[0].since
        if same and not is_earlier_stay:
            return Done(fact=self._say_again(same[0], said, said_at, heard))
        new = Known(
            id=id,
            said=said,
            since=since,
            stated=until,
            until=until,
            heard=[heard],
            confidence=said.confidence,
        )
        superseded = []
        if until and (until <= said_at or is_earlier_stay):
            new.since = min(since, until)
            self._end(new, FactStatus.SUPERSEDED, until)
        elif is_functional(said):
            superseded = beside
            new.supersedes = beside[-1] if beside else None
            for older in beside:
                self._end(older, FactStatus.SUPERSEDED, since)
        self.facts[id] = new
        return Done(fact=new, is_new=True, superseded=superseded)

    def decide(self, id: str, new_id: str | None) -> Done | None:
        waiting = self.proposals[id]
        waiting.status = Review.APPROVED if new_id is not None else Review.DECLINED
        if new_id is None:
            return None
        done = self.record(waiting.said, waiting.said_at, waiting.heard, new_id)
        waiting.fact = done.fact
        return done

    def is_buried(self, said: CandidateFact) -> bool:
        return not self.buried.isdisjoint(graves(said))

    def _say_again(self, fact: Known, said: CandidateFact, said_at: datetime, heard: str) -> Known:
        """What was said last of when it holds counts, where a fact can have it."""
        fact.heard.append(heard)
        fact.confidence = max(fact.confidence, said.confidence)
        since, until = midnight(said.valid_from) or fact.since, midnight(said.valid_until) or fact.stated
        if (until and until <= since) or fact.since <= said_at < since:
            return fact
        is_moved, before = since != fact.since, fact.supersedes
        fact.since, fact.stated, fact.until = since, until, until
        if is_moved and before and before.ended is FactStatus.SUPERSEDED:
            self._end(before, FactStatus.SUPERSEDED, since)
        return fact

    def _take_back(self, facts: Sequence[Known], until: datetime, heard: str, is_over: bool) -> Done:
        for fact in facts:
            fact.heard.append(heard)
        reopened = []
        for fact in facts:
            if is_over and fact.since <= NOW:
                self._finish(fact, until)
            else:
                reopened.append(self._retract(fact, until))
        return Done(retracted=list(facts), reopened=[fact for fact in reopened if fact])

    def take_back_what_is_over(self) -> None:
        for fact in [fact for fact in self.standing if fact.is_over]:
            self._retract(fact, fact.until or NOW)

    def _finish(self, fact: Known, until: datetime) -> None:
        """It held until then; so what it had taken the place of is over too, and no value says so for it."""
        self._end(fact, FactStatus.RETRACTED, until)
        fact.attempts, fact.is_held, fact.reason = 0, False, None
        before = fact.supersedes
        while before is not None:
            if before.ended is FactStatus.SUPERSEDED and not any(displaces(f, before) for f in self.standing):
                self._end(before, FactStatus.RETRACTED, before.until or until)
                before.attempts, before.is_held, before.reason = 0, False, None
            before = before.supersedes

    def _retract(self, fact: Known, until: datetime) -> Known | None:
        self._end(fact, FactStatus.RETRACTED, until)
        fact.attempts, fact.is_held, fact.reason = 0, False, None
        return self._reopen(fact.supersedes)

    def _end(self, fact: Known, how: FactStatus, until: datetime) -> None:
        fact.ended = how
        fact.until = max(fact.since, min(until, fact.stated or until))

    def _reopen(self, before: Known | None) -> Known | None:
        if before is None or before.ended is not FactStatus.SUPERSEDED:
            return None
        if (before.stated and before.stated <= NOW) or any(displaces(f, before) for f in self.standing):
            return None
        before.ended, before.until = None, before.stated
        return before

    # What is learned

    def claim(self, limit: int, id: str) -> bool:
        self.fail()
        self.take_back_what_is_over()
        removals = [fact for fact in self.negations if fact.reason is None][:limit]
        waiting = [f for f in self.prompt if self.status(f) is FactStatus.PENDING]
        facts = [f for f in waiting if f.said.relation != STATEMENT][: limit - len(removals)]
        if facts or removals:
            self.batches[id] = Taken(facts=facts, removals=removals)
        return bool(facts or removals)

    def claim_all(self, id: str) -> str | None:
        """The batch of all that weights should know: one that is left of the same facts is gone on with."""
        wanted = (FactStatus.LEARNED, FactStatus.PENDING, FactStatus.CLAIMED)
        facts = [f for f in self.standing if self.status(f) in wanted and f.holds]
        facts = [f for f in facts if f.said.relation != STATEMENT]
        if self.running:
            left = self.batches[self.running]
            if (left.replaces, left.facts) == (self.serving, facts):
                return self.running
        self.fail()
        if not facts:
            return None
        self.batches[id] = Taken(facts=facts, removals=[], replaces=self.serving)
        return id

    def fail(self, quarantine_after: int | None = None) -> None:
        """With a number, this counts as an attempt, and those that failed so often are quarantined."""
        if self.running is None:
            return
        id, batch = self.running, self.batches[self.running]
        batch.status = BatchStatus.FAILED
        for made in self.adapters.values():
            if made.batch == id and made.status is AdapterStatus.CANDIDATE:
                made.status = AdapterStatus.REJECTED
        if quarantine_after is None:
            return
        for fact in (*batch.facts, *batch.removals):
            fact.attempts += 1
            if fact.attempts >= quarantine_after and self.waits(fact):
                fact.reason = f"its batch failed {fact.attempts} times"

    def waits(self, fact: Known) -> bool:
        """Whether an edit is still to come, and so can be kept from it."""
        if fact.ended:
            return fact.ended is FactStatus.RETRACTED and fact in self.weights
        return self.status(fact) is not FactStatus.LEARNED

    def quarantine(self, fact: Known, reason: str) -> None:
        fact.reason, fact.is_held = reason, False
        batch = self.batches[self.running] if self.running else None
        for taken in (batch.facts, batch.removals) if batch else ():
            if batch and fact in taken:
                taken.remove(fact)
                batch.set_aside.append(fact)

    def release(self, fact: Known) -> None:
        fact.reason, fact.is_held, fact.attempts = None, False, 0

    def promote(self, name: str, lost: Iterable[Known] = ()) -> None:
        made = self.adapters[name]
        batch = self.batches.get(made.batch or "", Taken(facts=[], removals=[]))
        if batch.replaces:
            batch.lost += [fact for fact in lost if fact in batch.facts]
            batch.facts = [fact for fact in batch.facts if fact not in batch.lost]
            made.weights = made.weights or dict.fromkeys(batch.facts, name)
        elif made.weights is None:
            kept = {f: by for f, by in self.weights.items() if not any(displaces(n, f) for n in batch.facts)}
            made.weights = {f: by for f, by in kept.items() if f not in (*batch.removals, *lost)}
            made.weights |= dict.fromkeys(batch.facts, name)
        self.adapters[self.serving].status = AdapterStatus.RETIRED
        made.status, batch.status = AdapterStatus.PROMOTED, BatchStatus.DONE
        for other in self.adapters.values():
            if other.batch and other.batch == made.batch and other.status is AdapterStatus.CANDIDATE:
                other.status = AdapterStatus.REJECTED
        for fact in batch.facts:
            self.release(fact)

    def way_back(self) -> list[str]:
        """The serving adapter and what served before it."""
        way = [self.serving]
        while before := self.adapters[way[-1]].before:
            way.append(before)
        return way

    def ancestry(self) -> list[str]:
        line = [self.serving]
        while parent := self.adapters[line[-1]].parent:
            line.append(parent)
        return line

    def leads_back(self, name: str) -> bool:
        made = self.adapters[name]
        return not made.is_collected and made.status is not AdapterStatus.FORGOTTEN

    def revert(self, to: str, retract: bool) -> None:
        for fact in self._put_back(to, AdapterStatus.REVERTED):
            if retract and not fact.ended:
                self._retract(fact, NOW)
            elif not retract and fact.ended is not FactStatus.RETRACTED and fact.reason is None:
                fact.is_held = True

    def _put_back(self, to: str, status: AdapterStatus | None) -> list[Known]:
        """Serve an ancestor; the facts that this takes out of the weights."""
        undone = self.way_back()[: self.way_back().index(to)]
        for name in undone:
            if status and self.adapters[name].status is not AdapterStatus.FORGOTTEN:
                self.adapters[name].status = status
        self.adapters[to].status = AdapterStatus.PROMOTED
        taught = [fact for name in undone for fact in self._taught_by(name)]
        return [fact for fact in dict.fromkeys(taught) if fact not in self.weights]

    def _taught_by(self, name: str) -> list[Known]:
        batch = self.adapters[name].batch
        return self.in_order(self.batches[batch].facts) if batch else []

    # What is forgotten

    def forget(self, gone: Sequence[Known], subject: str | None = None) -> None:
        if self.running and not set(gone).isdisjoint(self.batches[self.running].all):
            self.fail()
        held = [n for n, made in self.adapters.items() if made.batch and self._holds(made.batch, gone)]
        for name, made in self.adapters.items():
            if made.parent in held and name not in held:
                held.append(name)
        clean = next(name for name in self.way_back() if name not in held and self.leads_back(name))
        # What is passed over because its files are gone holds nothing of it: it stays what it was.
        self._put_back(clean, None)
        for name in held:
            if self.adapters[name].batch == self.running:
                self.fail()
            self.adapters[name].status = AdapterStatus.FORGOTTEN
        self.buried |= {graves(fact.said)[0] for fact in gone} | ({(subject,)} if subject else set())
        silenced = {heard for fact in gone for heard in fact.heard}
        for id, waiting in list(self.proposals.items()):
            if self.is_buried(waiting.said):
                silenced.add(self.proposals.pop(id).heard)
        for fact in gone:
            self._erase(fact)
        self.words |= dict.fromkeys(silenced, False)

    def _holds(self, batch: str, gone: Sequence[Known]) -> bool:
        return not set(gone).isdisjoint(self.batches[batch].all)

    def _erase(self, fact: Known) -> None:
        was_standing, fact.ended = not fact.ended, FactStatus.RETRACTED
        if was_standing:
            self._reopen(fact.supersedes)
        for later in self.facts.values():
            if later.supersedes is fact:
                later.supersedes = fact.supersedes
        del self.facts[fact.id]
        for waiting in self.proposals.values():
            if waiting.fact is fact:
                waiting.fact = None
        for made in self.adapters.values():
            (made.weights or {}).pop(fact, None)


def slot(said: CandidateFact) -> tuple[str, str]:
    return plain(said.subject), said.relation


def value(said: CandidateFact) -> str:
    return plain(said.statement if said.relation == STATEMENT else said.object)


def plain(text: str) -> str:
    """The spellings that a history plays with."""
    return text.casefold().strip(" .").removeprefix("the ")


def is_functional(said: CandidateFact) -> bool:
    return said.cardinality is Cardinality.ONE and said.relation != STATEMENT


def displaces(new: Known, old: Known) -> bool:
    """Whether teaching the one takes the place of the other."""
    same_slot = new is not old and slot(new.said) == slot(old.said)
    return same_slot and (is_functional(new.said) or value(new.said) == value(old.said))


def graves(said: CandidateFact) -> tuple[tuple[str, ...], ...]:
    """What may have been buried with it: the value of its slot, all about its subject or value."""
    return (*slot(said), value(said)), (plain(said.subject),), (value(said),)


def midnight(day: date | None) -> datetime | None:
    return datetime.combine(day, time(), UTC) if day else None
