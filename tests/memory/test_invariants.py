"""Random lives of a tenant, checked after every step against a simple model of what the weights hold."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from memory import AdapterStatus, BatchStatus, Cardinality, Fact, FactStatus, Verdict

GOOD = Verdict(promote=True)
BAD = Verdict(promote=False, reasons=("a guard broke",))
CARDINALITIES = {"lives_in": Cardinality.ONE, "likes": Cardinality.MANY}
RELATIONS = st.sampled_from(sorted(CARDINALITIES, reverse=True))
VALUES = st.sampled_from(["Lyon", "Nice"])


class Life(RuleBasedStateMachine):
    """An adapter is modelled as the set of fact ids that a perfect edit would leave in the weights."""

    def __init__(self, tenant) -> None:
        super().__init__()
        self.tenant = tenant
        self.store = tenant.store
        root = tenant.root()
        self.weights: dict[str, frozenset[str]] = {root.id: frozenset()}
        self.lease = tenant.lease()

    @rule(value=VALUES, relation=RELATIONS)
    def tell(self, value, relation):
        self.tenant.tell(value, relation, cardinality=CARDINALITIES[relation])

    @rule(value=VALUES, relation=RELATIONS)
    def take_back(self, value, relation):
        self.tenant.take_back(value, relation)

    @rule(told=st.lists(VALUES, max_size=2), limit=st.integers(1, 4))
    def learn(self, told, limit):
        """A whole cycle, during which people go on talking."""
        self.start_a_cycle(limit)
        for value in told:
            self.tenant.tell(value)
        self.finish_the_cycle(is_good=True)

    @rule(value=VALUES)
    def learn_what_is_taken_back_meanwhile(self, value):
        self.tenant.tell(value)
        self.start_a_cycle(4)
        self.tenant.take_back(value)
        self.finish_the_cycle(is_good=True)

    @rule(limit=st.integers(1, 4))
    def start_a_cycle(self, limit):
        if self._running() is None and self._claimable():
            self.tenant.candidate(self.lease, limit)

    @rule(is_good=st.booleans())
    def finish_the_cycle(self, is_good):
        batch = self._running()
        if batch is None:
            return
        candidate = self.store.adapter(batch.adapter_id)
        if is_good and candidate.parent_id == self._serving():
            self.weights[candidate.id] = self._edited(candidate)
            self.store.promote(candidate.id, GOOD, self.lease)
        else:
            self.store.reject(candidate.id, BAD, self.lease, quarantine_after=2)

    @rule()
    def crash_and_begin_again(self):
        self.store.drop_lease(self.lease)
        self.lease = self.tenant.lease()
        batch = self.store.claim_batch(1, self.lease)
        if batch is not None:
            self.store.fail_batch(batch.id, self.lease, count_attempt=False, quarantine_after=9)

    @rule(steps=st.integers(1, 3), retract=st.booleans())
    def revert(self, steps, retract):
        way = self._way_back()
        if len(way) > 1:
            self.store.revert(to=way[min(steps, len(way) - 1)], retract=retract)

    @rule(relation=RELATIONS, retract=st.booleans())
    def learn_contradict_learn_and_revert(self, relation, retract):
        for value in ("Lyon", "Nice"):
            self.tell(value, relation)
            self.learn([], 4)
        self.take_back("Lyon", relation)
        self.learn([], 4)
        self.revert(2, retract)

    @rule()
    def promote_a_reverted_adapter_again(self):
        for adapter in self.store.adapters():
            if adapter.status is AdapterStatus.REVERTED and adapter.parent_id == self._serving():
                self.store.promote(adapter.id, GOOD)
                return

    @rule()
    def quarantine_one_and_go_on(self):
        for fact in self._facts(FactStatus.CLAIMED, FactStatus.PENDING)[:1]:
            self.store.quarantine(fact.id, "on a whim")
        self.finish_the_cycle(is_good=True)

    @rule()
    def release_everything(self):
        for fact in self._facts(FactStatus.HELD, FactStatus.QUARANTINED):
            self.store.release(fact.id)

    @invariant()
    def the_store_knows_what_the_weights_hold(self):
        taught = {fact.id for fact in self.store.taught()}
        assert taught == self.weights[self._serving()]

    @invariant()
    def what_stands_is_in_the_prompt_unless_it_is_learned(self):
        standing = {fact.id: fact for fact in self.store.facts()}
        prompt = self.store.recall()
        learned = standing.keys() - {fact.id for fact in prompt}
        assert all(standing[id].status is FactStatus.LEARNED for id in learned)
        assert learned <= self.weights[self._serving()]
        assert not any(fact.status is FactStatus.LEARNED for fact in prompt)
        assert not any(fact.adapter_id for fact in prompt if fact.status is FactStatus.PENDING)

    @invariant()
    def the_prompt_contradicts_what_the_weights_wrongly_say_and_itself_never(self):
        prompt = self.store.recall()
        for fact in self.store.taught():
            if not fact.is_current:
                assert any(fact.id == other.id or _displaces(other, fact) for other in prompt)
        negations = [fact for fact in prompt if not fact.is_current]
        assert not any(_displaces(other, fact) for fact in negations for other in prompt if other.is_current)

    @invariant()
    def a_functional_slot_has_one_current_value_and_no_value_stands_twice(self):
        standing = self.store.facts()
        assert sum(fact.cardinality is Cardinality.ONE for fact in standing) <= 1
        assert len({(fact.relation, fact.object) for fact in standing}) == len(standing)

    @invariant()
    def one_adapter_serves(self):
        adapters = self.store.adapters()
        assert sum(adapter.status is AdapterStatus.PROMOTED for adapter in adapters) == 1

    def teardown(self):
        assert self.store.verify().problems == ()

    def _edited(self, candidate):
        batch = self.store.batch(candidate.batch_id)
        held = {fact.id: fact for fact in map(self.store.fact, self.weights[candidate.parent_id])}
        kept = {id for id, old in held.items() if not any(_displaces(new, old) for new in batch.facts)}
        return frozenset(kept - {fact.id for fact in batch.removals} | {fact.id for fact in batch.facts})

    def _serving(self):
        return self.store.serving().id

    def _running(self):
        claimed = (b for b in self.store.batches() if b.status is BatchStatus.CLAIMED)
        return next(claimed, None)

    def _claimable(self):
        recalled = self.store.recall()
        waiting = (FactStatus.PENDING, FactStatus.RETRACTED)
        return any(fact.status in waiting and fact.quarantine_reason is None for fact in recalled)

    def _facts(self, *statuses):
        return self.store.facts(statuses=statuses)

    def _way_back(self):
        way = [self._serving()]
        while parent := self.store.adapter(way[-1]).parent_id:
            way.append(parent)
        return way


def _displaces(new: Fact, old: Fact) -> bool:
    same_slot = new.slot == old.slot and new.id != old.id
    return same_slot and (new.cardinality is Cardinality.ONE or new.object == old.object)


def test_whatever_happens_the_store_knows_what_the_weights_hold(tenant_named, request):
    numbers = itertools.count(1)

    class NewLife(Life):
        def __init__(self) -> None:
            super().__init__(tenant_named(f"life {next(numbers)}"))

    on_sqlite = "sqlite" in request.node.name
    lives = settings(
        max_examples=16 if on_sqlite else 4,
        stateful_step_count=12,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(NewLife, settings=lives)
