"""Which facts say something else than the weights that serve: a prompt has room for these first."""

from __future__ import annotations


def contradicting(tom):
    facts = tom.store.recall()
    wrong = tom.store.contradicting(facts)
    return [fact.object for fact in facts if fact.id in wrong]


def test_a_newer_value_of_what_the_weights_hold_contradicts_them_however_late(tom, tenant_named):
    tom.tell("Lyon")
    tom.likes("tea")
    tom.learn()
    tom.likes("rum")
    tom.tell("job", "works_as")
    assert contradicting(tom) == []
    tom.tell("Nice")
    tom.tell("Oslo")
    assert contradicting(tom) == ["Oslo"]
    eve = tenant_named("eve")
    eve.tell("Rome")
    assert contradicting(eve) == []


def test_what_was_taken_back_after_it_was_learned_contradicts_the_weights(tom):
    tom.likes("tea")
    tom.learn()
    tom.take_back("tea", "likes")
    assert contradicting(tom) == ["tea"]


def test_the_value_that_the_weights_hold_contradicts_nothing_when_it_is_told_again(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.tell("Nice")
    tom.tell("Lyon")
    assert contradicting(tom) == []
