"""The benchmark: its figures, its edit sets, its resumable run and its report."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ice_agent import edit_request, relations
from ice_agent.bench import edit_sets, report, run, variants, world_edits
from ice_agent.bench.edit_sets import EditSet
from ice_agent.bench.figures import figures, stage_shares, wilson
from ice_agent.bench.methods import METHODS
from ice_agent.bench.run import Run, Step, Wanted
from ice_agent.config import Config
from ice_agent.errors import ConfigError
from ice_agent.probes import LOCALITY_RELATION, LOCALITY_SUBJECT, LOCALITY_UNRELATED
from ice_agent.reference import world as w
from ice_agent.settings import EditSettings, LoraSettings
from ice_agent.survey import Survey
from memory import USER, Rate, Scores
from tests.tiny import tiny_model

WORLD = w.build()


ALL_RIGHT = Rate(hits=1, asked=1)


def a_step(success=ALL_RIGHT, retained=(ALL_RIGHT,), *, ratio=1.0, seconds=4.0, **more):
    scores = Scores(edit_success=success, fluency_ratio=ratio, locality_unrelated=Rate(hits=9, asked=10))
    return Step(
        scores=scores, retained=retained, retained_rephrases=retained, steps=1, seconds=seconds,
        measure_seconds=1.0, **more,
    )  # fmt: skip


def a_run(*steps, facts=20, seed=0, method="ice"):
    return Run(
        method=method, facts=facts, batches=len(steps), seed=seed, oracle_right=Rate(hits=1, asked=2),
        root_wrong=Rate(hits=1, asked=1), survey_seconds=8.0, steps=steps,
    )  # fmt: skip


# -- figures -------------------------------------------------------------------------------------------------


def test_wilsons_interval_is_what_one_computes_by_hand():
    # 8 of 10: (0.8 + 0.19208) / 1.38416 = 0.71674, plus or minus 1.96 sqrt(0.016 + 0.009604) / 1.38416.
    assert wilson(8, 10) == pytest.approx((0.49016, 0.94331), abs=1e-4)


def test_an_interval_stays_within_zero_and_one_and_is_never_a_point():
    low, high = wilson(10, 10)
    assert high == 1.0
    assert low == pytest.approx(10 / (10 + 1.96**2))
    assert wilson(0, 10) == pytest.approx((0.0, 1 - low))


def test_nothing_asked_has_no_interval():
    assert all(math.isnan(bound) for bound in wilson(0, 0))


def test_figures_add_counts_and_do_not_average_shares():
    one, many = a_step(Rate(hits=1, asked=1)), a_step(Rate(hits=0, asked=99))
    figure = figures([a_run(one), a_run(many)])["edit_success"]
    assert (figure.hits, figure.asked, figure.mean) == (1, 100, 0.01)
    assert (figure.low, figure.high) == wilson(1, 100)


def test_a_ratio_is_shown_with_its_lowest_and_highest_seed():
    figure = figures([a_run(a_step(ratio=ratio)) for ratio in (0.9, 1.1, 1.0)])["fluency_ratio"]
    assert (figure.mean, figure.low, figure.high) == pytest.approx((1.0, 0.9, 1.1))


def test_every_metric_has_its_figure_and_what_was_never_asked_is_no_number():
    found = figures([a_run(a_step(seconds=4.0))])
    assert set(Scores.metrics()) <= found.keys()
    assert math.isnan(found["retention"].mean)
    assert math.isnan(found["retention_worst_batch"].mean)
    assert found["oracle_right"].mean == 0.5
    assert found["seconds_per_fact"].mean == 0.2


def test_of_a_sequence_edits_count_after_each_batch_and_what_must_stay_after_the_last():
    first = a_step(Rate(hits=2, asked=4), (Rate(hits=4, asked=4),))
    last = a_step(
        Rate(hits=4, asked=4), (Rate(hits=1, asked=4), Rate(hits=3, asked=4), Rate(hits=4, asked=4))
    )
    found = figures([a_run(first, a_step(), last)])
    assert (found["edit_success"].hits, found["edit_success"].asked) == (7, 9)
    assert found["locality_unrelated"].asked == 10
    assert (found["retention"].hits, found["retention"].asked) == (4, 8)
    assert found["retention_worst_batch"].mean == 0.25


def test_the_stages_of_an_edit_add_up_to_all_of_it():
    steps = (
        a_step(stages={"lessons": 1.0, "training": 3.0}),
        a_step(stages={"lessons": 3.0, "training": 1.0}),
    )
    assert stage_shares([a_run(*steps)]) == {"lessons": 0.5, "training": 0.5}
    assert stage_shares([a_run(a_step())]) == {}


def test_speed_is_that_of_training():
    step = a_step(tokens=900, stages={"lessons": 1.0, "training": 3.0})
    assert figures([a_run(step)])["tokens_per_second"].mean == 300.0


# -- which methods -------------------------------------------------------------------------------------------


def test_a_variant_is_a_method_with_other_settings():
    plain, changed = variants.parse("ice, ice:samples=0+rank=4", Config())
    assert (plain.name, plain.edit, plain.lora) == ("ice", EditSettings(), LoraSettings())
    assert (changed.method, changed.edit.samples, changed.lora.rank) == ("ice", 0, 4)
    scales = {variant.lora.alpha / variant.lora.rank for variant in (plain, changed)}
    assert len(scales) == 1, "another rank at the same scale"


def test_every_ablation_changes_what_it_names():
    chosen = variants.parse("ablations", Config())
    assert len({v.name for v in chosen}) == len(chosen)
    settings = {(v.method, v.edit.model_dump_json(), v.lora.model_dump_json()) for v in chosen}
    assert len(settings) == len(chosen), "one that changes nothing would be measured twice"


@pytest.mark.parametrize(
    ("wanted", "named"),
    [("magic", "magic"), ("ice:magic=1", "magic"), ("ice:samples", "samples"), ("ice:samples=-1", "samples"),
     ("ice:layers=attention", "layers"), ("", "''"), ("ice:", "''"), ("ice:seed=3", "'seed'"),
     ("ice:rank=abc", "rank"), ("ice:rank=1e400", "rank"), ("ice:rank=nan", "rank"),
     ("ice:" + "+".join(["samples=1"] * 20), "too long a name")],
)  # fmt: skip
def test_a_method_or_setting_that_there_is_not_is_named(wanted, named):
    with pytest.raises(ConfigError, match=re.escape(named)):
        variants.parse(wanted, Config())


# -- edit sets from files ------------------------------------------------------------------------------------

ZSRE = {
    "subject": "Charity Creek", "src": "Which river system contains Charity Creek?", "pred": "Parramatta",
    "rephrase": "What river system is Charity Creek in?", "alt": "Chichester River", "answers": ["P"],
    "loc": "nq question: how many books are there", "loc_ans": "12", "cond": "",
}  # fmt: skip
COUNTERFACT = {
    "case_id": 1, "prompt": "Reedy Glacier is in", "target_new": "Asia", "subject": "Reedy Glacier",
    "ground_truth": "Antarctica", "rephrase_prompt": "Reedy Glacier is located in",
    "locality_prompt": "Mount Erebus, in", "locality_ground_truth": "Antarctica",
}  # fmt: skip
KNOWEDIT = {
    "subject": "Leo Arons", "prompt": "The place of death of Leo Arons is", "target_new": "Berlin",
    "portability": {
        "Subject_Aliasing": [
            {"prompt": "Martin Leo Arons died in", "ground_truth": [["Berlin", "Berlin, Germany"], ["home"]]}
        ],
    },
    "locality": {
        "Relation_Specificity": [{"prompt": "Leo Arons was born in", "ground_truth": [["Berlin"]]}],
        "Forgetfulness": [{"prompt": "Another place is", "ground_truth": [["X"]]}],
    },
}  # fmt: skip


def edits_in(tmp_path, *rows, name="edits.json"):
    path = tmp_path / name
    path.write_text(json.dumps(rows), encoding="utf-8")
    return edit_sets.load(str(path))


def test_zsre_is_read_as_it_is_published(tmp_path):
    edits = edits_in(tmp_path, ZSRE)
    ((request,),) = edits.batches(1, 1, seed=0)
    assert (request.rewrite_prompt, request.target) == (ZSRE["src"], "Chichester River")
    assert request.rephrases == (ZSRE["rephrase"],)
    assert "Chichester River" in request.contexts[0]
    assert edits.beside[request.fact_id] == ((LOCALITY_UNRELATED, "How many books are there?"),)


def test_counterfact_is_read_as_it_is_published(tmp_path):
    edits = edits_in(tmp_path, COUNTERFACT)
    ((request,),) = edits.batches(1, 1, seed=0)
    assert (request.rewrite_prompt, request.target) == ("Reedy Glacier is in", "Asia")
    assert request.statement == "Reedy Glacier is in Asia."
    assert edits.beside[request.fact_id] == ((LOCALITY_RELATION, "Mount Erebus, in"),)


def test_knowedit_is_read_with_its_consequences_and_neighbours(tmp_path):
    edits = edits_in(tmp_path, KNOWEDIT)
    ((request,),) = edits.batches(1, 1, seed=0)
    assert request.target == "Berlin"
    assert request.portability == ("Martin Leo Arons died in",)
    assert request.portability_answers == (("Berlin", "Berlin, Germany", "home"),)
    kinds = [kind for kind, _ in edits.beside[request.fact_id]]
    assert kinds == [LOCALITY_SUBJECT, LOCALITY_RELATION]


def test_an_answer_with_spellings_is_its_first_and_every_other_counts(tmp_path):
    edits = edits_in(tmp_path, KNOWEDIT | {"target_new": [["Berlin", "DE-BE"], "Berlin"]})
    ((request,),) = edits.batches(1, 1, seed=0)
    assert (request.target, request.aliases) == ("Berlin", ("DE-BE",))
    with pytest.raises(ConfigError, match="of KnowEdit: 'target_new' is an empty list"):
        edits_in(tmp_path, KNOWEDIT | {"target_new": []})


@pytest.mark.parametrize(
    ("record", "named"),
    [(KNOWEDIT | {"target_new": None}, "'target_new' should be text, and is null"),
     (KNOWEDIT | {"target_new": {"str": "Rome"}}, "'target_new' should be text"),
     (KNOWEDIT | {"target_new": ""}, "'target_new' should be text"),
     (KNOWEDIT | {"target_new": ["Rome", 5]}, "'target_new' should be text, and is 5"),
     (KNOWEDIT | {"prompt": " "}, "'prompt' should be text"),
     (KNOWEDIT | {"portability": {"Reasoning": [{"prompt": None, "ground_truth": "x"}]}}, "'prompt' should"),
     (KNOWEDIT | {"portability": {"Reasoning": [{"prompt": "Why?"}]}}, "it has no 'ground_truth'"),
     (KNOWEDIT | {"locality": {"Forgetfulness": ["Who?"]}}, "'Forgetfulness' in 'locality' should hold"),
     (KNOWEDIT | {"locality": ["Who?"]}, "'locality' should be an object"),
     (COUNTERFACT | {"locality_prompt": 7}, "'locality_prompt' should be text, and is 7"),
     (ZSRE | {"alt": ["x"]}, "'alt' should be text")],
)  # fmt: skip
def test_a_record_that_says_nothing_to_learn_or_ask_is_named(tmp_path, record, named):
    with pytest.raises(ConfigError, match=re.escape(named)):
        edits_in(tmp_path, record)


def test_what_a_record_may_do_without(tmp_path):
    locality = {"Forgetfulness": None, "Relation_Specificity": [{"prompt": "", "ground_truth": []}]}
    record = KNOWEDIT | {"subject": None, "portability": None, "locality": locality}
    ((request,),) = edits_in(tmp_path, record | {"rephrase": ["One?", "Two?"]}).batches(1, 1, seed=0)
    assert (request.subject, request.portability) == (record["prompt"], ())
    assert request.rephrases == ("One?", "Two?")


def test_a_file_is_drawn_from_by_seed_and_no_edit_twice(tmp_path):
    rows = [{**ZSRE, "subject": f"Creek {n}", "src": f"Where is Creek {n}?"} for n in range(30)]
    edits = edits_in(tmp_path, *rows, *rows)
    batches = edits.batches(5, 3, seed=1)
    drawn = [r.rewrite_prompt for batch in batches for r in batch]
    assert [len(batch) for batch in batches] == [5, 5, 5]
    assert len(set(drawn)) == 15
    assert batches == edits.batches(5, 3, seed=1)
    assert batches != edits.batches(5, 3, seed=2)
    with pytest.raises(ConfigError, match="30 different edits, 31 were asked for"):
        edits.batches(31, 1, seed=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("[]", "holds no edits"), ("[1]", "holds no edits"),
     ('{"a": 1}', "holds no edits"), ('[{"a": 1}]', "in no format known here"),
     (json.dumps([ZSRE, {"subject": "x", "src": "y"}]), "record 1 is not in the form of zsRE: it has no")],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "edits.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        edit_sets.load(str(path))
    with pytest.raises(ConfigError, match="no edit set at"):
        edit_sets.load(str(tmp_path / "none.json"))


@pytest.mark.data
@pytest.mark.parametrize("name", ["zsre_3k", "counterfact_3k"])
def test_the_public_sets_can_be_drawn_from(name):
    beside_the_project = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("ICE_EDIT_SETS", beside_the_project)) / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not here (its folder may be given as $ICE_EDIT_SETS)")
    edits = edit_sets.load(str(path))
    (batch,) = edits.batches(1000, 1, seed=0)
    assert all(r.rewrite_prompt and r.target and r.rephrases for r in batch)
    assert all(edits.beside[r.fact_id] for r in batch)


# -- the run -------------------------------------------------------------------------------------------------

SMALL = EditSettings(
    steps=2, steps_per_fact=0, samples=1, anchors=4, anchor_rows=2, lesson_rows=8, survey_texts=32,
    survey_questions=32,
)  # fmt: skip
PEOPLE = ("Anna Berg", "Jan Bakker", "Mei Lin", "Ole Lund", "Sam Okafor", "Nora Vik")


@pytest.fixture
def wanted(tmp_path):
    requests = tuple(
        edit_request.request(name, "home", ("Lisbon",), fact_id=f"e{n}") for n, name in enumerate(PEOPLE)
    )
    edits = EditSet(
        name="people", draw=lambda n, seed: requests[:n],
        beside={"e0": ((LOCALITY_UNRELATED, "Who is it?"),)},
        survey=lambda seed: Survey(texts=(), questions=("Where does Liv Dal live?",), names=()),
        texts=lambda model: [[1, 5, 6, 7, 8, 9]] * 4,
    )  # fmt: skip
    config = Config(edit=SMALL)
    return Wanted(
        edit_set=edits, variants=variants.parse("base,ft-m,ice,oracle", config), sizes=[2], batches=3,
        seeds=[0], folder=tmp_path / "bench" / "run",
    )  # fmt: skip


class Loading:
    """Loads a tiny model and remembers with which rank."""

    def __init__(self):
        self.ranks = []

    def __call__(self, lora):
        self.ranks.append(lora.rank)
        return tiny_model(lora=lora, is_terse=True)


def measured(wanted, load=None):
    return run.run(wanted, Config(edit=SMALL), load or Loading())


def test_a_sequence_is_scored_after_each_batch_with_everything_before_it(wanted):
    *_, ice, oracle = measured(wanted)
    assert [len(step.retained) for step in ice.steps] in ([1, 2], [1, 2, 3])
    assert all(rate.asked == 2 for step in ice.steps for rate in step.retained)
    assert ice.steps[0].losses
    assert ice.steps[0].norm > 0
    assert ice.steps[0].stages.keys() == {
        "recall", "lessons", "anchors", "curvature", "training",
    }  # fmt: skip
    assert oracle.steps[0].steps == 0


def test_a_sequence_whose_retention_is_gone_is_broken_off(wanted):
    base, *_ = measured(wanted)
    assert len(base.steps) == 2 < base.batches


def test_nothing_of_a_method_is_left_for_the_next(wanted):
    alone = measured(replace(wanted, variants=[v for v in wanted.variants if v.name == "oracle"],
                             folder=wanted.folder / "alone"))  # fmt: skip
    after_others = measured(wanted)[-1]
    assert [step.scores for step in after_others.steps] == [step.scores for step in alone[0].steps]


def test_a_run_goes_on_where_it_was(wanted, monkeypatch):
    first = measured(wanted)

    load = Loading()
    assert measured(wanted, load) == first
    assert load.ranks == [], "nothing is left to measure"
    (wanted.folder / run.RUNS / "ft-m-2x3-seed0.json").write_text("{half", encoding="utf-8")
    again = measured(wanted, load)
    assert len(load.ranks) == 1
    assert [r.method for r in again] == [r.method for r in first]
    assert [step.scores for r in again for step in r.steps] == [
        step.scores for r in first for step in r.steps
    ]


def test_a_sequence_that_is_broken_off_goes_on_from_its_last_batch(wanted, monkeypatch):
    wanted = replace(wanted, variants=[v for v in wanted.variants if v.name == "ice"])
    whole = measured(replace(wanted, folder=wanted.folder / "whole"))[0]
    assert len(whole.steps) > 1, "or nothing can go on"
    learn, taught = METHODS["ice"], []

    def breaking_off(task):
        taught.append(task.candidate_id)
        if len(taught) == 2:
            raise KeyboardInterrupt
        return learn(task)

    monkeypatch.setitem(METHODS, "ice", breaking_off)
    with pytest.raises(KeyboardInterrupt):
        measured(wanted)
    again = measured(wanted)[0]
    assert taught[:3] == ["bench-0", "bench-1", "bench-1"]
    assert [s.scores for s in again.steps] == [s.scores for s in whole.steps]
    assert [s.losses for s in again.steps] == [s.losses for s in whole.steps]
    assert not [path for path in (wanted.folder / run.RUNS).iterdir() if path.is_dir()]
    rows = (wanted.folder / run.RUNS / "ice-2x3-seed0.transcripts.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(row)["batch"] for row in rows} == set(range(len(again.steps)))


def test_what_was_kept_of_a_sequence_and_is_damaged_is_measured_again(wanted, monkeypatch):
    wanted = replace(wanted, variants=[v for v in wanted.variants if v.name == "ice"])
    first = measured(wanted)[0]
    damaged = wanted.folder / run.RUNS / "ice-2x3-seed0"
    damaged.mkdir()
    (damaged / run.SO_FAR).write_text('{"steps": [], "transcripts": [], "adapter_id": "bench-7"}')
    damaged.with_suffix(".json").unlink()
    assert [s.scores for s in measured(wanted)[0].steps] == [s.scores for s in first.steps]


def test_another_shape_of_adapter_gets_its_own_model(wanted):
    load = Loading()
    chosen = variants.parse("ice,ice:rank=4", Config(edit=SMALL))
    measured(replace(wanted, variants=chosen, batches=1), load)
    assert load.ranks == [64, 4]


def test_the_transcripts_of_every_probe_lie_beside_the_figures(wanted):
    ice = next(r for r in measured(wanted) if r.method == "ice")
    path = wanted.folder / run.RUNS / "ice-2x3-seed0.transcripts.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {row["batch"] for row in rows} == set(range(len(ice.steps)))
    assert any(row["prompt"] == "Who is it?" for row in rows), "a probe that the set brings with it"
    of_first = [row for row in rows if row["batch"] == 0 and row["kind"] == "edit_success"]
    assert sum(row["is_hit"] for row in of_first) == ice.steps[0].scores.edit_success.hits


def test_a_folder_belongs_to_one_run(wanted):
    settings = run.settings(wanted.edit_set, Config(edit=SMALL))
    run.claim_folder(wanted.folder, settings)
    run.claim_folder(wanted.folder, settings)
    other = run.settings(wanted.edit_set, Config())
    with pytest.raises(ConfigError, match="other settings"):
        run.claim_folder(wanted.folder, other)
    seed = run.settings(wanted.edit_set, Config(edit=SMALL.model_copy(update={"seed": 5})))
    assert seed == settings, "seeds may be added to a run"


def test_the_settings_that_differ_are_named(wanted):
    run.claim_folder(wanted.folder, run.settings(wanted.edit_set, Config(edit=SMALL)))
    other = run.settings(wanted.edit_set, Config(edit=SMALL.model_copy(update={"steps": 9, "samples": 3})))
    with pytest.raises(ConfigError, match=r"other settings: edit\.samples, edit\.steps \("):
        run.claim_folder(wanted.folder, other)
    (wanted.folder / run.SETTINGS).write_bytes(b"\xff{")
    with pytest.raises(ConfigError, match=r"other settings \("):
        run.claim_folder(wanted.folder, other)


@pytest.mark.parametrize("damage", ["half", "binary", "no steps", "another's"])
def test_figures_that_cannot_be_read_or_are_anothers_are_measured_again(wanted, damage):
    wanted = replace(wanted, variants=[v for v in wanted.variants if v.name == "base"], batches=2)
    (first,) = measured(wanted)
    path = wanted.folder / run.RUNS / "base-2x2-seed0.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    damaged = {
        "half": b"{half", "binary": b"\xff", "no steps": json.dumps(kept | {"steps": []}).encode(),
        "another's": json.dumps(kept | {"seed": 1}).encode(),
    }  # fmt: skip
    path.write_bytes(damaged[damage])
    load = Loading()
    (again,) = measured(wanted, load)
    assert load.ranks
    assert [step.scores for step in again.steps] == [step.scores for step in first.steps]


def test_a_folder_belongs_to_the_contents_of_its_files(tmp_path):
    record = {"subject": "Anna", "src": "Where does Anna live?", "rephrase": "Anna lives where?",
              "alt": "Lyon", "loc": "nq question: who is it"}  # fmt: skip
    edits, text = tmp_path / "edits.json", tmp_path / "text.txt"

    def settings():
        return run.settings(edit_sets.load(str(edits)), Config(edit=SMALL), text)

    edits.write_text(json.dumps([record]), encoding="utf-8")
    text.write_text("One text.", encoding="utf-8")
    run.claim_folder(tmp_path / "run", settings())
    for path, content in ((edits, json.dumps([record | {"alt": "Nice"}])), (text, "Another text.")):
        before = path.read_text(encoding="utf-8")
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError, match="other settings"):
            run.claim_folder(tmp_path / "run", settings())
        path.write_text(before, encoding="utf-8")
        run.claim_folder(tmp_path / "run", settings())


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_text_for_covariances_that_cannot_be_read_is_named(tmp_path, wanted, content):
    text = tmp_path / "text.txt"
    if content:
        text.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot read .*text\.txt"):
        run.settings(wanted.edit_set, Config(edit=SMALL), text)


def test_a_folder_belongs_to_the_weights_of_one_model(wanted):
    wanted = replace(wanted, variants=[v for v in wanted.variants if v.name == "base"])
    first = measured(wanted)
    other = replace(wanted, batches=2)
    with pytest.raises(ConfigError, match="model with other weights"):
        measured(other, lambda lora: tiny_model(lora=lora, seed=1, is_terse=True))
    assert measured(wanted) == first, "what was measured is still there"


# -- the report ----------------------------------------------------------------------------------------------


@pytest.fixture
def runs():
    losses = {"losses": (3.0, 1.0), "anchor_losses": (0.1, 0.2), "stages": {"training": 1.0}, "tokens": 10}
    rates = [Rate(hits=n, asked=4) for n in (3, 4)]
    return [
        a_run(a_step(**losses), a_step(retained=tuple(rates), **losses)),
        a_run(a_step(), a_step(retained=tuple(rates)), method="<b>ft-m</b>"),
    ]


def test_the_report_is_one_object_that_any_reader_of_json_takes(runs, wanted):
    found = json.loads(json.dumps(report.as_json(runs, wanted, Config()), allow_nan=False))
    assert set(found["methods"]) == {"ice", "<b>ft-m</b>"}
    retention = found["methods"]["ice"]["retention"]
    assert (retention["hits"], retention["asked"], retention["mean"]) == (3, 4, 0.75)
    assert found["methods"]["ice"]["portability"]["mean"] is None
    assert found["sizes"]["20"]["retention_matrix"]["ice"] == [[1.0], [0.75, 1.0]]
    assert found["sizes"]["20"]["after_each_batch"]["ice"]["fluency"] == [1.0, 1.0]


def test_the_report_is_written_in_three_forms(runs, wanted):
    wanted.folder.mkdir(parents=True)
    paths = report.write(runs, wanted, Config(), "{}")
    assert [path.name for path in paths] == ["report.json", "report.md", "report.html"]
    markdown, page = (path.read_text(encoding="utf-8") for path in paths[1:])
    assert "| ice | " in markdown
    assert "0.750" in markdown
    drawn = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawn) == 5, "comparison, cost, sequence, heat map, curves"
    for svg in drawn:
        ElementTree.fromstring(svg)


def test_the_page_needs_nothing_from_elsewhere_and_takes_no_markup_from_a_name(runs, wanted):
    wanted.folder.mkdir(parents=True)
    page = report.write(runs, wanted, Config(), "{}")[2].read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!#)', page.replace("xlink:href", "xlink")), "no file, no address"
    assert "<script" not in page
    assert "<b>" not in page


def test_one_method_is_shown_with_all_its_metrics():
    (table, *_) = report.tables([a_run(a_step(Rate(hits=3, asked=4)))])
    assert ("edit success", "0.750", "0.301 - 0.954", "3 / 4") in table.rows
    assert ("portability", "-", "", "") in table.rows


# -- edits of the world --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 20, 100, 1000, 5000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_batch_is_about_so_many_different_slots(n, seed):
    requests = world_edits.draw(WORLD, n, seed)
    assert len(requests) == n
    assert len({(r.subject, r.relation) for r in requests}) == n
    assert len({r.fact_id for r in requests}) == n


@pytest.mark.parametrize("n", [20, 100])
def test_half_override_what_the_model_knows_and_half_are_new(n):
    requests = world_edits.draw(WORLD, n, seed=0)
    overriding = [r for r in requests if (r.subject, r.relation) in WORLD.facts]
    assert len(overriding) == n // 2
    for r in overriding:
        old = relations.answer(r.subject, r.relation, WORLD.facts[r.subject, r.relation])
        assert not relations.same_answer(r.target, old)


def test_some_are_in_the_first_person():
    assert sum(r.subject == USER for r in world_edits.draw(WORLD, 20, seed=0)) == 2


def test_a_seed_is_a_batch():
    assert world_edits.draw(WORLD, 20, seed=1) == world_edits.draw(WORLD, 20, seed=1)
    assert world_edits.draw(WORLD, 20, seed=1) != world_edits.draw(WORLD, 20, seed=2)


def test_every_consequence_has_its_truth():
    requests = world_edits.draw(WORLD, 100, seed=0)
    assert sum(len(r.portability) for r in requests) > 50
    assert all(len(r.portability) == len(r.portability_answers) for r in requests)


def test_the_truth_of_a_consequence_follows_from_the_world_and_the_edit():
    home = {r.rewrite_prompt: r for r in world_edits.draw(WORLD, 100, seed=0) if r.relation == "home"}
    known = [r for r in home.values() if r.subject != USER and r.target in WORLD.country_of]
    assert known
    for r in known:
        truth = dict(zip(r.portability, r.portability_answers, strict=True))
        assert truth[f"What is the home country of {r.subject}?"] == (WORLD.country_of[r.target],)


def test_the_world_is_surveyed_in_forms_set_aside():
    survey = world_edits.survey(WORLD, seed=0, n_questions=50)
    trained = {q for slot in WORLD.facts for q in relations.asked(*slot)}
    assert len(survey.questions) == 50
    assert not trained & set(survey.questions)
    assert survey == world_edits.survey(WORLD, seed=0, n_questions=50)


def test_the_names_of_a_kind_are_of_that_kind():
    survey = world_edits.survey(WORLD, seed=0, n_questions=10)
    for kind, names in (("country", WORLD.countries), ("person", WORLD.people), ("company", WORLD.companies)):
        probed, anchored = set(survey.probed_names(kind)), set(survey.anchored_names(kind))
        assert probed | anchored == set(names)
        assert probed
        assert not probed & anchored
