"""When a fact holds: what is said of that later counts too, and its first words are never rewritten."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from memory import FactStatus, audit, now, records
from memory.audit import Export
from tests.memory.conftest import _candidate, behind_its_back, values

FAR = datetime(2999, 1, 1, tzinfo=UTC)


def at(year, month=1):
    return datetime(year, month, 1, tzinfo=UTC)


def objects(tom, **clocks):
    return [fact.object for fact in tom.store.facts(**clocks)]


def test_an_end_that_is_said_later_is_the_end_of_the_fact(tom):
    first = tom.tell("Lyon").fact
    again = tom.tell("Lyon", valid_until=date(2999, 1, 1))
    assert (again.is_new, again.fact.id, again.fact.valid_until) == (False, first.id, FAR)
    assert len(tom.store.mentions(first.id)) == 2
    assert objects(tom, as_of=at(2998)) == ["Lyon"]
    assert objects(tom, as_of=at(3000)) == []
    assert tom.store.verify().problems == ()


def test_the_last_end_that_was_said_counts(tom):
    for year in (2999, 2950, 2970):
        fact = tom.tell("Lyon", valid_until=date(year, 1, 1)).fact
    assert (fact.valid_until, tom.tell("Lyon").fact.valid_until) == (at(2970), at(2970))


def test_what_will_be_over_on_a_day_to_come_stands_until_then(tom):
    tom.tell("Lyon")
    done = tom.take_back("Lyon", valid_until=date(2999, 1, 1))
    assert (done.retracted, done.fact.valid_until) == ((), FAR)
    assert (tom.standing, tom.prompt) == (["Lyon"], ["Lyon"])
    assert tom.store.verify().problems == ()


def test_a_beginning_that_is_said_later_is_the_beginning_of_the_fact(tom):
    tom.tell("Lyon")
    assert tom.tell("Lyon", valid_from=date(2015, 1, 1)).fact.valid_from == at(2015)
    assert tom.tell("Lyon", valid_from=date(2015, 3, 1)).fact.valid_from == at(2015, 3)
    assert objects(tom, as_of=at(2016)) == ["Lyon"]
    assert objects(tom, as_of=at(2015, 2)) == []
    assert tom.store.verify().problems == ()


def test_what_it_had_superseded_ended_where_it_began(tom):
    rome = tom.tell("Rome", valid_from=date(2001, 1, 1)).fact
    tom.tell("Lyon")
    before = now()
    tom.tell("Lyon", valid_from=date(2015, 1, 1))
    assert tom.store.fact(rome.id).valid_until == at(2015)
    assert objects(tom, as_of=at(2014)) == ["Rome"]
    assert objects(tom, as_of=at(2016)) == ["Lyon"]
    # Before it was said we held that it began today.
    assert objects(tom, as_of=at(2016), recorded_as_of=before) == ["Rome"]
    assert objects(tom, recorded_as_of=before) == ["Lyon"]
    assert tom.store.verify().problems == ()


def test_the_second_clock_knows_which_end_had_been_said_then(tom):
    tom.tell("Lyon", valid_until=date(2900, 1, 1))
    first = now()
    tom.tell("Lyon", valid_until=date(2950, 1, 1))
    second = now()
    tom.tell("Lyon", valid_until=date(2999, 1, 1))
    then = [objects(tom, as_of=at(2920), recorded_as_of=moment) for moment in (first, second, now())]
    assert then == [[], ["Lyon"], ["Lyon"]]
    assert objects(tom, as_of=at(2960), recorded_as_of=second) == []


def test_a_fact_that_stands_again_ends_when_it_was_last_said_to(tom):
    lyon = tom.tell("Lyon").fact
    tom.tell("Lyon", valid_until=date(2999, 1, 1))
    tom.tell("Nice")
    tom.take_back("Nice")
    assert (tom.standing, tom.store.fact(lyon.id).valid_until) == (["Lyon"], FAR)
    assert tom.store.verify().problems == ()


def test_a_stay_that_ended_before_this_one_began_is_one_of_its_own(tom):
    """Letters are read in any order."""
    lyon = tom.tell("Lyon").fact
    (earlier,) = tom.store.tell(
        "I live in Lyon until 2016.",
        [_candidate("Lyon", "lives_in", valid_until=date(2016, 1, 1))],
        said_at=at(2012),
    ).recorded
    assert (earlier.is_new, earlier.fact.status) == (True, FactStatus.SUPERSEDED)
    assert (tom.standing, tom.store.fact(lyon.id).valid_until) == (["Lyon"], None)
    assert [objects(tom, as_of=at(year)) for year in (2013, 2018)] == [["Lyon"], []]


def test_dates_that_cannot_be_the_facts_are_left_in_the_words_alone(tom):
    lyon = tom.tell("Lyon", valid_until=date(2900, 1, 1)).fact
    tom.tell("Lyon", valid_from=date(2950, 1, 1))
    assert tom.store.fact(lyon.id).valid_from == lyon.valid_from
    assert len(tom.store.mentions(lyon.id)) == 2


def test_the_words_of_a_date_can_be_forgotten_and_the_date_stays_verified(tom):
    lyon = tom.tell("Lyon").fact
    both = (_candidate("Lyon", "lives_in", valid_until=date(2999, 1, 1)), _candidate("tea", "likes"))
    tea = tom.store.tell("I live in Lyon until 2999 and like tea.", both).recorded[1].fact
    tom.store.forget([tea.id])
    assert (tom.store.fact(lyon.id).valid_until, tom.store.verify().problems) == (FAR, ())
    assert _problems(tom) == []


# When a day comes


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock that all of the memory reads."""

    class Clock(datetime):
        moment = datetime(2026, 1, 1, tzinfo=UTC)

        @classmethod
        def now(cls, tz=None):
            return cls.moment

    def set_to(year, month=1):
        Clock.moment = at(year, month)

    monkeypatch.setattr(records, "datetime", Clock)
    return set_to


def test_a_learned_fact_whose_end_has_come_is_denied_until_the_next_batch_takes_it_out(tom, clock):
    tom.tell("Nice", valid_until=date(2030, 1, 1))
    tom.learn()
    assert (tom.prompt, tom.learned) == ([], ["Nice"])
    clock(2031)
    assert tom.prompt == values(tom.store.recall("Where do I live?")) == ["not Nice"]
    assert (tom.standing, tom.learned, tom.weights) == ([], [], ["Nice"])
    tom.learn()
    assert (tom.prompt, tom.weights) == ([], [])
    assert tom.store.verify().problems == ()


def test_a_cycle_takes_out_what_ended_though_nobody_asked_meanwhile(tom, clock):
    nice = tom.tell("Nice", valid_until=date(2030, 1, 1)).fact
    tom.learn()
    clock(2031)
    promoted = tom.learn()
    assert [fact.id for fact in tom.store.batch(promoted.batch_id).removals] == [nice.id]
    assert tom.store.verify().problems == ()


def test_what_it_had_superseded_is_valid_again_as_if_it_had_been_taken_back(tom, clock):
    lyon = tom.tell("Lyon").fact
    tom.learn()
    tom.tell("Nice", valid_until=date(2030, 1, 1))
    tom.learn()
    clock(2031)
    assert (tom.prompt, tom.standing) == (["Lyon"], ["Lyon"])
    assert tom.store.contradicting([lyon]) == {lyon.id}
    tom.learn()
    assert (tom.prompt, tom.weights) == ([], ["Lyon"])
    assert tom.store.verify().problems == ()


def test_an_end_that_was_said_of_a_learned_fact_comes_too(tom, clock):
    tom.tell("Nice")
    tom.learn()
    tom.tell("Nice", valid_until=date(2030, 1, 1))
    assert (tom.prompt, tom.learned) == ([], ["Nice"])
    clock(2031)
    assert tom.prompt == ["not Nice"]


def test_what_is_told_again_after_its_end_is_true_again(tom, clock):
    before = tom.tell("Nice", valid_until=date(2030, 1, 1)).fact
    clock(2031)
    again = tom.tell("Nice")
    assert (again.is_new, again.fact.id != before.id, tom.prompt) == (True, True, ["Nice"])


def test_search_finds_what_holds_now(tom, clock):
    tom.tell("Nice", valid_from=date(2028, 1, 1), valid_until=date(2030, 1, 1))
    found = []
    for year in (2027, 2029, 2031):
        clock(year)
        found.append([fact.object for fact in tom.store.search("Nice")])
    assert found == [[], ["Nice"], []]


def test_a_fact_to_come_is_served_and_claimed_when_it_begins(tom, clock):
    tom.root()
    tom.tell("Nice", valid_from=date(2030, 1, 1))
    lease = tom.lease()
    assert (tom.prompt, tom.store.claim_batch(9, lease)) == ([], None)
    assert tom.store.recall("Do I live in Nice?") == ()
    clock(2030, 2)
    assert (tom.prompt, tom.store.claim_batch(9, lease).facts[0].object) == (["Nice"], "Nice")


@pytest.mark.parametrize("is_learned", [False, True])
def test_until_then_the_older_value_holds(tom, clock, is_learned):
    tom.tell("Lyon")
    if is_learned:
        tom.learn()
    tom.tell("Nice", valid_from=date(2030, 1, 1))
    assert tom.prompt == ([] if is_learned else ["Lyon"])
    assert tom.weights == (["Lyon"] if is_learned else [])
    clock(2030, 2)
    assert tom.prompt == ["Nice"]
    assert tom.store.verify().problems == ()


def test_what_was_taken_back_is_denied_until_another_value_begins(tom, clock):
    tom.tell("Lyon")
    tom.learn()
    tom.take_back("Lyon")
    tom.tell("Nice", valid_from=date(2030, 1, 1))
    assert tom.prompt == ["not Lyon"]
    clock(2030, 2)
    assert tom.prompt == ["Nice"]


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE facts SET valid_until = NULL",
        "UPDATE facts SET valid_from = '2001-01-01 00:00:00+00:00'",
        "UPDATE facts SET stated_from = '2001-01-01 00:00:00+00:00'",
        "UPDATE mentions SET valid_until = '2001-01-01 00:00:00+00:00' WHERE valid_until IS NOT NULL",
        "UPDATE mentions SET valid_until = NULL, dated_at = NULL",
        "UPDATE mentions SET dated_at = '2001-01-01 00:00:00+00:00' WHERE valid_until IS NOT NULL",
        "UPDATE facts SET valid_until = NULL; UPDATE mentions SET valid_until = NULL, dated_at = NULL",
    ],
)
def test_a_period_that_was_edited_is_found_in_the_database_and_in_the_export(archive, tom, tampering):
    tom.tell("Lyon")
    tom.tell("Lyon", valid_until=date(2999, 1, 1))
    assert _problems(tom) == []
    with behind_its_back(archive) as connection:
        for statement in tampering.split("; "):
            connection.exec_driver_sql(statement)
    assert not tom.store.verify().ok
    assert _problems(tom)


def _problems(tom):
    lines = [json.dumps(line) for line in tom.store.export()]
    return list(audit.broken_export(Export.read(lines)))
