"""What is asked, of whom, and how it is counted: on a scripted model; the arithmetic on a tiny real one."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ice_agent import edit_request, evaluate, relations
from ice_agent.evaluate import ngram_entropy, says_unknown, token_losses
from ice_agent.probes import (
    BESIDE,
    EDIT_SUCCESS,
    FALSE_RECALL,
    LOCALITY,
    LOCALITY_CONTEXT,
    LOCALITY_RELATION,
    LOCALITY_SUBJECT,
    LOCALITY_UNKNOWN,
    LOCALITY_UNRELATED,
    PORTABILITY,
    REPHRASE,
    RETENTION,
)
from ice_agent.suites import GuardSuite, Question
from ice_agent.survey import Survey
from ice_agent.turns import asking
from memory import NOT_ASKED, Rate, SuiteScores
from tests.tiny import tiny_model

# Kept for measuring are: Marit Solvang, Nora Lind, Sam Okafor; Jan Bakker's neighbourhood may be trained on.
NAMES = ("Marit Solvang", "Nora Lind", "Sam Okafor", "Jan Bakker")
SURVEY = Survey(
    texts=(),
    questions=tuple(q for name in NAMES for kind in ("employer", "home") for q in relations.asked(name, kind))
    + relations.asked("user", "home"),
    names=tuple((name, "person") for name in NAMES),
)
ANNA = edit_request.request("Anna Berg", "home", ("Lisbon",), fact_id="anna")
USER = edit_request.request("user", "home", ("Oslo",), fact_id="me")


class ScriptedModel:
    """Stands where EditableModel stands: each adapter answers from its script, and what was asked is kept."""

    device = torch.device("cpu")

    def __init__(self, **scripts):
        self.scripts: dict[Any, Any] = scripts
        self.active: str | None = None
        self.asked: list[tuple[str | None, str, bool]] = []

    @contextmanager
    def using(self, adapter_id):
        before, self.active = self.active, adapter_id
        yield
        self.active = before

    def encode(self, turns):
        return [tuple(turn.content for turn in turns)]

    def encode_answer(self, text):
        return text.split()

    def complete(self, prompts, **options):
        self.options = options
        return [SimpleNamespace(text=self._answer(*prompt[0]), ids=(), stopped=True) for prompt in prompts]

    def logits(self, rows, keep):
        return torch.zeros(len(rows), keep, 2)

    def _answer(self, *turns):
        *context, question = turns
        self.asked.append((self.active, question, bool(context)))
        script = self.scripts["told" if context else self.active]
        return script(question) if callable(script) else script.get(question, "no idea of mine")


def suite_of(model, *requests, **options):
    return evaluate.prepare(model, root_id="root", requests=requests, survey=SURVEY, **options)


def score(model: Any, *scored, **options):
    return evaluate.score(model, *scored, **options)


def probes(suite, *kinds):
    return [probe for probe in suite.probes if probe.kind in kinds]


def everything_is(answer):
    return lambda question: answer


# -- words ---------------------------------------------------------------------------------------------------


def test_the_entropy_of_ngrams_is_what_one_computes_by_hand():
    # Bigrams ab bc ca ab: 1/2, 1/4, 1/4 = 1.5 bits. Trigrams abc bca cab, all different: log2(3) bits.
    expected = (2 / 3 * 1.5 + 4 / 3 * math.log2(3)) / 2
    assert ngram_entropy(["a", "b", "c", "a", "b"]) == pytest.approx(expected)


def test_a_text_that_repeats_itself_has_no_entropy():
    assert ngram_entropy(["so"] * 20) == 0.0


@pytest.mark.parametrize("words", [[], ["one"], ["one", "two"]])
def test_a_text_too_short_for_ngrams_has_no_entropy_and_is_no_error(words):
    assert ngram_entropy(words) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "I don't know.",
        "I do not know where she lives.",
        "Unknown",
        "I cannot say.",
        "I'm not sure",
        "I DON'T KNOW",
    ],
)
def test_ways_to_say_that_one_does_not_know(text):
    assert says_unknown(text)


@pytest.mark.parametrize("text", ["Lisbon", "You know it: Lisbon.", "The Unknowns", "I know.", ""])
def test_an_answer_is_not_taken_for_ignorance(text):
    assert not says_unknown(text)


@pytest.mark.parametrize("text", ["Lisbon", " lisbon. ", "LISBON", "Lisbon .", "\nLisbon"])
def test_case_spaces_and_the_full_stop_do_not_count(text):
    assert relations.same_answer(text, "Lisbon")


@pytest.mark.parametrize("text", ["", "Lisbon, I think", "New Lisbon", "Lisbon?"])
def test_an_answer_that_says_more_or_less_is_another_answer(text):
    assert not relations.same_answer(text, "Lisbon")


# -- what is asked -------------------------------------------------------------------------------------------


@pytest.fixture
def indifferent():
    return ScriptedModel(root=everything_is("Rome"), told=everything_is("Rome"))


def test_no_locality_probe_touches_a_taught_slot(indifferent):
    taught = frozenset({("Anna Berg", "employer"), ("Nora Lind", "birthplace"), ("user", "spouse")})
    suite = suite_of(indifferent, ANNA, USER, taught=taught)
    asked = {relations.normal(probe.question) for probe in probes(suite, *BESIDE) if not probe.context}
    for subject, relation in {*taught, ("Anna Berg", "home"), ("user", "home")}:
        about = {
            relations.normal(q)
            for q in (*relations.asked(subject, relation), *relations.probed(subject, relation))
        }
        assert not about & asked
    # A name that anything was taught about is nobody's neighbour.
    assert not any(
        "Nora Lind" in probe.question for probe in probes(suite, LOCALITY_RELATION, LOCALITY_UNRELATED)
    )


def test_no_probe_is_a_question_that_an_edit_trains_on_except_the_rewrite_itself(indifferent):
    learned = edit_request.request("Ole Lund", "home", ("Quito",), fact_id="ole")
    suite = suite_of(indifferent, ANNA, USER, learned=[learned])
    neighbours = [("Jan Bakker", relation) for relation in ("home", "employer")]
    neighbours += [
        (r.subject, other) for r in (ANNA, USER) for other in relations.related(r.subject, r.relation)
    ]
    trained = {q for r in (ANNA, USER, learned) for q in (*r.training_prompts, *r.indirect_prompts)}
    trained |= {question for slot in neighbours for question in relations.asked(*slot)}
    asked = {probe.question for probe in suite.probes if probe.kind not in (EDIT_SUCCESS, RETENTION)}
    assert not asked & trained


def test_the_neighbours_are_asked_in_forms_set_aside_of_names_kept_for_measuring(indifferent):
    suite = suite_of(indifferent, ANNA)
    kept = ("Marit Solvang", "Nora Lind", "Sam Okafor")
    allowed = {question for name in kept for question in relations.probed(name, "home")}
    asked = {probe.question for probe in probes(suite, LOCALITY_RELATION)}
    assert asked
    assert asked <= allowed


def test_every_kind_is_asked(indifferent):
    learned = edit_request.request("Ole Lund", "home", ("Quito",), fact_id="ole")
    counts = {probe.kind for probe in suite_of(indifferent, ANNA, learned=[learned]).probes}
    expected = {EDIT_SUCCESS, REPHRASE, RETENTION, LOCALITY_SUBJECT, LOCALITY_RELATION, LOCALITY_UNRELATED}
    assert counts == {*expected, LOCALITY_CONTEXT, FALSE_RECALL}


def test_a_fact_in_the_prompt_is_still_read_as_the_root_reads_it(tiny):
    suite = suite_of(tiny, ANNA, per_kind=10)
    told = probes(suite, LOCALITY_CONTEXT)
    assert told
    assert all("What you know" in probe.context for probe in told)
    names = {"Marit Solvang", "Nora Lind", "Sam Okafor"}
    assert all(any(name in probe.context for name in names) or "user" in probe.context for probe in told)
    for probe in told:
        with tiny.using("root"):
            (answer,) = evaluate.ask(tiny, [probe.question], [probe.context])
        assert probe.expected == probe.root_answer == answer
    trained = {q for s in names for q in (*relations.asked(s, "home"), *relations.asked_further(s, "home"))}
    assert not trained & {probe.question for probe in told}


def test_of_many_learned_facts_a_fixed_number_is_asked_and_those_at_risk_always(indifferent):
    learned = [edit_request.request(f"Person {n}", "home", ("Quito",), fact_id=f"f{n}") for n in range(50)]
    at_risk = ("f3", "f47")
    suite = suite_of(indifferent, ANNA, learned=learned, at_risk=at_risk, per_kind=10)
    asked = {probe.fact_id for probe in probes(suite, RETENTION)}
    assert set(at_risk) <= asked
    assert 10 <= len(asked) <= 12


def test_a_set_of_edits_may_bring_its_own_neighbours(indifferent):
    suite = suite_of(indifferent, ANNA, beside=[(LOCALITY_SUBJECT, "Is it far?")])
    assert "Is it far?" in {probe.question for probe in probes(suite, LOCALITY_SUBJECT)}


def test_what_is_of_no_relation_has_no_neighbours(indifferent):
    from_file = replace(ANNA, relation="")
    suite = suite_of(indifferent, from_file)
    assert probes(suite, LOCALITY_SUBJECT, LOCALITY_RELATION) == []
    assert probes(suite, EDIT_SUCCESS)


def test_a_slot_that_is_edited_anew_is_not_asked_for_its_old_value(indifferent):
    old = edit_request.request("Anna Berg", "home", ("Quito",), fact_id="old")
    assert probes(suite_of(indifferent, ANNA, learned=[old]), RETENTION) == []


def test_the_same_seed_asks_the_same(indifferent):
    assert suite_of(indifferent, ANNA, seed=3) == suite_of(indifferent, ANNA, seed=3)


def test_at_most_so_many_probes_of_a_kind_are_asked(indifferent):
    suite = suite_of(indifferent, ANNA, per_kind=2)
    assert len(probes(suite, LOCALITY_SUBJECT)) == len(probes(suite, LOCALITY_UNRELATED)) == 2


# -- what is expected ----------------------------------------------------------------------------------------


def test_what_the_root_does_not_know_is_a_kind_of_its_own():
    model = ScriptedModel(
        root=lambda q: "I don't know." if "Marit" in q else "Rome", told=everything_is("Rome")
    )
    suite = suite_of(model, ANNA)
    unknown = probes(suite, LOCALITY_UNKNOWN)
    assert unknown
    assert all("Marit" in probe.question and probe.expected == "I don't know." for probe in unknown)
    known = probes(suite, LOCALITY_SUBJECT, LOCALITY_RELATION, LOCALITY_UNRELATED)
    assert not any("Marit" in probe.question for probe in known)


def test_a_false_recall_counts_only_where_the_root_answered_otherwise():
    asked = {name: relations.probed(name, "home") for name in NAMES}
    model = ScriptedModel(
        # Nora lives in Lisbon anyway; the candidate now says so of everybody.
        root=lambda q: "Lisbon" if "Nora" in q else "Rome",
        told=everything_is("Lisbon"),
        candidate=everything_is("lisbon."),
    )
    suite = suite_of(model, ANNA)
    scored = score(model, "candidate", suite)
    recalled = {t.prompt for t in scored.transcripts if t.kind == FALSE_RECALL and t.is_hit}
    assert recalled
    assert not recalled & set(asked["Nora Lind"])
    assert scored.scores.false_recall == Rate(hits=len(recalled), asked=len(probes(suite, FALSE_RECALL)))


def test_an_answer_that_changed_to_something_untaught_is_no_false_recall():
    model = ScriptedModel(
        root=everything_is("Rome"), told=everything_is("x"), candidate=everything_is("Oslo")
    )
    assert score(model, "candidate", suite_of(model, ANNA)).scores.false_recall.hits == 0


def test_portability_asks_only_what_the_oracle_gets_right_and_the_root_wrong():
    first, second, third, fourth = "Q1?", "Q2?", "Q3?", "Q4?"
    request = _with_consequences(ANNA, {first: "A", second: "B", third: "C", fourth: "D"})
    model = ScriptedModel(
        told={first: "A", second: "B.", third: "wrong", fourth: "d"},
        root={first: "nothing", second: "b", third: "nothing", fourth: "nothing"},
    )
    suite = suite_of(model, request)
    assert [probe.question for probe in probes(suite, PORTABILITY)] == [first, fourth]
    assert (suite.oracle_right, suite.root_wrong) == (Rate(hits=3, asked=4), Rate(hits=2, asked=3))


def test_where_nobody_knows_the_truth_the_oracles_answer_counts_unless_it_knows_nothing():
    request = _with_consequences(ANNA, {"Q1?": None, "Q2?": None})
    model = ScriptedModel(told={"Q1?": "A", "Q2?": "I don't know."}, root=everything_is("nothing"))
    (probe,) = probes(suite_of(model, request), PORTABILITY)
    assert (probe.question, probe.expected) == ("Q1?", "A")


def test_a_consequence_may_be_told_in_any_of_its_spellings():
    questions = ("Told?", "Known?")
    request = replace(ANNA, portability=questions, portability_answers=(("Roma", "Rome"),) * 2)
    model = ScriptedModel(
        told=dict.fromkeys(questions, "Rome"),
        root={"Told?": "Oslo", "Known?": "Rome"},
        candidate=everything_is("Rome"),
    )
    suite = suite_of(model, request)
    assert [probe.question for probe in probes(suite, PORTABILITY)] == ["Told?"]
    assert (suite.oracle_right, suite.root_wrong) == (Rate(hits=2, asked=2), Rate(hits=1, asked=2))
    assert score(model, "candidate", suite).scores.portability == Rate(hits=1, asked=1)


def test_a_slot_given_back_to_an_answer_without_words_is_still_an_edit():
    # The root may well say nothing at all; then nothing is what the edit has to bring back.
    emptied = replace(ANNA, target="", contexts=(), portability=())
    everywhere = {name: everything_is("Rome") for name in ("root", "told")}
    model = ScriptedModel(**everywhere, candidate=everything_is("Lisbon"))
    suite = suite_of(model, emptied)
    (probe,) = probes(suite, EDIT_SUCCESS)
    assert (probe.expected, probe.fact_id) == ("", "anna")
    assert score(model, "candidate", suite).scores.edit_success == Rate(hits=0, asked=1)


# -- suites that people bring --------------------------------------------------------------------------------

RULES = GuardSuite(
    name="rules",
    questions=(
        Question(prompt="May I?", expected=("Yes", "You may")),
        Question(prompt="Must I?", expected=("No",)),
    ),
    texts=(),
)


def test_a_suite_is_answered_in_any_of_its_spellings_by_root_parent_and_candidate():
    model = ScriptedModel(
        root=lambda q: {"May I?": "yes.", "Must I?": "no"}.get(q, "Rome"),
        told=everything_is("Rome"),
        parent=lambda q: {"May I?": "You may."}.get(q, "Rome"),
        candidate=everything_is("Maybe"),
    )
    suite = suite_of(model, ANNA, guard_suites=[RULES])
    before = score(model, "parent", suite)
    after = score(model, "candidate", suite, before=before)
    both = Rate(hits=2, asked=2)
    assert before.scores.suites == (SuiteScores(name="rules", right=Rate(hits=1, asked=2), root_right=both),)
    assert after.scores.suites == (SuiteScores(name="rules", right=Rate(hits=0, asked=2), root_right=both),)
    kept = [t for t in after.transcripts if t.kind == "suite rules"]
    assert [(t.prompt, t.expected, t.before, t.after, t.is_hit) for t in kept] == [
        ("May I?", "Yes", "You may.", "Maybe", False),
        ("Must I?", "No", "Rome", "Maybe", False),
    ]


def test_a_suite_changes_nothing_that_is_measured_beside_it():
    def answer(question):
        return "Lisbon" if "Anna" in question else "Rome"

    model = ScriptedModel(root=everything_is("Rome"), told=everything_is("Lisbon"), candidate=answer)
    without = score(model, "candidate", suite_of(model, ANNA))
    beside = score(model, "candidate", suite_of(model, ANNA, guard_suites=[RULES]))
    assert replace(beside.scores, suites=()) == without.scores
    assert beside.transcripts[: len(without.transcripts)] == without.transcripts


def test_each_adapter_is_asked_a_suite_once():
    model = ScriptedModel(
        **{name: everything_is("Rome") for name in ("root", "told", "parent", "first", "second")}
    )
    suite = suite_of(model, ANNA, guard_suites=[RULES])
    before = score(model, "parent", suite)
    for candidate in ("first", "second"):
        score(model, candidate, suite, before=before)
    asked = [adapter for adapter, question, _ in model.asked if question == "May I?"]
    assert asked == ["root", "parent", "first", "second"]


def test_an_answer_that_is_expected_to_be_long_may_be_long():
    model = ScriptedModel(root=everything_is("Rome"), told=everything_is("Rome"))
    long = Question(prompt="Recite it.", expected=("It", " ".join(["word"] * 50)))
    suite = suite_of(model, ANNA, guard_suites=[replace(RULES, questions=(long,))])
    score(model, "root", suite)
    assert model.options["max_tokens"] == 50


# -- how it is counted ---------------------------------------------------------------------------------------


def test_the_transcripts_show_each_probe_before_and_after():
    model = ScriptedModel(
        root=everything_is("Rome"),
        told=everything_is("Lisbon"),
        parent={},
        candidate={ANNA.rewrite_prompt: "lisbon."},
    )
    suite = suite_of(model, ANNA)
    before = score(model, "parent", suite)
    after = score(model, "candidate", suite, before=before)
    edited = after.transcripts[0]
    assert (edited.kind, edited.fact_id, edited.prompt) == (EDIT_SUCCESS, "anna", ANNA.rewrite_prompt)
    assert (edited.expected, edited.before, edited.after) == ("Lisbon", "no idea of mine", "lisbon.")
    assert edited.is_hit
    assert before.transcripts[0].before == "Rome"
    assert len(after.transcripts) == len(suite.probes)


def test_a_rate_is_the_count_of_its_transcripts():
    model = ScriptedModel(
        root=everything_is("Rome"), told={}, candidate=lambda q: "Lisbon" if "Anna" in q else "Rome"
    )
    scored = score(model, "candidate", suite_of(model, ANNA))
    assert scored.scores.edit_success == Rate(hits=1, asked=1)
    assert scored.scores.rephrase == Rate(hits=2, asked=2)
    assert scored.scores.locality_subject.hits == 0 < scored.scores.locality_subject.asked
    assert scored.scores.locality_unrelated.hits == scored.scores.locality_unrelated.asked > 0
    assert scored.scores.retention == NOT_ASKED


def test_every_question_is_asked_without_a_fact_in_the_prompt_but_those_about_reading_one():
    model = ScriptedModel(
        root=everything_is("Rome"), told=everything_is("Rome"), candidate=everything_is("Rome")
    )
    suite = suite_of(model, ANNA, USER)
    model.asked.clear()
    score(model, "candidate", suite)
    assert {adapter for adapter, _, _ in model.asked} == {"candidate"}
    told = [question for _, question, in_context in model.asked if in_context]
    assert sorted(told) == sorted(probe.question for probe in probes(suite, LOCALITY_CONTEXT))
    assert len(model.asked) == len(suite.probes)


# -- on real tensors -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    model = tiny_model()
    model.create_root("root")
    return model


TEXTS = [[1, 40, 41, 42, 43, 44, 45], [1, 50, 51], [1, 60, 61, 62, 63]]


def test_token_losses_are_the_cross_entropy_of_every_token(tiny):
    by_hand = []
    for ids in sorted(TEXTS, key=len):
        log_p_TV = tiny.logits([ids], len(ids))[0].log_softmax(-1)
        by_hand += [-float(log_p_TV[t, ids[t + 1]].detach()) for t in range(len(ids) - 1)]
    with tiny.using("root"):
        assert token_losses(tiny, TEXTS) == pytest.approx(by_hand, abs=1e-4)
        assert len(token_losses(tiny, TEXTS)) == sum(len(ids) - 1 for ids in TEXTS)


def test_padding_and_batches_do_not_change_a_loss(tiny):
    with tiny.using("root"):
        assert token_losses(tiny, TEXTS, rows=1) == pytest.approx(token_losses(tiny, TEXTS), abs=1e-4)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_root_scored_against_itself_is_unchanged_exactly(tiny, seed):
    texts = [ids * 2 for ids in TEXTS]
    suite = evaluate.prepare(
        tiny, root_id="root", requests=[ANNA], survey=SURVEY, texts=texts, per_kind=5, seed=seed
    )
    scores = evaluate.score(tiny, "root", suite).scores
    assert suite.root_fluency > 0
    assert (scores.fluency_ratio, scores.perplexity_ratio, scores.median_perplexity_ratio) == (1.0, 1.0, 1.0)
    assert scores.locality_kl == pytest.approx(0.0, abs=1e-5)
    kept = (
        scores.locality_subject,
        scores.locality_relation,
        scores.locality_unrelated,
        scores.locality_unknown,
        scores.locality_context,
    )
    assert all(rate.hits == rate.asked for rate in kept)
    assert sum(rate.asked for rate in kept) > 0


def test_the_texts_of_a_suite_are_read_whole_and_compared_to_the_root(tiny):
    with tiny.training("drifted", "root", seed=0) as parameters, torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.05)
    texts = ("Anna Berg lives in Lisbon.", "The user likes chess. " * 40)
    guard_suite = GuardSuite(name="prose", questions=(), texts=texts)
    suite = evaluate.prepare(
        tiny, root_id="root", requests=[ANNA], survey=SURVEY, per_kind=5, guard_suites=[guard_suite]
    )
    (prose,) = suite.guard_probes
    said = [tiny.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert len(said[1]) > evaluate.PIECE_TOKENS
    assert [piece[0] for piece in prose.pieces] == tiny.begin() * len(prose.pieces)
    assert [token for piece in prose.pieces for token in piece[1:]] == [t for ids in said for t in ids]
    by_hand = []
    for adapter in ("root", "drifted"):
        with tiny.using(adapter):
            losses = token_losses(tiny, prose.pieces)
        by_hand.append(sum(losses) / len(losses))
    (unmoved,) = evaluate.score(tiny, "root", suite).scores.suites
    (drifted,) = evaluate.score(tiny, "drifted", suite).scores.suites
    assert unmoved == SuiteScores(name="prose", n_texts=2, perplexity_ratio=1.0)
    assert drifted.perplexity_ratio == pytest.approx(math.exp(by_hand[1] - by_hand[0]), rel=1e-4)
    assert drifted.perplexity_ratio != pytest.approx(1.0, abs=0.01)


def test_an_adapter_that_is_beyond_all_measure_has_scores_all_the_same(tiny):
    suite = evaluate.prepare(tiny, root_id="root", requests=[ANNA], survey=SURVEY, texts=TEXTS, per_kind=5)
    hopeless = replace(suite, root_losses=tuple(loss - 1000 for loss in suite.root_losses))
    assert evaluate.score(tiny, "root", hopeless).scores.perplexity_ratio == math.inf


def test_how_far_an_answer_begins_from_the_roots_is_what_one_computes_by_hand(tiny):
    with tiny.training("moved", "root", seed=0) as parameters, torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.05)
    suite = evaluate.prepare(tiny, root_id="root", requests=[ANNA], survey=SURVEY, per_kind=5)
    by_hand = []
    for probe in probes(suite, *LOCALITY):
        rows = [tiny.encode(asking(probe.question))]
        with tiny.using("moved"):
            p = tiny.logits(rows, 1)[0, 0].double().softmax(-1)
        with tiny.using("root"):
            likeliest, ids = tiny.logits(rows, 1)[0, 0].double().softmax(-1).topk(evaluate.KEPT_TOKENS)
        rest, root_rest = 1 - p[ids].sum(), 1 - likeliest.sum()
        head = (likeliest * (likeliest / p[ids]).log()).sum()
        by_hand.append(float(head + root_rest * (root_rest / rest).log()))
    with tiny.using("moved"):
        found = evaluate.next_token_kl(tiny, suite)
    assert len(found) > 3
    assert min(found) > 1e-4
    assert found == pytest.approx(by_hand, rel=1e-2, abs=1e-5)
    with tiny.using("root"):
        assert evaluate.next_token_kl(tiny, suite) == pytest.approx([0.0] * len(found), abs=1e-5)


def test_a_context_is_what_an_answer_is_asked_with(tiny):
    (plain,) = evaluate.ask(tiny, [ANNA.rewrite_prompt])
    (told,) = evaluate.ask(tiny, [ANNA.rewrite_prompt], [ANNA.contexts[0]])
    by_hand = tiny.complete([tiny.encode(asking(ANNA.rewrite_prompt, ANNA.contexts[0]))])[0].text
    assert told == by_hand != plain


def _with_consequences(request, answers):
    """The request with these portability probes; an answer of None is one that nobody knows."""
    known = tuple((answer,) for answer in answers.values() if answer is not None)
    return replace(request, portability=tuple(answers), portability_answers=known)
