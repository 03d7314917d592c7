"""Random histories of a tenant: after every step, all that users can see is what a simple model says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from memory import (
    ERASED,
    STATEMENT,
    AdapterStatus,
    Archive,
    CandidateFact,
    CannotRevert,
    Cardinality,
    Fact,
    FactStatus,
    FactStore,
    LeaseHeld,
    ProposalStatus,
    Recorded,
    StaleLease,
    StaleParent,
    Verdict,
    now,
)
from tests.memory.conftest import GOOD, Tenant
from tests.memory.model import NOW, Done, Known, Made, Model, Waiting, graves

BAD = Verdict(promote=False, reasons=("a guard broke",))
MOMENTS = tuple(datetime(year, 6, 1, tzinfo=UTC) for year in (1999, 2008, 2013, 2017, 2500))
FAR = datetime(2900, 1, 1, tzinfo=UTC)

CARDINALITIES = {
    "likes": [Cardinality.MANY],
    "lives_in": [Cardinality.ONE],
    # What an extractor calls functional at one time and set-valued at another.
    "plays": [Cardinality.ONE, Cardinality.MANY],
    STATEMENT: [Cardinality.ONE],
}
SAID_AT = st.sampled_from([datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2012)])


@st.composite
def candidates(draw: st.DrawFn, *, retracts: bool = False) -> CandidateFact:
    relation = draw(st.sampled_from(["lives_in", "lives_in", "likes", "plays", STATEMENT]))
    values = ["Lyon", "Nice", "the LYON.", "Anna"] + [""] * retracts
    subject, value = draw(st.sampled_from(["user", "user", "Anna"])), draw(st.sampled_from(values))
    return CandidateFact(
        subject=subject,
        relation=relation,
        object="" if relation == STATEMENT else value,
        statement=f"{subject} {relation} {value}",
        start=0,
        end=4,
        retracts=retracts,
        is_over=retracts and draw(st.booleans()),
        cardinality=draw(st.sampled_from(CARDINALITIES[relation])),
        valid_from=draw(st.sampled_from([None, None, date(2001, 1, 1), date(2015, 1, 1), date(2990, 1, 1)])),
        valid_until=draw(
            st.sampled_from([None, None, None, date(2010, 1, 1), date(2016, 1, 1), date(2999, 1, 1)])
        ),
        confidence=draw(st.sampled_from([1.0, 0.5])),
    )


class Crash(Exception):
    """The process dies, or the database goes away."""


class Life(RuleBasedStateMachine):
    """What is done to the store is done to the model."""

    looks_at_all = False

    def __init__(self, archive: Archive, name: str, crashing: Crashing) -> None:
        super().__init__()
        self.archive, self.crashing = archive, crashing
        self.tenant = Tenant(archive.store(name))
        self.numbers, self.turns = itertools.count(1), itertools.count()
        self.crash_after: int | None = None

    @property
    def store(self) -> FactStore:
        return self.tenant.store

    @initialize()
    def begin(self):
        """As `init` does."""
        self.model, self.remembered = Model(), []
        root = self.tenant.adapter(f"{self.tenant.name}-{next(self.numbers)}", parent=None)
        self.store.root(root)
        self.model.adapters[root.id] = Made(
            parent=None, before=None, batch=None, status=AdapterStatus.PROMOTED, weights={}
        )
        self.lease = self.tenant.lease()
        self.is_checked = False

    # What is said

    @rule(said=st.lists(candidates(), min_size=1, max_size=2), said_at=SAID_AT)
    def tell(self, said, said_at):
        told = self.do(self.store.tell, "Lyon, they say.", said, said_at=said_at)
        known = [candidate for candidate in said if not self.model.is_buried(candidate)]
        self.model.words[told.utterance.id] = len(known) == len(said)
        assert told.refused == len(said) - len(known)
        for candidate, recorded in zip(known, told.recorded, strict=True):
            done = self.model.record(candidate, said_at, told.utterance.id, _id(recorded))
            _require_same(recorded, done)

    @rule(said=candidates(retracts=True), said_at=SAID_AT)
    def take_back(self, said, said_at):
        told = self.do(self.store.tell, "Not Lyon.", [said], said_at=said_at)
        self.model.words[told.utterance.id] = not self.model.is_buried(said)
        (recorded,) = told.recorded
        _require_same(recorded, self.model.record(said, said_at, told.utterance.id, _id(recorded)))

    @rule(said=candidates(), retracts=st.booleans(), said_at=SAID_AT)
    def propose(self, said, retracts, said_at):
        said = _changed(said, retracts=retracts)
        told = self.do(self.store.tell, "Lyon, maybe.", proposed=[said], said_at=said_at)
        is_buried = self.model.is_buried(said)
        self.model.words[told.utterance.id] = not is_buried
        assert len(told.proposed) == (not is_buried)
        for made in told.proposed:
            self.model.proposals[made.id] = Waiting(said=said, said_at=said_at, heard=told.utterance.id)

    @precondition(lambda self: self._waiting())
    @rule(n=st.integers(0, 9), is_good=st.booleans())
    def decide(self, n, is_good):
        waiting = self._waiting()
        id = waiting[n % len(waiting)]
        if is_good:
            recorded = self.do(self.store.approve, id)
            done = self.model.decide(id, _id(recorded))
            assert done is not None
            _require_same(recorded, done)
        else:
            self.do(self.store.decline, id)
            self.model.decide(id, None)

    # What is learned

    @rule(said=st.lists(candidates(), max_size=2), limit=st.integers(1, 4))
    def learn(self, said, limit):
        """A whole cycle, during which people go on talking."""
        self.start_a_cycle(limit)
        self.make_a_candidate()
        for candidate in said:
            self.tell([candidate], datetime(2020, 1, 1, tzinfo=UTC))
        self.promote([], [])

    @rule(said=candidates(), limit=st.integers(1, 4))
    def learn_what_is_taken_back_meanwhile(self, said, limit):
        self.tell([said], datetime(2020, 1, 1, tzinfo=UTC))
        self.start_a_cycle(limit)
        self.make_a_candidate()
        changed = {"retracts": True, "valid_until": None}
        self.take_back(_changed(said, **changed), datetime(2020, 1, 1, tzinfo=UTC))
        self.promote([], [])

    @rule(limit=st.integers(1, 4))
    def start_a_cycle(self, limit):
        """What an earlier one left is given back."""
        batch = self.do(self.store.claim_batch, limit, self.lease)
        assert self.model.claim(limit, batch.id if batch else "") is (batch is not None)
        if batch:
            taken = self.model.batches[batch.id]
            assert _ids(batch.facts) == _ids(taken.facts)
            assert _ids(batch.removals) == _ids(taken.removals)

    @rule()
    def start_a_rebuild(self):
        batch = self.do(self.store.claim_rebuild, self.lease)
        assert self.model.claim_all(batch.id if batch else "") == (batch.id if batch else None)
        if batch:
            taken = self.model.batches[batch.id]
            assert _ids(batch.facts) == _ids(taken.facts)
            assert batch.replaces_id == taken.replaces

    @rule(said=st.lists(candidates(), max_size=2), lost=st.lists(st.integers(0, 9), max_size=1))
    def rebuild(self, said, lost):
        """From the root, while people go on talking."""
        self.start_a_rebuild()
        if self.model.running:
            self.make_a_candidate()
            for candidate in said:
                self.tell([candidate], datetime(2020, 1, 1, tzinfo=UTC))
            self.promote([], lost)

    @rule()
    def make_a_candidate(self):
        """Of the batch that is being edited, if any."""
        name, batch, serving = (
            f"{self.tenant.name}-{next(self.numbers)}",
            self.model.running,
            self.model.serving,
        )
        replaces = self.model.batches[batch].replaces if batch else None
        parent = self.model.ancestry()[-1] if replaces else serving
        made = self.tenant.adapter(name, parent=parent, batch_id=batch)
        self.do(self.store.register, made, self.lease)
        self.model.adapters[name] = Made(parent=parent, before=replaces or parent, batch=batch)

    @rule(set_aside=st.lists(st.integers(0, 9), max_size=1), lost=st.lists(st.integers(0, 9), max_size=1))
    def promote(self, set_aside, lost):
        if not (name := self._newest(AdapterStatus.CANDIDATE)):
            return
        if self.model.adapters[name].before != self.model.serving:
            with pytest.raises(StaleParent):
                self.do(self.store.promote, name, GOOD, self.lease)
            return
        batch = self.model.adapters[name].batch
        claimed = self.model.batches[batch].facts if batch else []
        aside = _chosen([fact for fact in claimed if self.model.waits(fact)], set_aside)
        is_rebuild = batch and self.model.batches[batch].replaces
        known = [fact for fact in self.model.weights if (fact in claimed) == bool(is_rebuild)]
        gone = _chosen(known if batch else [], lost)
        reasons = {fact.id: "missed" for fact in aside}
        ids = [fact.id for fact in gone]
        self.do(self.store.promote, name, GOOD, self.lease, set_aside=reasons, lost=ids)
        for fact in aside:
            self.model.quarantine(fact, "missed")
        self.model.promote(name, gone)

    @precondition(lambda self: self._newest(AdapterStatus.CANDIDATE))
    @rule()
    def reject(self):
        name = self._newest(AdapterStatus.CANDIDATE) or ""
        self.do(self.store.reject, name, BAD, self.lease, quarantine_after=2)
        if self.model.adapters[name].batch == self.model.running:
            self.model.fail(quarantine_after=2)
        self.model.adapters[name].status = AdapterStatus.REJECTED

    @precondition(lambda self: self.model.running)
    @rule(counts=st.booleans())
    def fail(self, counts):
        batch = self.model.running or ""
        self.do(self.store.fail_batch, batch, self.lease, count_attempt=counts, quarantine_after=2)
        self.model.fail(quarantine_after=2 if counts else None)

    @precondition(lambda self: len(self.model.way_back()) > 1)
    @rule(steps=st.integers(1, 3), retract=st.booleans())
    def revert(self, steps, retract):
        way = self.model.way_back()
        to = way[min(steps, len(way) - 1)]
        if not self.model.leads_back(to):
            with pytest.raises(CannotRevert):
                self.do(self.store.revert, to=to, retract=retract)
            return
        self.do(self.store.revert, to=to, retract=retract)
        self.model.revert(to, retract)

    @rule(said=candidates(), other=candidates(), retract=st.booleans())
    def learn_contradict_learn_and_revert(self, said, other, retract):
        for candidate in (said, other):
            self.tell([candidate], datetime(2020, 1, 1, tzinfo=UTC))
            self.learn([], 4)
        self.take_back(_changed(said, retracts=True), datetime(2020, 1, 1, tzinfo=UTC))
        self.learn([], 4)
        if len(self.model.way_back()) > 1:
            self.revert(2, retract)

    @precondition(lambda self: self._newest(AdapterStatus.REVERTED))
    @rule()
    def promote_a_reverted_adapter_again(self):
        serving = self.model.serving
        for name, made in self.model.adapters.items():
            if made.status is AdapterStatus.REVERTED and made.before == serving and not made.is_collected:
                self.do(self.store.promote, name, GOOD)
                self.model.promote(name)
                return

    @precondition(lambda self: self.model.facts)
    @rule(n=st.integers(0, 9))
    def quarantine(self, n):
        waiting = [fact for fact in self.model.facts.values() if self.model.waits(fact)]
        for fact in _chosen(waiting, [n]):
            self.do(self.store.quarantine, fact.id, "on a whim")
            self.model.quarantine(fact, "on a whim")

    @precondition(lambda self: self._kept_out())
    @rule(n=st.integers(0, 9))
    def release(self, n):
        for fact in _chosen(self._kept_out(), [n]):
            self.do(self.store.release, fact.id)
            self.model.release(fact)

    @precondition(lambda self: len(self.model.adapters) > 2)
    @rule(n=st.integers(0, 9))
    def collect(self, n):
        """The files of an adapter go, if it is not needed."""
        needed = (AdapterStatus.PROMOTED, AdapterStatus.CANDIDATE)
        names = [n for n, made in self.model.adapters.items() if made.parent and made.status not in needed]
        for name in [names[n % len(names)]] if names else []:
            self.do(self.store.collect, name)
            self.model.adapters[name].is_collected = True

    # What is forgotten

    @precondition(lambda self: self.model.facts)
    @rule(chosen=st.lists(st.integers(0, 9), min_size=1, max_size=2))
    def forget(self, chosen):
        gone = _chosen(list(self.model.facts.values()), chosen)
        self.do(self.store.forget, [fact.id for fact in gone])
        self.model.forget(gone)
        self.remembered.clear()

    @rule()
    def forget_a_subject(self):
        gone = [f for f in self.model.facts.values() if not {"anna"}.isdisjoint((*graves(f.said)[0],))]
        self.do(self.store.forget, subject="Anna")
        self.model.forget(gone, "anna")
        self.remembered.clear()

    @precondition(lambda self: self.model.buried)
    @rule(said=candidates())
    def allow(self, said):
        assert self.do(self.store.allow, said) is self.model.is_buried(said)
        self.model.buried -= set(graves(said))

    @rule()
    def forget_everything(self):
        self.do(self.store.forget_everything)
        assert not self.store.exists()
        assert list(self.store.export()) == []
        self.begin()

    # What goes wrong

    @rule(statements=st.integers(0, 40))
    def crash_in_the_next_transaction(self, statements):
        self.crash_after = statements

    @rule()
    def die_and_start_again(self):
        self.tenant.store = self.archive.store(self.tenant.name)
        with pytest.raises(LeaseHeld):
            self.tenant.lease("another")
        self.lease = self.store.take_lease("test", 600, dead="test")

    @rule()
    def sleep_past_the_lease(self):
        late = self.store.renew_lease(self.lease, -1)
        self.lease = self.tenant.lease()
        for lease in (late, self.store.renew_lease(self.lease, -1)):
            with pytest.raises(StaleLease):
                self.store.claim_batch(1, lease)
        self.lease = self.tenant.lease()

    # What is seen

    @invariant()
    def all_is_as_the_model_says(self):
        if not self.is_checked:
            self.is_checked = True
            in_turn = LOOKS[4 + next(self.turns) % len(LOOKS[4:])]
            _require_seen(self.store, self.model, LOOKS if self.looks_at_all else (*LOOKS[:4], in_turn))
            self.remembered.append((now(), _ids(self.model.standing), _true_at(self.model)))

    def teardown(self):
        _require_seen(self.store, self.model)
        for moment, standing, then in self.remembered:
            assert _ids(self.store.facts(recorded_as_of=moment)) == standing
            for as_of, ids in then.items():
                found = self.store.facts(as_of=as_of, recorded_as_of=moment)
                assert _ids(found) == ids, (as_of, moment)

    def do(self, act: Callable[..., Any], *what: Any, **how: Any) -> Any:
        """Once more after a crash, which must have left nothing behind."""
        self.is_checked = False
        if self.crash_after is not None:
            statements, self.crash_after = self.crash_after, None
            try:
                with self.crashing(statements):
                    return act(*what, **how)
            except Crash:
                _require_seen(self.store, self.model, LOOKS[:4])
        return act(*what, **how)

    def _waiting(self) -> list[str]:
        return [id for id, p in self.model.proposals.items() if p.status is ProposalStatus.PROPOSED]

    def _kept_out(self) -> list[Known]:
        facts = self.model.facts.values()
        return [f for f in facts if (f.is_held or f.reason is not None) and self.model.waits(f)]

    def _newest(self, status: AdapterStatus) -> str | None:
        return next((n for n, made in reversed(self.model.adapters.items()) if made.status is status), None)


Crashing = Callable[[int], Any]


@pytest.fixture
def crashing(archive: Archive) -> Iterator[Crashing]:
    """Lets the process die instead of running the n-th statement from now."""
    left: list[int] = []

    def count(*_: Any) -> None:
        if left:
            left[0] -= 1
            if left[0] < 0:
                raise Crash

    @contextmanager
    def crashing_after(statements: int) -> Iterator[None]:
        left.append(statements)
        try:
            yield
        finally:
            left.clear()

    sa.event.listen(archive._engine, "before_cursor_execute", count)
    yield crashing_after
    sa.event.remove(archive._engine, "before_cursor_execute", count)


Look = Callable[[FactStore, Model], tuple[Any, Any]]


def _facts(store: FactStore, model: Model) -> tuple[Any, Any]:
    seen = [_shown(fact) for fact in store.facts(statuses=FactStatus)]
    return seen, [_expected(model, fact) for fact in model.facts.values()]


def _prompt(store: FactStore, model: Model) -> tuple[Any, Any]:
    return _ids(store.recall()), _ids(model.prompt)


def _standing(store: FactStore, model: Model) -> tuple[Any, Any]:
    return _ids(store.facts()), _ids(model.standing)


def _weights(store: FactStore, model: Model) -> tuple[Any, Any]:
    """What the weights hold, and what they alone serve."""
    learned = [fact for fact in model.standing if model.status(fact) is FactStatus.LEARNED]
    return (_ids(store.taught()), _ids(store.learned())), (_ids(model.in_order(model.weights)), _ids(learned))


def _counts(store: FactStore, model: Model) -> tuple[Any, Any]:
    statuses = [model.status(fact) for fact in model.facts.values()]
    return store.counts(), {status: statuses.count(status) for status in FactStatus}


def _true_then(store: FactStore, model: Model) -> tuple[Any, Any]:
    return {moment: _ids(store.facts(as_of=moment)) for moment in MOMENTS}, _true_at(model)


def _found(store: FactStore, model: Model) -> tuple[Any, Any]:
    found = [fact for fact in model.standing if "Nice" in fact.said.statement and fact.holds]
    return set(_ids(store.search("nice", limit=50))), set(_ids(found))


def _proposals(store: FactStore, model: Model) -> tuple[Any, Any]:
    seen = {made.id: (made.status, made.fact_id) for made in store.proposals(*ProposalStatus)}
    return seen, {id: (made.status, made.fact and made.fact.id) for id, made in model.proposals.items()}


def _adapters(store: FactStore, model: Model) -> tuple[Any, Any]:
    serving = store.serving()
    seen = {a.id: (a.parent_id, a.status, a.collected_at is not None) for a in store.adapters()}
    expected = {name: (m.parent, m.status, m.is_collected) for name, m in model.adapters.items()}
    lines = [[adapter.id for adapter in line] for line in (store.way_back(), store.lineage())]
    return (serving and serving.id, seen, lines), (
        model.serving, expected, [model.way_back(), model.ancestry()],
    )  # fmt: skip


def _batches(store: FactStore, model: Model) -> tuple[Any, Any]:
    seen = {batch.id: batch.status for batch in store.batches()}
    return seen, {id: taken.status for id, taken in model.batches.items()}


def _words(store: FactStore, model: Model) -> tuple[Any, Any]:
    return {said.id: said.text != ERASED for said in store.utterances()}, model.words


def _problems(store: FactStore, model: Model) -> tuple[Any, Any]:
    return store.verify().problems, ()


LOOKS: tuple[Look, ...] = (
    _prompt, _facts, _adapters, _problems,
    _standing, _weights, _counts, _true_then, _found, _proposals, _batches, _words,
)  # fmt: skip
"""The first, which takes back what is over, and three more after every step; of the others at least one in
turn, and all at the end."""


def _require_seen(store: FactStore, model: Model, looks: Sequence[Look] = LOOKS) -> None:
    for look in looks:
        seen, expected = look(store, model)
        assert seen == expected, look.__name__


def _shown(fact: Any) -> tuple[Any, ...]:
    until = fact.valid_until
    return (
        fact.id, fact.status, fact.supersedes_id, fact.adapter_id, fact.attempts, fact.quarantine_reason,
        fact.valid_from, NOW if until and NOW < until < FAR else until, fact.confidence,
    )  # fmt: skip


def _expected(model: Model, fact: Known) -> tuple[Any, ...]:
    return (
        fact.id, model.status(fact), fact.supersedes and fact.supersedes.id, model.weights.get(fact),
        fact.attempts, fact.reason, fact.since, fact.until, fact.confidence,
    )  # fmt: skip


def _true_at(model: Model) -> dict[datetime, list[str]]:
    return {moment: model.as_of(moment) for moment in MOMENTS}


def _ids(facts: Iterable[Known] | Iterable[Fact]) -> list[str]:
    return [fact.id for fact in facts]


def _require_same(recorded: Recorded, done: Done) -> None:
    assert (_id(recorded), recorded.is_new) == (done.fact.id if done.fact else "", done.is_new)
    for kind in ("superseded", "retracted", "reopened"):
        assert _ids(getattr(recorded, kind)) == _ids(getattr(done, kind)), kind


def _id(recorded: Recorded) -> str:
    return recorded.fact.id if recorded.fact else ""


def _chosen(facts: list[Known], numbers: list[int]) -> list[Known]:
    return list(dict.fromkeys(facts[n % len(facts)] for n in numbers)) if facts else []


def _changed(said: CandidateFact, **values: Any) -> CandidateFact:
    return CandidateFact(**{name: getattr(said, name) for name in CandidateFact.__slots__} | values)


def test_whatever_happens_users_see_what_the_model_says(archive, crashing, request):
    is_on_sqlite = "sqlite" in request.node.name
    live(archive, crashing, n=60 if is_on_sqlite else 20, steps=8)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_whatever_happens_in_thousands_of_lives_users_see_what_the_model_says(archive, crashing, request):
    """New ones every time; half an hour on a slow core."""
    is_on_sqlite = "sqlite" in request.node.name
    live(archive, crashing, n=2000 if is_on_sqlite else 1000, steps=12, derandomize=False, looks_at_all=True)


def live(
    archive: Archive,
    crashing: Crashing,
    *,
    n: int,
    steps: int,
    derandomize: bool = True,
    looks_at_all: bool = False,
) -> None:
    """One database for all lives, a tenant for each: they are none of each other's business."""
    numbers = itertools.count(1)
    bystander = Tenant(archive.store("bystander"))
    bystander.tell("Oslo")
    bystander.learn()
    untouched = (bystander.store.facts(), bystander.store.tip())

    class NewLife(Life):
        def __init__(self) -> None:
            super().__init__(archive, f"life {next(numbers)}", crashing)
            self.looks_at_all = looks_at_all

    # A life that fails is short enough to be read as it is: to shrink it takes longer than to understand it.
    how = settings(
        max_examples=n,
        stateful_step_count=steps,
        derandomize=derandomize,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(NewLife, settings=how)
    assert (bystander.store.facts(), bystander.store.tip()) == untouched
    assert archive.verify().problems == ()
