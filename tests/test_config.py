from __future__ import annotations

import json
import tomllib
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ice_agent.config import Config, load
from ice_agent.errors import ConfigError
from ice_agent.settings import SOURCES, SuiteSettings


@pytest.fixture
def written(tmp_path):
    """Writes a config file and says where it is."""

    def write(text):
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_shipped_file_says_what_the_defaults_are(project_dir):
    assert load(project_dir / "config.toml") == Config()


def test_the_shipped_file_states_every_setting_and_no_other(project_dir):
    stated = tomllib.loads((project_dir / "config.toml").read_text(encoding="utf-8"))
    assert {section: set(values) for section, values in stated.items()} == {
        section: set(type(values).model_fields) for section, values in Config()
    }


def test_every_setting_in_the_shipped_file_has_a_comment(project_dir):
    lines = (project_dir / "config.toml").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if " = " in line and "#" not in line] == []


def test_the_suite_that_is_shown_as_a_comment_states_every_setting(project_dir, written):
    lines = (project_dir / "config.toml").read_text(encoding="utf-8").splitlines()
    start = lines.index("# [[guards.suites]]")
    shown = [line.removeprefix("# ") for line in takewhile(lambda line: line.startswith("# "), lines[start:])]
    (suite,) = load(written("\n".join(shown))).guards.suites
    assert suite.model_fields_set == set(SuiteSettings.model_fields)
    needed = {"name": suite.name, "path": "any.jsonl"}
    as_default = SuiteSettings.model_validate(needed)
    assert suite.model_copy(update={"max_drop": None, "path": as_default.path}) == as_default


def test_the_source_that_is_shown_as_a_comment_states_every_setting_of_every_kind(project_dir):
    lines = (project_dir / "config.toml").read_text(encoding="utf-8").splitlines()
    start = lines.index("# [[refresh.sources]]") + 1
    shown = takewhile(lambda line: line.startswith("# "), lines[start:])
    stated = tomllib.loads("\n".join(line.removeprefix("# ") for line in shown))
    defaults = {
        name: list(field.default) if isinstance(field.default, tuple) else field.default
        for kind in SOURCES.values()
        for name, field in kind.model_fields.items()
        if not field.is_required()
    }
    needed = {name for kind in SOURCES.values() for name in kind.model_fields} - set(defaults)
    assert set(stated) == needed | set(defaults)
    assert {name: stated[name] for name in defaults} == defaults


def test_a_suite_that_names_tenants_judges_those_alone(written):
    text = "[[guards.suites]]\nname = '{}'\npath = 'any.jsonl'\n{}\n"
    config = load(written(text.format("all", "") + text.format("anns", "tenants = ['ann']")))
    names = {who: [suite.name for suite in config.of(who).guards.suites] for who in ("ann", "bob")}
    assert names == {"ann": ["all", "anns"], "bob": ["all"]}
    assert config.of("ann").of("ann") == config.of("ann") == config


def test_without_a_file_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load() == Config()


def test_a_file_in_the_working_directory_is_found(written, monkeypatch):
    monkeypatch.chdir(written("[edit]\nsteps = 7").parent)
    assert load().edit.steps == 7


def test_the_environment_overrides_the_file(written, monkeypatch):
    monkeypatch.setenv("ICE_EDIT__STEPS", "9")
    assert load(written("[edit]\nsteps = 7\nseed = 3")).edit.model_dump(include={"steps", "seed"}) == {
        "steps": 9,
        "seed": 3,
    }


@pytest.mark.parametrize(
    ("variable", "text", "section", "setting", "value"),
    [
        ("ICE_STORE__URL", "postgresql://u:p@h/d", "store", "url", "postgresql://u:p@h/d"),
        ("ICE_EDIT__LEARNING_RATE", "1e-3", "edit", "learning_rate", 0.001),
        ("ICE_COLLECT__SENSITIVE_RELATIONS", '["salary"]', "collect", "sensitive_relations", ("salary",)),
        ("ICE_AGENT__TENANT", "42", "agent", "tenant", "42"),
    ],
)
def test_a_variable_is_read_as_its_setting_wants_it(
    variable, text, section, setting, value, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, text)
    assert getattr(getattr(load(), section), setting) == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[edit]\nstep = 3", r"config.toml: no setting 'step' in \[edit\] \(did you mean 'steps'\?\)"),
        ("[edits]\nsteps = 3", r"config.toml: no section 'edits' \(did you mean 'edit'\?\)"),
        ("[edit]\nfoo = 3", r"no setting 'foo' in \[edit\] \(there are 'steps', 'steps_per_fact', "),
        ("[foo]\nx = 3", r"no section 'foo' \(there are 'agent', "),
        ("[hooks]\non_promote = 'notify'", r"\[hooks\] on_promote: write a list, with"),
        ("[edit]\nrank = 3", r"no setting 'rank' in \[edit\] \('rank' belongs to \[lora\]\)"),
        ("[model]\ntrust_remote_code = true", "no setting 'trust_remote_code'"),
        ("steps = 3", r"'steps' belongs to \[edit\]"),
        ("edit = 3", r"config.toml: \[edit\]"),
        ("[edit]\nsteps = 0", r"config.toml: \[edit\] steps: input should be greater than or equal to 1"),
        ("[edit]\nsteps = '3'", r"\[edit\] steps: input should be a valid integer"),
        ("[edit]\nsteps = true", r"\[edit\] steps: input should be a valid integer"),
        ("[edit]\nlearning_rate = nan", r"\[edit\] learning_rate: .*finite"),
        ("[guards]\nmin_rephrase = 1.5", r"\[guards\] min_rephrase: .*less than or equal to 1"),
        ("[[guards.suites]]\nname = 'a'", r"\[\[guards.suites\]\] number 1: path: field required"),
        (
            "[[guards.suites]]\nname = 'a'\npath = 'a'\nmni = 0.5",
            r"no setting 'mni' in \[\[guards.suites\]\] number 1 \(did you mean 'min'\?\)",
        ),
        (
            "[[guards.suites]]\nname = 'a'\npath = 'a'\nmin = 2.0",
            r"\[\[guards.suites\]\] number 1: min: .*less than or equal to 1",
        ),
        ("[[guards.suites]]\nname = 'my rules'\npath = 'a'", "number 1: name: write it like house-rules"),
        ("[[guards.suites]]\nname = 'a'\npath = 'a'\n" * 2, "two suites are called a: give each a name"),
        ("[guards]\nsuites = ['a.jsonl']", r"\[\[guards.suites\]\] number 1: input should be a"),
        ("[guards]\nsuites = 'a.jsonl'", r"\[guards\] suites: write a list"),
        ("[agent]\ntenant = ''", r"\[agent\] tenant"),
        ("[model]\ndevice = 'tpu'", r"\[model\] device: write it like auto, cpu, cuda or cuda:1"),
        ("[store]\nurl = 'mysql://h/d'", r"\[store\] url: write it like sqlite:///"),
        ("[collect]\nextractor = 'gpt'", r"\[collect\] extractor: write it like rules or"),
        ("[collect]\nsensitive = ['(']", r"\[collect\] sensitive: '\(' is not a regular expression"),
        ("[hooks]\non_promote = ['ftp://example.org']", r"\[hooks\] on_promote: .*begins with http://"),
        ("[hooks]\non_promote = ['https://']", r"\[hooks\] on_promote: .*begins with http://"),
        ("[hooks]\non_revert = ['notify \"ann']", r"\[hooks\] on_revert: .*cannot be read"),
        ("[hooks]\non_forget = [' ']", r"\[hooks\] on_forget: write it like notify"),
        ("[metrics]\nport = 70000", r"\[metrics\] port: "),
        ("[logging]\nlevel = 'loud'", r"\[logging\] level: input should be 'DEBUG'"),
        ("[cycle]\nmin_batch = 200", r"\[cycle\]: min_batch = 200 is more than batch_size = 100"),
        ("[schedule]\ncron = '0 3 * * *'", "set every_minutes = 0 to use cron"),
        ("[schedule]\nevery_minutes = 0\nbatch_trigger = 0", "nothing starts a cycle"),
        ("[schedule]\ncron = 'hourly'\nevery_minutes = 0", r"\[schedule\] cron: write it like 0 3"),
        ("[schedule]\nwindow = '22-6'", r"\[schedule\] window: write it like 22:00-06:00"),
        ("[edit", "config.toml is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_one_line_that_names_the_place(text, complaint, written):
    with pytest.raises(ConfigError, match=complaint) as refusal:
        load(written(text))
    assert "\n" not in str(refusal.value)


def test_a_relation_has_one_value_or_many_and_not_both(written):
    with pytest.raises(ConfigError, match="pet name is both functional and set_valued: name it in one"):
        load(written('[collect]\nfunctional = ["pet_name"]\nset_valued = ["likes", "Pet name"]'))


def test_all_wrong_settings_are_named_not_just_the_first(written):
    with pytest.raises(ConfigError, match=r"steps.*clip"):
        load(written("[edit]\nsteps = 0\nclip = 0"))


SOURCE = """
[[refresh.sources]]
name = "atlas"
kind = "csv"
location = "atlas.csv"
tenant = "world"
subject = "{country}"
relation = "capital"
object = "{capital}"
"""


def test_a_source_is_one_table_and_hides_its_location(written):
    (source,) = load(written(SOURCE)).refresh.sources
    assert (source.kind, source.max_change, source.vanished) == ("csv", 0.2, "keep")
    assert "atlas.csv" not in repr(source)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('keys = ["id"]', r"no setting 'keys' in \[\[refresh.sources\]\] number 1 \(did you mean 'key'\?\)"),
        ("trust = 2", r"\[\[refresh.sources\]\] number 1: trust: .*less than or equal to 1"),
        ("every_minutes = 5\ncron = '0 3 * * *'", "atlas has every_minutes and cron: set one of them"),
        ("valid_from = '{since'", r"valid_from: '\{since' has a brace too many"),
        (SOURCE, r"\[refresh\]: two sources are called atlas: give each a name of its own"),
        (SOURCE.replace("csv", "xml"), r"number 2: kind = 'xml' is none of 'jsonl', 'csv'"),
        (SOURCE.replace('"atlas"', '"user"'), r"number 2: name: 'user' means something else already"),
        (SOURCE.replace('"csv"', '"http"'), r"number 2: location: write it like https://"),
    ],
)
def test_a_wrong_source_is_refused_by_its_number(line, complaint, written):
    with pytest.raises(ConfigError, match=complaint):
        load(written(SOURCE + line))


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        ("ICE_EDIT__STEPS", "many", r"ICE_EDIT__STEPS: \[edit\] steps: input should be a valid integer"),
        ("ICE_EDIT__STEP", "3", "ICE_EDIT__STEP: no setting 'step'"),
        ("ICE_EDITS__STEPS", "3", r"ICE_EDITS__STEPS: no section 'edits'"),
        ("ICE_SCHEDULE__CRON", "0 3 * * *", r"ICE_SCHEDULE__CRON: \[schedule\]: every_minutes and cron"),
        ("ICE_EDIT_STEPS", "3", "ICE_EDIT_STEPS is not read: write ICE_EDIT__STEPS"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(variable, text, complaint, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError, match=complaint):
        load()


def test_a_variable_that_is_no_setting_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ICE_EDIT_SETS", "somewhere")
    assert load() == Config()


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_named(name, tmp_path):
    with pytest.raises(ConfigError, match=str(tmp_path)):
        load(tmp_path / name)


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(b'[agent]\ntenant = "\xff"')
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(path)


def test_a_config_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Config().edit.steps = 3


def test_a_database_password_is_not_shown():
    config = Config.model_validate({"store": {"url": "postgresql://ann:hunter2@host/facts"}})
    assert "hunter2" not in repr(config)


SETTINGS = [(section, setting) for section, values in Config() for setting in type(values).model_fields]
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(place=st.sampled_from(SETTINGS) | st.tuples(st.text(), st.text()), value=VALUES)
def test_whatever_stands_in_the_file_it_is_taken_or_refused_in_one_line(tmp_path_factory, place, value):
    section, setting = map(json.dumps, place)
    path = tmp_path_factory.mktemp("any") / "config.toml"
    path.write_text(f"[{section}]\n{setting} = {json.dumps(value)}")
    try:
        load(path)
        complaint = ""
    except ConfigError as error:
        complaint = str(error)
    assert "\n" not in complaint
