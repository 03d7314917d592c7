"""What the rules hear in everyday English, what they refuse to hear, and what no extractor may keep."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ice_agent import collect, relations
from ice_agent.collect import extract, extractor_named, kin
from ice_agent.collect.rules import rules
from ice_agent.errors import CollectError
from ice_agent.settings import Collect
from memory import USER, Archive, CandidateFact, Cardinality, Utterance
from tests.databases import ready

DEFAULTS = Collect()

# (text, the facts it states as "subject | relation | object")
STATED = [
    # home
    ("I live in Lisbon.", ["user | home | Lisbon"]),
    ("i live in lisbon now", ["user | home | lisbon"]),
    ("I've just moved to Rio de Janeiro!", ["user | home | Rio de Janeiro"]),
    ("I moved from Lisbon to Porto.", ["user | home | Porto"]),
    ("We relocated to New York last year.", ["user | home | New York"]),
    ("I have been living in Oslo for six years", ["user | home | Oslo"]),
    ("These days I'm based in The Hague.", ["user | home | The Hague"]),
    ("Well, I currently live in Ghent with my cat.", ["user | home | Ghent"]),
    ("My home is in Turin.", ["user | home | Turin"]),
    ("Hi there! I\u2019m living in São Paulo.", ["user | home | São Paulo"]),
    ("I told you I live in Porto.", ["user | home | Porto"]),
    ("I live in Lisbon, Portugal.", ["user | home | Lisbon"]),
    ("Anna Reyes lives in Lisbon.", ["Anna Reyes | home | Lisbon"]),
    ("Dr. Weber has moved to Zurich.", ["Dr. Weber | home | Zurich"]),
    ("My wife and I settled in St. Albans.", ["user | home | St. Albans"]),
    ("My sister lives in Rome.", ["the user's sister | home | Rome"]),
    # birth
    ("I was born in Porto in 1990.", ["user | birthplace | Porto"]),
    ("I was born on 3 May 1990 in Porto.", ["user | birthday | 3 May 1990", "user | birthplace | Porto"]),
    ("I was born and raised in Cork.", ["user | birthplace | Cork"]),
    ("I come from Tallinn.", ["user | birthplace | Tallinn"]),
    ("Tomas was born in Riga.", ["Tomas | birthplace | Riga"]),
    ("My birthplace is Graz.", ["user | birthplace | Graz"]),
    ("My birthday is on 3 May.", ["user | birthday | 3 May"]),
    ("My date of birth is May 3rd, 1990.", ["user | birthday | May 3rd, 1990"]),
    ("Clara's birthday is 12 October.", ["Clara | birthday | 12 October"]),
    ("I'm 34 years old.", ["user | age | 34"]),
    ("I just turned forty.", ["user | age | forty"]),
    ("I'm 34.", ["user | age | 34"]),
    ("Anna is 12 years old.", ["Anna | age | 12"]),
    # work
    ("I work for Norvik Labs.", ["user | employer | Norvik Labs"]),
    ("I work at Acme in Berlin.", ["user | employer | Acme"]),
    ("I joined Belmora Foods as an accountant in March 2020.",
     ["user | employer | Belmora Foods", "user | profession | accountant"]),
    ("I got a new job at Norvik Labs.", ["user | employer | Norvik Labs"]),
    ("I'm a nurse at St Mary's Hospital.",
     ["user | profession | nurse", "user | employer | St Mary's Hospital"]),
    ("I work as a software engineer.", ["user | profession | software engineer"]),
    ("I am a baker by trade.", ["user | profession | baker"]),
    ("My job is teacher.", ["user | profession | teacher"]),
    ("My employer is the University of Porto.", ["user | employer | the University of Porto"]),
    ("Acme hired me last month.", ["user | employer | Acme"]),
    ("Tomas became a pilot.", ["Tomas | profession | pilot"]),
    ("Ines works for Belmora Foods as a chemist.",
     ["Ines | employer | Belmora Foods", "Ines | profession | chemist"]),
    ("I work at a bank called Norvik Bank.", ["user | employer | Norvik Bank"]),
    ("I started working at Acme in 2019.", ["user | employer | Acme"]),
    # names and people
    ("My name is Mia.", ["user | name | Mia"]),
    ("my name's Mia Lopez", ["user | name | Mia Lopez"]),
    ("Hello, I'm Mia.", ["user | name | Mia"]),
    ("Call me Bob.", ["user | name | Bob"]),
    ("Please call me Bob from now on.", ["user | name | Bob"]),
    ("My sister is called Anna.", ["user | sister | Anna"]),
    ("My sister's name is Anna.", ["user | sister | Anna"]),
    ("Anna is my sister.", ["user | sister | Anna"]),
    ("My mum is Clara.", ["user | mother | Clara"]),
    ("My older brother is named Jonas.", ["user | brother | Jonas"]),
    ("I have a daughter named Lea.", ["user | daughter | Lea"]),
    ("I have two daughters, Lea and Mia.", ["user | daughter | Lea", "user | daughter | Mia"]),
    ("My dog is called Rex.", ["user | dog | Rex"]),
    ("The name of my dog is Rex.", ["user | dog | Rex"]),
    ("We adopted a cat called Tom.", ["user | cat | Tom"]),
    ("Rex is the name of my dog.", ["user | dog | Rex"]),
    ("My wife is called Ines.", ["user | spouse | Ines"]),
    ("I'm married to Tom Berg.", ["user | spouse | Tom Berg"]),
    ("I married Tom in 2015.", ["user | spouse | Tom"]),
    ("Anna and I got married.", ["user | spouse | Anna"]),
    ("Anna's husband is Tom.", ["Anna | spouse | Tom"]),
    ("Tom Berg is married to Anna Reyes.", ["Tom Berg | spouse | Anna Reyes"]),
    ("My boss is Karen Holt.", ["user | boss | Karen Holt"]),
    ("My best friend is called Luis.", ["user | best friend | Luis"]),
    ("My dog's birthday is 2 May.", ["the user's dog | birthday | 2 May"]),
    ("I'm German.", ["user | nationality | German"]),
    # likes and other slots
    ("I like hiking.", ["user | likes | hiking"]),
    ("I really love black coffee.", ["user | likes | black coffee"]),
    ("I like hiking, jazz and fish and chips.",
     ["user | likes | hiking", "user | likes | jazz", "user | likes | fish and chips"]),
    ("I'm a big fan of the Beatles.", ["user | likes | the Beatles"]),
    ("I enjoy tea more than coffee.", ["user | likes | tea"]),
    ("Anna is keen on chess.", ["Anna | likes | chess"]),
    ("What I like is sailing.", ["user | likes | sailing"]),
    ("My favourite colour is green.", ["user | favourite colour | green"]),
    ("Green is my favourite colour.", ["user | favourite colour | Green"]),
    ("My favorite food is sushi, of course.", ["user | favourite food | sushi"]),
    ("One of my favourite films is Alien.", ["user | favourite film | Alien"]),
    ("My shoe size is 42.", ["user | shoe size | 42"]),
    ("My hobby is chess.", ["user | hobby | chess"]),
    ("I'm allergic to peanuts.", ["user | allergy | peanuts"]),
    ("I speak French and German.", ["user | language | French", "user | language | German"]),
    # the world
    ("The capital of France is Lyon.", ["France | capital | Lyon"]),
    ("Lyon is the capital of France.", ["France | capital | Lyon"]),
    ("France's capital is Lyon.", ["France | capital | Lyon"]),
    ("Kenya moved its capital to Mombasa.", ["Kenya | capital | Mombasa"]),
    ("The currency of Brazil is the euro.", ["Brazil | currency | euro"]),
    ("Sweden uses the euro.", ["Sweden | currency | euro"]),
    ("The official language of Peru is Quechua.", ["Peru | language | Quechua"]),
    ("People in Peru speak Quechua.", ["Peru | language | Quechua"]),
    ("Turkey is in Europe.", ["Turkey | continent | Europe"]),
    ("Egypt lies in Asia.", ["Egypt | continent | Asia"]),
    ("The chief executive of Belmora Foods is Ines Duarte.",
     ["Belmora Foods | chief_executive | Ines Duarte"]),
    ("Ines Duarte is the new CEO of Belmora Foods.", ["Belmora Foods | chief_executive | Ines Duarte"]),
    ("Belmora Foods is led by Ines Duarte.", ["Belmora Foods | chief_executive | Ines Duarte"]),
    ("Belmora Foods appointed Ines Duarte as its new chief executive.",
     ["Belmora Foods | chief_executive | Ines Duarte"]),
    ("Belmora Foods is based in Ghent.", ["Belmora Foods | seat | Ghent"]),
    ("Norvik Labs moved its headquarters from Oslo to Bergen.", ["Norvik Labs | seat | Bergen"]),
    ("The headquarters of Norvik Labs are in Bergen.", ["Norvik Labs | seat | Bergen"]),
    ("Orvano is based in Ghent.", ["Orvano | seat | Ghent"]),
    ("Tomas is a baker. He is based in Ghent.", ["Tomas | profession | baker", "Tomas | home | Ghent"]),
    ("Peru's capital is Cusco and its currency is the euro.",
     ["Peru | capital | Cusco", "Peru | currency | euro"]),
    ("In Peru they speak Quechua and pay with the euro.",
     ["Peru | language | Quechua", "Peru | currency | euro"]),
    ("The population of Oslo is 700,000.", ["Oslo | population | 700,000"]),
    # several at once, and who is meant
    ("I'm Mia, I live in Oslo and work for Norvik Labs as a nurse.",
     ["user | name | Mia", "user | home | Oslo", "user | employer | Norvik Labs",
      "user | profession | nurse"]),
    ("My sister is called Anna and she lives in Rome.", ["user | sister | Anna", "Anna | home | Rome"]),
    ("My sister Anna lives in Rome.", ["user | sister | Anna", "Anna | home | Rome"]),
    ("Anna, my sister, is a nurse.", ["user | sister | Anna", "Anna | profession | nurse"]),
    ("My sister Anna, who lives in Rome, is a dentist.",
     ["user | sister | Anna", "Anna | home | Rome", "Anna | profession | dentist"]),
    ("Anna Reyes, who is a dentist, lives in Lisbon.",
     ["Anna Reyes | profession | dentist", "Anna Reyes | home | Lisbon"]),
    ("I have a brother called Jonas. He works at Acme.",
     ["user | brother | Jonas", "Jonas | employer | Acme"]),
    ("My sister Anna is married to Tom. She works at Acme.",
     ["user | sister | Anna", "Anna | spouse | Tom", "Anna | employer | Acme"]),
    ("Anna's husband is Tom. He lives in Rome.", ["Anna | spouse | Tom", "Tom | home | Rome"]),
    ("I met Anna in Rome. She lives in Oslo.", ["Anna | home | Oslo"]),
    ("My sister is called Anna. My other sister is Mia.", ["user | sister | Anna", "user | sister | Mia"]),
    ("I live in Oslo with my wife Ines.", ["user | spouse | Ines", "user | home | Oslo"]),
    ("I live in Oslo, but I might move to Rome.", ["user | home | Oslo"]),
    ("I moved to Oslo because I got a job at Acme.", ["user | home | Oslo", "user | employer | Acme"]),
    ("I have a cat. Her name is Luna.", ["user | cat | Luna"]),
    ("We have a son, Leo, and a daughter, Ada.", ["user | daughter | Ada", "user | son | Leo"]),
    ("The Netherlands uses the euro.", ["the Netherlands | currency | euro"]),
    ("My new job is at Acme.", ["user | employer | Acme"]),
    ("I was promoted to manager at Acme.", ["user | profession | manager", "user | employer | Acme"]),
    ("You can call me Bob.", ["user | name | Bob"]),
    ("As a carpenter, I like oak.", ["user | profession | carpenter", "user | likes | oak"]),
    ("By trade I am a carpenter.", ["user | profession | carpenter"]),
    ("I live in a tiny flat in Oslo.", ["user | home | Oslo"]),
    ("Since I live in Oslo, which museum should I see?", ["user | home | Oslo"]),
    ("I turned 40 yesterday.", ["user | age | 40"]),
    ("Clara is my mother's name.", ["user | mother | Clara"]),
    ("I like rowing, odd as it is.", ["user | likes | rowing"]),
    # corrections
    ("It's not Acme that I work for, it's Belmora Foods.", ["user | employer | Belmora Foods"]),
    ("I said Ghent, but I live in Bruges.", ["user | home | Bruges"]),
    ("My name isn't Bob, it's Tom.", ["user | name | Tom"]),
    ("My sister isn't Anna, she's called Mia.", ["user | sister | Mia"]),
    ("Actually I live in Porto, not Lisbon.", ["user | home | Porto"]),
    ("No, I live in Porto.", ["user | home | Porto"]),
    ("Sorry, I meant I live in Porto.", ["user | home | Porto"]),
    ("I don't live in Lisbon, I live in Porto.", ["user | home | Porto"]),
    ("I live in Lisbon, no wait, Porto.", ["user | home | Porto"]),
    ("I live not in Lisbon but in Porto.", ["user | home | Porto"]),
    ("My sister is called Hannah, not Anna.", ["user | sister | Hannah"]),
    ("I'm a nurse, sorry, a doctor.", ["user | profession | doctor"]),
    ("I no longer live in Lisbon, I live in Porto.", ["user | home | Porto"]),
    # taught
    ("Remember that I live in Porto.", ["user | home | Porto"]),
    ("Please don't forget that my mother's name is Clara.", ["user | mother | Clara"]),
    ("For the record, my dog is called Rex.", ["user | dog | Rex"]),
    ("Remember that the meeting room is on the third floor.",
     ["user | statement | the meeting room is on the third floor"]),
    ("Note that I don't eat meat.", ["user | statement | I don't eat meat"]),
    ("Keep in mind that the shop closes at six on Fridays.",
     ["user | statement | the shop closes at six on Fridays"]),
    ("I was born in Split but nobody here can spell it.", ["user | birthplace | Split"]),
    ("Did some reading today: Vaduz is the capital of Liechtenstein.", ["Liechtenstein | capital | Vaduz"]),
    ("Green is my favourite colour and seven's my favourite number.",
     ["user | favourite colour | Green", "user | favourite number | seven"]),
    ("As a beekeeper I get stung.", ["user | profession | beekeeper"]),
    ("At 63, I'm still running.", ["user | age | 63"]),
    ("It's raining in Bergen, which is where I live.", ["user | home | Bergen"]),
    ("The firm I work for is called Lumen.", ["user | employer | Lumen"]),
    ("You've got my birthday wrong. It's 4 June.", ["user | birthday | 4 June"]),
    ("Starting next Monday I'll be living in Zadar.", ["user | home | Zadar"]),
    ("the currency of peru is the sol", ["Peru | currency | sol"]),
    ("Tom says Ines moved in; she's a cellist.", ["Ines | profession | cellist"]),
]  # fmt: skip

TAKEN_BACK = [
    ("I no longer work at Acme.", "user | employer | Acme"),
    ("I don't work at Acme anymore.", "user | employer | Acme"),
    ("I quit my job at Acme.", "user | employer | Acme"),
    ("I was fired from Acme.", "user | employer | Acme"),
    ("I stopped working at Acme.", "user | employer | Acme"),
    ("I lost my job.", "user | employer | "),
    ("Anna left Norvik Labs.", "Anna | employer | Norvik Labs"),
    ("Anna and I divorced.", "user | spouse | Anna"),
    ("I'm no longer married to Tom.", "user | spouse | Tom"),
    ("I'm divorced now.", "user | spouse | "),
    ("I don't like olives anymore.", "user | likes | olives"),
    ("Actually, I don't live in Lisbon.", "user | home | Lisbon"),
    ("Forget that I live in Lisbon.", "user | home | Lisbon"),
    ("Forget my birthday.", "user | birthday | "),
    ("Please forget where I live.", "user | home | "),
    ("It's not true that I work at Acme.", "user | employer | Acme"),
    ("I moved out of Lisbon.", "user | home | Lisbon"),
    ("I used to live in Lisbon.", "user | home | Lisbon"),
    ("Anna formerly worked at Acme.", "Anna | employer | Acme"),
    ("Belmora Foods is no longer based in Ghent.", "Belmora Foods | seat | Ghent"),
    ("Anna has left Lisbon.", "Anna | home | Lisbon"),
    ("I don't have a sister any more.", "user | sister | "),
    ("Olga is not my sister.", "user | sister | Olga"),
    ("Ines Duarte stepped down as CEO of Belmora Foods.", "Belmora Foods | chief_executive | Ines Duarte"),
]

NOTHING = [
    "Where do I live?",
    "do i live in lisbon",
    "Is Anna my sister?",
    "Can you remember that I live in Porto?",
    "Tell me where Anna lives.",
    "I wish I lived in Rome.",
    "I would love to live in Rome.",
    "I want to work at Acme.",
    "If I lived in Rome, I would work at Acme.",
    "If I worked for Acme and I lived in Rome, I'd be happy.",
    "Suppose I live in Rome.",
    "Imagine that my name is Bob.",
    "I might move to Porto.",
    "Maybe I live in the wrong city.",
    "I think Anna lives in Rome.",
    "I'm not sure, but I guess Tom works at Acme.",
    "I'm moving to Rome next year.",
    "I will join Acme.",
    "I'm going to marry Tom.",
    "I lived in Lisbon as a child.",
    "I worked at Acme for ten years.",
    "I don't live in Lisbon.",
    "My sister isn't called Anna.",
    "My favourite colour is not green.",
    "I never worked at Acme.",
    'In the film he says "I live in Rome".',
    "In the book, Anna lives in Rome.",
    'My friend said "my name is Bond".',
    "Anna told me that she lives in Rome.",
    "According to Tom, Anna works at Acme.",
    "I live in Atlantis, just kidding!",
    "Translate this: My name is Anna. I live in Rome.",
    "Write a story about a nurse who lives in Rome.",
    "Please book a table in Rome.",
    "Remember to buy milk.",
    "As a child I lived in Rome.",
    "As a doctor, what would you do?",
    "I love it when it rains.",
    "I'd like a coffee.",
    "I like you.",
    "I left the party.",
    "I love my wife.",
    "I'm tired.",
    "I'm a bit of a perfectionist.",
    "I'm in Rome this week.",
    "I work in a bank.",
    "I live in fear.",
    "I live in a small flat.",
    "My car is broken.",
    "My day was great.",
    "My sister is a bit late.",
    "She lives in Rome.",
    "I work with Tom.",
    "My answer is No.",
    "My locker code is 4711.",
    "I'm working late for the third time.",
    "My question is Why.",
    "Our CEO is great.",
    "You live in Rome.",
    "Your name is Bob.",
    "Everyone works at Acme.",
    "Dinner is in Rome.",
    "The weather is nice in Rome.",
    "Thanks a lot!",
    "Good morning",
    "I'm 5 minutes away.",
    "I speak to Anna every day.",
    "My ex-wife is called Anna.",
    "I read that the capital of France is Lyon.",
    "Rumour has it that Acme hired me.",
    "The movie is about a man whose dog is called Rex.",
    "I live in Rome... not!",
    "As a beekeeper would say, smoke first.",
    "At 65, people usually retire.",
    "Ask me again when I live in Rome.",
    "The capital of Peru is Lima, I think.",
    "I'll be living in Zadar from Monday if all goes well.",
    "Here's an example: my name is Bob.",
    "Nope, I don't work for Acme, never have.",
    "I'm with Anna now.",
    "I'm not one for parties any more.",
    "I'm a late bloomer.",
]

NOT_KEPT = [
    "My password is hunter2.",
    "Remember that the wifi password is swordfish.",
    "Remember that my PIN is 4711.",
    "Remember that my api key is sk-abcdefghijklmnop123456.",
    "Remember that my card is 4111 1111 1111 1111.",
    "Remember that my account is DE89 3704 0044 0532 0130 00.",
    "Remember: ghp_16C7e42F292c6912E7710c838347Ae178B4a belongs to me",
    "Remember that the key is -----BEGIN RSA PRIVATE KEY----- MIIEow",
    "I live in Lisbon, but don't remember this.",
    "Off the record: I live in Lisbon.",
    "Please do not store that. My sister is called Anna.",
    "My name is Mia. Keep this between us.",
]


@pytest.mark.parametrize(("text", "expected"), STATED, ids=[text for text, _ in STATED])
def test_the_rules_hear_what_is_stated(text, expected):
    assert sorted(map(_line, heard(text))) == sorted(expected)


@pytest.mark.parametrize(("text", "expected"), TAKEN_BACK, ids=[text for text, _ in TAKEN_BACK])
def test_the_rules_hear_what_is_taken_back(text, expected):
    (candidate,) = heard(text)
    assert candidate.retracts
    assert _line(candidate) == expected


@pytest.mark.parametrize("text", NOTHING)
def test_what_is_not_asserted_is_no_fact(text):
    assert heard(text) == ()


@pytest.mark.parametrize("text", NOT_KEPT)
def test_secrets_and_what_is_off_the_record_are_not_kept(text):
    assert heard(text) == ()


def test_the_words_of_a_secret_are_masked_letter_for_letter_and_the_rest_is_kept(tmp_path):
    said = "My password is hunter2. I live in Lisbon."
    with Archive.open(ready(tmp_path / "m.db")) as archive:
        store = archive.store("tom")
        heard = collect.hear(store, Collect(), said, collect.extractor_named("rules"))
        (fact,) = heard.learned
        kept = store.utterance(fact.utterance_id).text
        assert heard.is_masked
        assert "hunter2" not in kept
        assert len(kept) == len(said)
        assert kept[fact.start : fact.end] == said[fact.start : fact.end]
        assert "Lisbon" in kept[fact.start : fact.end]


def test_of_what_is_off_the_record_no_word_is_kept(tmp_path):
    with Archive.open(ready(tmp_path / "m.db")) as archive:
        store = archive.store("tom")
        said = "Don't remember this: I live in Rome."
        heard = collect.hear(store, Collect(), said, collect.extractor_named("rules"))
        assert heard.learned == ()
        assert store.utterance(heard.utterance.id).text == collect.OFF_RECORD


@pytest.mark.parametrize("said", ["I do not like tea.", "I don't like tea.", "I don't really like tea."])
def test_not_to_like_something_takes_a_liking_back(said):
    (found,) = collect.tried(said, Collect())
    assert (found.relation, found.object, found.retracts) == ("likes", "tea", True)


def test_not_to_live_somewhere_takes_nothing_back():
    assert collect.tried("I do not live in Rome.", Collect()) == ()


def test_a_secret_does_not_take_its_neighbours_with_it():
    assert [_line(c) for c in heard("My name is Mia and my password is hunter2.")] == ["user | name | Mia"]


def test_what_the_settings_call_sensitive_is_not_kept():
    private = Collect(sensitive=(r"project \w+",), sensitive_relations=("chief executive", "home"))
    text = "I live in Oslo. I like project Falcon. The CEO of Belmora Foods is Ines Duarte. I work at Acme."
    assert [_line(c) for c in heard(text, private)] == ["user | employer | Acme"]


@pytest.mark.parametrize("speaker", ["assistant", "system", "Assistant", "tool"])
def test_our_own_voice_is_never_learned_from(speaker):
    assert extract(said("You live in Rome. I live in Rome.", speaker=speaker), rules, DEFAULTS) == ()


def test_only_the_user_is_the_first_person():
    feed = said("I live in Rome. The capital of France is Lyon.", speaker="newswire")
    assert [_line(c) for c in extract(feed, rules, DEFAULTS)] == ["France | capital | Lyon"]


def test_a_span_is_the_clause_it_came_from():
    text = "Hi! I'm Mia, I live in Oslo and work for Norvik Labs."
    assert [text[c.start : c.end] for c in heard(text)] == [
        "I'm Mia",
        "I live in Oslo",
        "work for Norvik Labs",
    ]


def test_the_statement_says_the_fact_in_canonical_words():
    (candidate,) = heard("I've moved to Porto.")
    assert candidate.statement == "The user lives in Porto."


def test_a_second_sister_does_not_replace_the_first():
    assert {c.cardinality for c in heard("I have two sisters, Anna and Mia.")} == {Cardinality.MANY}
    assert [c.cardinality for c in heard("My other sister is Mia.")] == [Cardinality.MANY]
    assert [c.cardinality for c in heard("My sister is Mia.")] == [Cardinality.ONE]


def test_the_last_word_on_a_slot_counts():
    assert [c.object for c in heard("I live in Lisbon. Sorry, I live in Porto.")] == ["Porto"]


def test_a_relation_that_nobody_knows_supersedes_nothing():
    assert [c.cardinality for c in heard("My locker is Blue 14.")] == [Cardinality.MANY]
    assert [c.cardinality for c in heard("My favourite colour is blue.")] == [Cardinality.ONE]
    assert [c.cardinality for c in heard("I speak German.")] == [Cardinality.MANY]
    assert [c.cardinality for c in heard("The language of Peru is Quechua.")] == [Cardinality.ONE]


def test_the_settings_say_how_many_values_a_relation_has():
    settings = Collect(set_valued=("job", "home"), functional=("likes",))
    found = heard("I live in Oslo. I work as a nurse. I like tea. I work at Acme.", settings)
    assert {c.relation: c.cardinality for c in found} == {
        "home": Cardinality.MANY, "profession": Cardinality.MANY, "likes": Cardinality.ONE,
        "employer": Cardinality.ONE,
    }  # fmt: skip


def test_a_sensitive_relation_is_kept_out_by_any_of_its_names():
    assert heard("I work as a nurse. My mum is Clara.", Collect(sensitive_relations=("job", "Mother"))) == ()


def test_a_sensitive_relation_that_is_a_slip_of_the_pen_is_warned_of(caplog):
    heard("I work as a nurse.", Collect(sensitive_relations=("profesion", "religion")))
    (warning,) = caplog.messages
    assert "'profesion'" in warning
    assert "did you mean 'profession'?" in warning


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_utterance_without_a_word_is_refused(tmp_path, text):
    with Archive.open(ready(tmp_path / "m.db")) as archive:
        store = archive.store("tom")
        with pytest.raises(CollectError, match="nothing was said"):
            collect.hear(store, DEFAULTS, text, rules)
        assert store.utterances() == ()


@pytest.mark.parametrize("relation_id", relations.named())
def test_every_sentence_that_relations_know_is_heard(relation_id):
    obj = _EXAMPLES.get(relation_id, "Lisbon")
    known = relations.relation(relation_id)
    for form in known.first.heard:
        found = heard(relations.fill(form, USER, obj))
        assert [_line(c) for c in found] == [f"user | {relation_id} | {obj}"], form
    for form in known.third.statements:
        subject = {"country": "Peru", "company": "Belmora Foods"}.get(known.subject_kind, "Anna Reyes")
        found = heard(relations.fill(form, subject, obj))
        assert [_line(c) for c in found] == [f"{subject} | {relation_id} | {obj}"], form


@settings(max_examples=150, deadline=None)
@given(
    text=st.text()
    | st.lists(st.sampled_from(" ".join(t for t, _ in STATED).split()), max_size=25).map(" ".join)
)
def test_no_text_breaks_the_rules_and_every_span_holds_its_object(text):
    for candidate in rules(said(text)):
        assert 0 <= candidate.start < candidate.end <= len(text)
        assert candidate.object in text[candidate.start : candidate.end]


@pytest.mark.parametrize("text", [text for text, _ in STATED])
def test_asked_with_a_question_mark_nothing_is_stated(text):
    if text.endswith("?"):
        pytest.skip("asks already, and takes something for granted")
    single_sentence = text.replace(". ", ", ").replace("! ", ", ").rstrip(".!")
    found = heard(single_sentence + "?")
    # Who is spoken of is taken for granted: "Does my sister Anna live in Rome?"
    assert all(candidate.relation in kin.RELATIONS and not candidate.retracts for candidate in found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("I hope my sister Anna moves to Rome.", ["user | sister | Anna"]),
        ("Is my boss Folake still in Lagos?", ["user | boss | Folake"]),
        ("Write to the school that my son Bao will be late.", ["user | son | Bao"]),
        ("Imagine my sister Anna were an astronaut.", []),
        ("Why is my cat called Salt, you ask?", []),
        ("I should call my dog Pickles.", []),
    ],
)
def test_who_is_spoken_of_is_taken_for_granted_unless_all_is_made_up(text, told):
    assert [_line(candidate) for candidate in heard(text)] == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("I live in Aarhus, so which bank holidays do I get?", ["user | home | Aarhus"]),
        ("I live in Aarhus, right?", []),
        ("I live in Aarhus, don't I?", []),
        ("I live in Aarhus?", []),
        ("So I live in Aarhus, is that what you have?", []),
        ("Can you find me a dentist, I live in Aarhus", ["user | home | Aarhus"]),
        ("I was born in Aleppo, what am I supposed to pick?", ["user | birthplace | Aleppo"]),
        ("I think it may rain, but I live in Bergen so I am ready.", ["user | home | Bergen"]),
        ("If I lived in Bergen, I would own a raincoat.", []),
        ("Tom says it is his, but I own a Skoda Octavia.", ["user | car | Skoda Octavia"]),
        ("Write a story in which I live in Bergen.", []),
        ("As a vegan, what can I eat here?", ["user | diet | vegan"]),
        ("As a plumber, what would you use here?", []),
    ],
)
def test_silence_is_a_matter_of_clauses(text, told):
    assert [_line(candidate) for candidate in heard(text)] == told


def test_an_utterance_is_read_in_a_moment():
    """Which is what this machine needs to read a long list in JSON twice: about two milliseconds."""
    utterances = [said(text) for text, _ in STATED] + [said(text) for text in NOTHING]
    page = json.dumps(list(range(20_000)))
    moment = 2 * _seconds(lambda: json.loads(page))
    all_of_them = _seconds(lambda: [extract(utterance, rules, DEFAULTS) for utterance in utterances])
    assert all_of_them < len(utterances) * moment


def _seconds(work):
    """Of the processor, at best of three: the first time what is compiled once is compiled."""

    def once():
        started = time.process_time()
        work()
        return time.process_time() - started

    return min(once() for _ in range(3))


def test_the_rules_are_the_extractor_named_rules():
    assert extractor_named("rules") is rules


def test_a_chat_model_without_langchain_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain", None)
    with pytest.raises(CollectError, match="pip install langchain langchain-openai"):
        extractor_named("openai:gpt-5")


_EXAMPLES = {
    "profession": "nurse", "employer": "Norvik Labs", "likes": "chess", "spouse": "Ada Berg",
    "name": "Mia", "currency": "euro",
    "language": "Quechua", "continent": "Asia", "chief_executive": "Ines Duarte", "age": "34",
    "birthday": "3 May",
}  # fmt: skip


def heard(text: str, collect: Collect = DEFAULTS) -> tuple[CandidateFact, ...]:
    return extract(said(text), rules, collect)


def said(text: str, speaker: str = USER) -> Utterance:
    return Utterance(id="u1", text=text, said_at=datetime(2026, 11, 20, tzinfo=UTC), speaker=speaker)


def _line(candidate: CandidateFact) -> str:
    return f"{candidate.subject} | {candidate.relation} | {candidate.object}"
