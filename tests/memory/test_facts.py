"""The contract of slots, clocks and tenants: every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from memory import (
    STATEMENT,
    AmbiguousId,
    CandidateFact,
    Cardinality,
    FactStatus,
    SharedLineage,
    UnknownFact,
    UnstorableText,
    WrongState,
    now,
)

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def test_the_same_fact_twice_is_one_row(tom):
    first = tom.tell("Lyon")
    again = tom.tell("  LYON ")
    assert (first.is_new, again.is_new) == (True, False)
    assert again.fact == first.fact
    assert tom.standing == ["Lyon"]


@pytest.mark.parametrize("other", ["the Hague", "The  Hague.", '"THE HAGUE"', "Hague", "\uff34he Hague"])
def test_the_same_value_in_other_spellings_is_one_row_with_every_mention(tom, other):
    first = tom.tell("The Hague", confidence=0.6).fact
    again = tom.tell(other, confidence=0.9)
    assert (again.is_new, again.fact.id, again.fact.confidence) == (False, first.id, 0.9)
    mentions = tom.store.mentions(first.id)
    assert [mention.words for mention in mentions] == ["I told you so.", "I told you so."]
    assert len({mention.utterance.id for mention in mentions}) == 2
    assert tom.store.verify().ok


def test_values_that_only_look_alike_stay_two(tom):
    for value in ("C", "C++", "A", "a la carte", "?", "!", "Anna", "Hannah"):
        assert tom.likes(value).is_new, value


def test_a_newer_value_of_a_functional_slot_supersedes_the_older_one(tom):
    lyon = tom.tell("Lyon").fact
    nice = tom.tell("Nice")
    assert tom.standing == ["Nice"]
    assert nice.fact.supersedes_id == lyon.id
    (superseded,) = nice.superseded
    assert (superseded.status, superseded.valid_until) == (FactStatus.SUPERSEDED, nice.fact.valid_from)


def test_a_set_valued_slot_keeps_both_values(tom):
    tom.likes("tea")
    assert tom.likes("jazz").superseded == ()
    assert tom.standing == ["tea", "jazz"]


def test_other_subjects_and_relations_are_other_slots(tom):
    tom.tell("Lyon")
    tom.tell("Nice", subject="Anna")
    tom.tell("Rome", "born_in")
    assert tom.standing == ["Lyon", "Nice", "Rome"]


def test_statements_live_side_by_side(tom):
    tom.tell("", STATEMENT, statement="The bins go out on Monday.")
    tom.tell("", STATEMENT, statement="The cellar is damp.")
    tom.tell("", STATEMENT, statement="the cellar  is damp.")
    assert [fact.statement for fact in tom.store.facts()] == [
        "The bins go out on Monday.",
        "The cellar is damp.",
    ]


def test_taking_back_without_a_value_never_means_every_statement(tom):
    tom.tell("", STATEMENT, statement="The cellar is damp.")
    assert tom.take_back("", STATEMENT, statement="Something else.").retracted == ()
    assert len(tom.take_back("", STATEMENT, statement="The cellar is damp.").retracted) == 1


def test_a_retraction_reopens_what_the_value_had_superseded(tom):
    tom.tell("Lyon")
    tom.tell("Nice")
    done = tom.take_back("Nice")
    assert [fact.object for fact in done.reopened] == ["Lyon"]
    assert (done.fact, done.retracted[0].status) == (None, FactStatus.RETRACTED)
    (lyon,) = tom.store.facts()
    assert (lyon.object, lyon.status, lyon.valid_until) == ("Lyon", FactStatus.PENDING, None)


def test_what_is_over_was_true_and_nothing_before_it_is_true_again(tom):
    for value in ("Oslo", "Lyon"):
        tom.tell(value)
    tom.learn()
    tom.tell("Nice")
    done = tom.take_back("Nice", is_over=True)
    assert (done.reopened, tom.standing) == ((), [])
    # The weights still say where one lived before: the prompt denies it until they do not.
    assert (tom.prompt, tom.weights) == (["not Lyon"], ["Lyon"])
    tom.learn()
    assert (tom.prompt, tom.weights) == ([], [])
    assert _objects(tom, as_of=done.retracted[0].valid_from - timedelta(microseconds=1)) == ["Lyon"]


def test_what_had_not_begun_is_not_over(tom):
    tom.tell("Lyon")
    tom.tell("Nice", valid_from=date(2999, 1, 1))
    assert [fact.object for fact in tom.take_back("Nice", is_over=True).reopened] == ["Lyon"]


def test_a_retraction_without_a_value_means_whatever_the_slot_holds(tom):
    tom.likes("tea")
    tom.likes("jazz")
    assert len(tom.take_back(relation="likes").retracted) == 2
    assert tom.standing == []


def test_a_retraction_of_what_nobody_said_changes_nothing(tom):
    tom.tell("Lyon")
    tip = tom.store.tip()
    done = tom.store.tell("No, not Paris.", [_took_back("Paris")])
    assert done.recorded[0].retracted == ()
    assert (tom.standing, tom.store.tip().position) == (["Lyon"], tip.position + 1)


def test_a_value_that_came_back_is_a_new_row_with_its_own_time(tom):
    first = tom.tell("Lyon").fact
    tom.tell("Nice")
    back = tom.tell("Lyon").fact
    assert back.id != first.id
    assert [fact.object for fact in tom.store.history(first.id)] == ["Lyon", "Nice", "Lyon"]


def test_what_was_over_when_it_was_said_goes_straight_into_history(tom):
    tom.tell("Lyon")
    rome = tom.tell("Rome", valid_from=date(2001, 5, 1), valid_until=date(2010, 5, 1)).fact
    assert tom.standing == ["Lyon"]
    assert rome.status is FactStatus.SUPERSEDED
    assert _objects(tom, as_of=datetime(2005, 1, 1, tzinfo=UTC)) == ["Rome"]


def test_saying_until_when_ends_a_value_that_stood(tom):
    tom.tell("Rome", valid_from=date(2001, 5, 1))
    done = tom.tell("Rome", valid_until=date(2010, 5, 1))
    assert done.retracted[0].valid_until == datetime(2010, 5, 1, tzinfo=UTC)
    assert tom.standing == []


def test_a_value_whose_own_end_has_passed_is_not_reopened(tom):
    until = [_told("Rome", valid_until=date(2020, 5, 1))]
    tom.store.tell("I live in Rome until May.", until, said_at=datetime(2020, 1, 1, tzinfo=UTC))
    tom.tell("Nice")
    assert tom.take_back("Nice").reopened == ()


def test_the_first_clock_answers_what_was_true_then(tom):
    tom.tell("Rome", valid_from=date(2001, 1, 1))
    tom.tell("Nice", valid_from=date(2010, 1, 1))
    assert _objects(tom, as_of=datetime(2005, 1, 1, tzinfo=UTC)) == ["Rome"]
    assert _objects(tom, as_of=datetime(2015, 1, 1, tzinfo=UTC)) == ["Nice"]
    assert _objects(tom, as_of=datetime(1999, 1, 1, tzinfo=UTC)) == []


def test_the_second_clock_answers_what_we_held_true_then(tom):
    tom.tell("Rome", valid_from=date(2001, 1, 1))
    before = now()
    tom.tell("Nice", valid_from=date(2010, 1, 1))
    assert _objects(tom, recorded_as_of=before) == ["Rome"]
    assert _objects(tom, recorded_as_of=now()) == ["Nice"]
    assert _objects(tom, recorded_as_of=YESTERDAY) == []
    # We now know that it ended in 2010; then, we did not.
    assert _objects(tom, as_of=datetime(2015, 1, 1, tzinfo=UTC), recorded_as_of=before) == ["Rome"]


def test_the_second_clock_knows_what_had_ended_then_and_stands_again_since(tom):
    tom.tell("Rome", valid_from=date(2001, 1, 1))
    tom.tell("Nice", valid_from=date(2010, 1, 1))
    before = now()
    tom.take_back("Nice")
    assert tom.standing == ["Rome"]
    assert _objects(tom, recorded_as_of=before) == ["Nice"]
    assert _objects(tom, as_of=datetime(2015, 1, 1, tzinfo=UTC), recorded_as_of=before) == ["Nice"]
    assert _objects(tom, as_of=datetime(2005, 1, 1, tzinfo=UTC), recorded_as_of=before) == ["Rome"]


def test_what_was_said_to_end_was_known_to_end_before_anybody_said_otherwise(tom):
    tom.tell("Rome", valid_until=date(2999, 1, 1))
    before = now()
    tom.take_back("Rome")
    assert _objects(tom, as_of=datetime(2998, 1, 1, tzinfo=UTC), recorded_as_of=before) == ["Rome"]
    assert _objects(tom, as_of=datetime(3001, 1, 1, tzinfo=UTC), recorded_as_of=before) == []


def test_a_value_that_stands_again_is_still_kept_out_of_edits(tom):
    rome = tom.tell("Rome").fact
    tom.store.quarantine(rome.id, "on a whim")
    tom.tell("Nice")
    tom.take_back("Nice")
    assert tom.store.fact(rome.id).status is FactStatus.QUARANTINED
    tom.store.release(rome.id)
    assert tom.store.fact(rome.id).status is FactStatus.PENDING


def test_a_value_that_stands_again_is_still_held_after_a_revert(tom):
    rome = tom.tell("Rome").fact
    tom.learn()
    tom.store.revert()
    tom.tell("Nice")
    assert tom.store.verify().ok
    tom.take_back("Nice")
    assert (tom.store.fact(rome.id).status, tom.prompt) == (FactStatus.HELD, ["Rome"])
    assert tom.store.claim_batch(9, tom.lease()) is None
    assert tom.store.verify().problems == ()
    assert tom.store.release(rome.id).status is FactStatus.PENDING


def test_a_value_that_was_superseded_when_its_batch_was_reverted_is_held_when_it_stands_again(tom):
    rome = tom.tell("Rome").fact
    tom.learn()
    tom.tell("Nice")
    tom.store.revert()
    tom.take_back("Nice")
    assert tom.store.fact(rome.id).status is FactStatus.HELD
    assert tom.store.verify().problems == ()


def test_facts_are_found_by_state_subject_and_relation(tom):
    tom.tell("Lyon")
    tom.tell("Nice")
    tom.tell("nurse", "works_as", subject="Anna")
    ask = tom.store.facts
    assert [fact.object for fact in ask(statuses=[FactStatus.SUPERSEDED])] == ["Lyon"]
    assert [fact.object for fact in ask(subject=" ANNA")] == ["nurse"]
    assert [fact.object for fact in ask(relation="lives_in")] == ["Nice"]
    assert tom.store.counts()[FactStatus.PENDING] == 2


def test_search_puts_the_most_words_in_common_first(tom):
    tom.tell("Lyon", statement="Anna lives in Lyon.", subject="Anna")
    tom.tell("Lyon", "works_in", statement="Anna works in a Lyon bakery.", subject="Anna")
    tom.tell("Nice", statement="Bob lives in Nice.", subject="Bob")
    found = tom.store.search("which BAKERY in Lyon?")
    assert [fact.subject for fact in found] == ["Anna", "Anna", "Bob"]
    assert found[0].relation == "works_in"
    assert tom.store.search("zebra") == ()


def test_what_is_recalled_is_what_shares_words_in_any_form_and_then_the_newest(tom):
    tom.tell("Lyon", "dwelling", statement="The user lives in Lyon.")
    tom.tell("chess", "hobby", statement="The user plays chess.")
    for n in range(5):
        tom.likes(f"tea {n}")
    recalled = tom.store.recall("Where am I living?", limit=3)
    assert [fact.object for fact in recalled] == ["Lyon", "tea 3", "tea 4"]
    assert [fact.object for fact in tom.store.recall("?", limit=2)] == ["tea 3", "tea 4"]
    assert len(tom.store.recall()) == 7


def test_a_recall_never_looks_at_what_another_tenant_said(tom, tenant_named):
    eve = tenant_named("eve")
    for n in range(300):
        eve.tell("Lyon", f"town {n}")
    tom.tell("Lyon")
    assert [fact.object for fact in tom.store.recall("Lyon", limit=10)] == ["Lyon"]
    assert tom.store.search("Lyon") == tom.store.facts()


def test_what_the_weights_serve_is_not_recalled_until_it_is_reverted(tom):
    tom.tell("Lyon")
    tom.learn()
    tom.tell("tea", "likes")
    assert [fact.object for fact in tom.store.recall("lives in Lyon", limit=5)] == ["tea"]
    assert [fact.object for fact in tom.store.search("Lyon")] == ["Lyon"]
    tom.store.revert()
    assert [fact.object for fact in tom.store.recall("lives in Lyon", limit=5)] == ["Lyon", "tea"]
    tom.take_back("Lyon")
    assert [fact.object for fact in tom.store.recall("lives in Lyon", limit=5)] == ["tea"]


@pytest.mark.parametrize(
    "odd", ['"', "' OR 1", "a*", "NEAR(", "t:x & !y", "\N{CJK UNIFIED IDEOGRAPH-4E00}", "", "-"]
)
def test_any_text_can_be_searched_for(tom, odd):
    tom.tell("Lyon")
    assert tom.store.search(odd) == ()
    assert [fact.object for fact in tom.store.recall(odd)] == ["Lyon"]


def test_a_fact_knows_the_words_it_came_from(tom):
    told = tom.store.tell("Well, I live in Lyon now.", [_told("Lyon", start=6, end=20)], said_at=YESTERDAY)
    heard, (recorded,) = told.utterance, told.recorded
    (mention,) = tom.store.mentions(recorded.fact.id)
    assert (mention.utterance, mention.words) == (tom.store.utterance(heard.id), "I live in Lyon")
    assert heard.text[recorded.fact.start : recorded.fact.end] == "I live in Lyon"
    assert recorded.fact.valid_from == YESTERDAY


def test_ids_may_be_shortened_as_long_as_they_are_unique(tom):
    fact = tom.tell("Lyon").fact
    tom.tell("tea", "likes")
    assert tom.store.fact(fact.id[:12]) == fact
    with pytest.raises(AmbiguousId, match="give more of it"):
        tom.store.fact("f_")
    for unknown in ("f_nothing", "", "%", "f\0"):
        with pytest.raises(UnknownFact, match="ice-agent facts"):
            tom.store.fact(unknown)


def test_one_bad_candidate_and_nothing_is_recorded(tom):
    with pytest.raises(UnstorableText, match="the object holds a NUL"):
        tom.store.tell("I live in Lyon, or Nyon.", [_told("Lyon"), _told("Ny\0on")])
    assert (tom.standing, tom.store.utterances()) == ([], ())


def test_tenants_see_nothing_of_each_other(archive, tom, tenant_named):
    eve = tenant_named("eve")
    tom.tell("Lyon")
    eve.tell("Nice")
    assert (tom.standing, eve.standing) == (["Lyon"], ["Nice"])
    assert archive.tenants() == ("eve", "tom")
    assert eve.store.search("Lyon") == ()


def test_a_shared_lineage_has_no_user(tom, tenant_named):
    news = tenant_named("news")
    news.store.declare(shared=True)
    with pytest.raises(SharedLineage, match="name the person"):
        news.tell("Lyon", subject=" User")
    assert news.tell("Lyon", subject="Anna").is_new
    assert (news.store.is_shared(), tom.store.is_shared()) == (True, False)


def test_the_kind_of_a_lineage_never_changes(tom):
    tom.tell("Lyon")
    tom.store.declare(shared=False)
    with pytest.raises(WrongState, match="personal lineage already"):
        tom.store.declare(shared=True)


def test_the_database_itself_refuses_a_second_current_value(tom, execute):
    tom.tell("Lyon")
    tom.tell("Nice")
    with pytest.raises(sa.exc.IntegrityError):
        execute("UPDATE facts SET status = 'pending' WHERE object = 'Lyon'")


def test_writers_at_the_same_time_leave_one_current_value_and_one_chain(tom):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: tom.tell(f"town {n % 5}"), range(16)))
    assert len(tom.standing) == 1
    assert tom.store.verify().ok


def test_a_naive_time_is_refused(tom):
    tom.tell("Lyon")
    with pytest.raises(ValueError, match="as_of needs a time zone"):
        tom.store.facts(as_of=datetime(2020, 1, 1))
    with pytest.raises(ValueError, match="said_at needs a time zone"):
        tom.store.tell("I live in Lyon.", said_at=datetime(2020, 1, 1))


def _objects(tenant, **clocks):
    return [fact.object for fact in tenant.store.facts(**clocks)]


def _told(value, **candidate):
    said: dict[str, Any] = {"start": 0, "end": 6, "cardinality": Cardinality.ONE} | candidate
    return CandidateFact(
        subject="user", relation="lives_in", object=value, statement=f"The user lives in {value}.", **said
    )


def _took_back(value):
    return _told(value, retracts=True)


# -- a subject that goes by two names ------------------------------------------------------------------------

SISTER = {"subject": "the user's sister"}
ANNA = {"subject": "Anna", "aliases": ("the user's sister",)}


def test_the_same_value_under_another_name_of_the_subject_is_one_row(tom):
    first = tom.tell("Rome", **SISTER).fact
    again = tom.tell("Rome", **ANNA)
    assert (again.is_new, again.fact.id) == (False, first.id)
    assert len(tom.store.mentions(first.id)) == 2


def test_a_newer_value_under_another_name_takes_the_place_of_the_older_one(tom):
    rome = tom.tell("Rome", **SISTER).fact
    oslo = tom.tell("Oslo", **ANNA)
    assert [fact.id for fact in oslo.superseded] == [rome.id]
    assert [(fact.subject, fact.object) for fact in tom.store.facts()] == [("Anna", "Oslo")]
    tom.take_back("Oslo", **ANNA)
    assert tom.standing == ["Rome"]
    assert tom.store.verify().ok


def test_what_weights_were_taught_under_another_name_is_denied_until_it_is_unlearned(tom):
    tom.tell("Rome", **SISTER)
    tom.learn()
    oslo = tom.tell("Oslo", **ANNA)
    assert [fact.object for fact in oslo.retracted] == ["Rome"]
    assert tom.prompt == ["not Rome", "Oslo"]
    assert tom.store.verify().ok


def test_a_retraction_means_the_value_under_every_name(tom):
    tom.tell("Rome", **SISTER)
    tom.tell("Rome", subject="Anna")
    assert len(tom.take_back("Rome", **ANNA).retracted) == 2
    assert tom.standing == []


def test_all_that_was_told_of_a_slot_is_found_whatever_became_of_it(tom):
    for home in ("Rome", "Oslo"):
        tom.tell(home, **SISTER)
    wanted = CandidateFact(
        subject="Anna", aliases=("the user's sister",), relation="lives_in", object="", statement="",
        start=0, end=0,
    )  # fmt: skip
    assert [fact.object for fact in tom.store.told_of(wanted)] == ["Rome", "Oslo"]
