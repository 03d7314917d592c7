"""The settings: config.toml and ICE_* variables become one frozen Config. What it does not know, it refuses.

A setting is found in three places, the later one wins: its default here, config.toml, and the environment
as ICE_<SECTION>__<SETTING>, for example ICE_EDIT__STEPS=60. Nothing else in the project reads settings.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from ice_agent.errors import ConfigError, instead
from memory import CHAT, USER, HookEvent

DEFAULT_PATH = Path("config.toml")

Settings = dict[str, Any]
"""Sections as TOML has them, before they are checked."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return pattern


def _fills(template: str) -> str:
    if "{" in FIELD.sub("", template) or "}" in FIELD.sub("", template):
        raise ValueError(f"{template!r} has a brace too many: write a field of the row as {{field}}")
    return template


def _is_free(name: str) -> str:
    if name in (USER, CHAT):
        raise ValueError(f"{name!r} means something else already: choose another name")
    return name


def _like(pattern: str, example: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"write it like {example}")
        return text

    return AfterValidator(check)


def _is_zone(name: str) -> str:
    try:
        if name:
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is no time zone: write one like Europe/Berlin, or nothing") from None
    return name


def _callable(hook: str) -> str:
    """A URL, or a command that can be taken apart."""
    if "://" in hook.split()[0]:
        if not re.fullmatch(r"https?://[^\s/]+\S*", hook):
            raise ValueError("a hook is a command, or a URL that begins with http:// or https://")
    else:
        try:
            shlex.split(hook)
        except ValueError as error:
            raise ValueError(f"a hook's command cannot be read: {error}") from None
    return hook


FIELD = re.compile(r"\{([^{}]+)\}")
"""A field of a source's row, where its value is put in."""

_HOUR = r"([01]\d|2[0-3]):[0-5]\d"
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]
# TOML has neither tuples nor paths, so these two are read from what it has instead.
Names = Annotated[tuple[Name, ...], Field(strict=False)]
Folder = Annotated[Path, Field(strict=False)]
File = Annotated[Path, Field(strict=False)]
Patterns = Annotated[tuple[Annotated[str, AfterValidator(_compiles)], ...], Field(strict=False)]
# Kept out of the repr, because they may hold a token.
Hooks = Annotated[
    tuple[Annotated[str, _like(r".*\S.*", "notify --quiet"), AfterValidator(_callable)], ...],
    Field(strict=False, repr=False),
]
Device = Annotated[str, _like(r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:1")]
Extractor = Annotated[str, _like(r"rules|[^:\s]+:\S+", "rules or openai:gpt-5")]
Embeddings = Annotated[str, _like(r"([^:\s]+:\S+)?", "openai:text-embedding-3-small, or nothing")]
# Kept out of the repr, because it may hold a password.
DatabaseUrl = Annotated[
    str, _like(r"(sqlite|postgresql)(\+\w+)?://.*", "sqlite:///file.db"), Field(repr=False)
]
CronLine = Annotated[str, _like(r"(\S+( +\S+){4})?", "0 3 * * *, or nothing")]
SuiteName = Annotated[str, _like(r"[\w.-]+", "house-rules")]
SourceName = Annotated[str, _like(r"[\w.-]+", "atlas-2"), AfterValidator(_is_free)]
Template = Annotated[str, Field(min_length=1), AfterValidator(_fills)]
TemplateOrNothing = Annotated[str, AfterValidator(_fills)]
JsonPath = Annotated[str, _like(r"\$.*", "$.items[*]")]
HourWindow = Annotated[str, _like(rf"({_HOUR}-{_HOUR})?", "22:00-06:00, or nothing")]

ZoneName = Annotated[str, AfterValidator(_is_zone)]


def _noun(relation: str) -> str:
    return " ".join(relation.casefold().replace("_", " ").split())


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class AgentSettings(_Section):
    """Who remembers, and what every prompt starts with."""

    tenant: Name = "default"
    system_prompt: str = ""
    max_recalled: CountOrZero = 20
    max_recalled_tokens: Count = 1000
    max_answer_tokens: Count = 64


class RecallSettings(_Section):
    """How facts are found that only the prompt can serve."""

    embeddings: Embeddings = ""


class StoreSettings(_Section):
    """Where the facts are."""

    url: DatabaseUrl = "sqlite:///ice_agent.db"


class LedgerSettings(_Section):
    """Who signs where the ledger ends, and where the signed checkpoints are: neither in the database."""

    key: Folder = Path("ledger.key")
    checkpoints: Folder = Path("checkpoints")


class AdaptersSettings(_Section):
    """Where the weights are."""

    dir: Folder = Path("adapters")
    keep: Count = 5
    keep_days: CountOrZero = 30
    keep_rejected_days: CountOrZero = 7


class ModelSettings(_Section):
    """The base model and what it runs on."""

    name: Name = "reference"
    revision: str = ""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Device = "auto"
    prompts: Literal["chat", "plain"] = "chat"
    threads: CountOrZero = 1


class Collect(_Section):
    """How facts are found in what is said, and what is never kept."""

    extractor: Extractor = "rules"
    approval: Literal["auto", "manual"] = "auto"
    min_confidence: Share = 0.0
    sensitive: Patterns = ()
    sensitive_relations: Names = ()
    sensitive_policy: Literal["refuse", "prompt"] = "refuse"
    functional: Names = ()
    set_valued: Names = ()

    @model_validator(mode="after")
    def _has_one_cardinality_for_each(self) -> Self:
        both = sorted({_noun(name) for name in self.functional} & {_noun(name) for name in self.set_valued})
        if both:
            raise ValueError(f"{', '.join(both)} is both functional and set_valued: name it in one of them")
        return self


class LoraSettings(_Section):
    """The shape of an adapter; fixed for a lineage."""

    rank: Count = 64
    alpha: Count = 128
    layers: Literal["all-linear", "mlp"] = "all-linear"


class EditSettings(_Section):
    """How a batch is learned."""

    steps: Count = 60
    steps_per_fact: NotNegative = 1.0
    learning_rate: Positive = 4e-3
    learning_rate_continued: Positive = 2e-3
    weight: NotNegative = 1.0
    temperature: Positive = 1.0
    samples: CountOrZero = 12
    lesson_rows: Count = 64
    anchor_rows: CountOrZero = 96
    anchors: CountOrZero = 2400
    anchor_text_share: Share = 0.4
    anchor_context_share: Share = 0.15
    anchor_weight: NotNegative = 4.0
    curvature_rows: Count = 800
    curvature_weight: NotNegative = 100.0
    curvature_weight_learned: NotNegative = 300.0
    survey_texts: Count = 600
    survey_questions: Count = 2400
    rehearsal: CountOrZero = 40
    retained: CountOrZero = 800
    teacher_refresh: CountOrZero = 0
    top_k: Count = 64
    clip: Positive = 0.01
    kl_converged: NotNegative = 0.05
    seed: CountOrZero = 0


class SuiteSettings(_Section):
    """A file of probes that somebody brought, and what a candidate must reach on it."""

    name: SuiteName
    path: File
    tenants: Names = ()
    min: Share = 0.9
    max_drop: Share | None = None
    max_ratio: Positive = 1.1
    min_probes: Count = 1


class Guards(_Section):
    """What a candidate must reach before it may serve."""

    min_edit_success: Share = 0.9
    min_rephrase: Share = 0.8
    min_portability: Share = 0.0
    min_locality_subject: Share = 0.8
    min_locality_relation: Share = 0.8
    min_locality_unrelated: Share = 0.95
    min_locality_unknown: Share = 0.9
    min_locality_context: Share = 0.85
    min_retention: Share = 0.9
    max_locality_kl: NotNegative = 0.1
    max_false_recall: Share = 0.02
    min_fluency_ratio: NotNegative = 0.95
    max_perplexity_ratio: Positive = 1.1
    max_median_perplexity_ratio: Positive = 1.1
    min_probes: Count = 20
    suites: Annotated[tuple[SuiteSettings, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _each_suite_has_a_name_of_its_own(self) -> Self:
        names = [suite.name for suite in self.suites]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two suites are called {', '.join(twice)}: give each a name of its own")
        return self

    def of(self, tenant: str) -> Self:
        """The guards of one tenant: a suite that names tenants judges those alone."""
        suites = tuple(suite for suite in self.suites if not suite.tenants or tenant in suite.tenants)
        return self.model_copy(update={"suites": suites})


class CycleSettings(_Section):
    """What one cycle takes, and when it gives up."""

    batch_size: Count = 100
    min_batch: Count = 1
    quarantine_after: Count = 3
    approval: Literal["auto", "manual"] = "auto"
    scalings: CountOrZero = 3
    retrainings: CountOrZero = 6
    checkpoint_seconds: NotNegative = 60.0
    lease_seconds: Count = 900

    @model_validator(mode="after")
    def _a_batch_can_be_full(self) -> Self:
        if self.min_batch > self.batch_size:
            raise ValueError(f"min_batch = {self.min_batch} is more than batch_size = {self.batch_size}")
        return self


class ScheduleSettings(_Section):
    """When `ice-agent run` and `ice-agent worker` start a cycle."""

    every_minutes: CountOrZero = 60
    cron: CronLine = ""
    batch_trigger: CountOrZero = 50
    max_age_minutes: CountOrZero = 0
    window: HourWindow = ""
    timezone: ZoneName = ""
    backoff_minutes: CountOrZero = 15
    max_backoff_minutes: CountOrZero = 1440

    @model_validator(mode="after")
    def _one_clock_at_most_one_trigger_at_least(self) -> Self:
        if self.every_minutes and self.cron:
            raise ValueError("every_minutes and cron are both set: set every_minutes = 0 to use cron")
        if not (self.every_minutes or self.cron or self.batch_trigger or self.max_age_minutes):
            raise ValueError(
                "nothing starts a cycle: set every_minutes, cron, batch_trigger or max_age_minutes"
            )
        return self


class WorkerSettings(_Section):
    """Where `ice-agent worker` runs cycles, and how many at a time."""

    executor: Literal["process", "processes", "ray"] = "process"
    workers: Count = 1

    @model_validator(mode="after")
    def _one_process_runs_one_cycle(self) -> Self:
        if self.executor == "process" and self.workers > 1:
            raise ValueError('workers = 1 is all that one process has: set executor = "processes" or "ray"')
        return self


class _SourceSettings(_Section):
    """What is read on a schedule: where, when, and which fact each of its rows tells.

    A subject, relation, object or day is text in which {field} stands for a field of the row.
    """

    name: SourceName
    # Kept out of the repr, because it may hold a password.
    location: Annotated[Name, Field(repr=False)]
    tenant: Name
    subject: Template
    relation: Template
    object: Template
    valid_from: TemplateOrNothing = ""
    valid_until: TemplateOrNothing = ""
    key: Names = ()
    trust: Share = 1.0
    vanished: Literal["keep", "retract"] = "keep"
    max_change: Share = 0.2
    every_minutes: CountOrZero = 0
    cron: CronLine = ""

    @model_validator(mode="after")
    def _one_clock_at_most(self) -> Self:
        if self.every_minutes and self.cron:
            raise ValueError(f"{self.name} has every_minutes and cron: set one of them")
        return self


class JsonlSource(_SourceSettings):
    """A file with one JSON object a line."""

    kind: Literal["jsonl"]


class CsvSource(_SourceSettings):
    """A file of rows whose first names the fields."""

    kind: Literal["csv"]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","


class HttpSource(_SourceSettings):
    """A JSON feed; the JSONPath `rows` picks its rows."""

    kind: Literal["http"]
    location: Annotated[str, _like(r"https?://\S+", "https://example.org/feed.json"), Field(repr=False)]
    rows: JsonPath = "$[*]"
    timeout_seconds: Positive = 30.0
    max_megabytes: Positive = 64.0


class SqlSource(_SourceSettings):
    """What a query of a database finds; its columns are the fields."""

    kind: Literal["sql"]
    location: Annotated[str, _like(r"\w+(\+\w+)?://.*", "sqlite:///file.db"), Field(repr=False)]
    query: Name


SourceSettings = JsonlSource | CsvSource | HttpSource | SqlSource
SOURCES: Final[dict[str, type[_SourceSettings]]] = {
    "jsonl": JsonlSource,
    "csv": CsvSource,
    "http": HttpSource,
    "sql": SqlSource,
}


class RefreshSettings(_Section):
    """What is read on a schedule, besides what is said."""

    sources: Annotated[
        tuple[Annotated[SourceSettings, Field(discriminator="kind")], ...], Field(strict=False)
    ] = ()

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Self:
        names = [source.name for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources are called {', '.join(twice)}: give each a name of its own")
        return self


class LoggingSettings(_Section):
    """How much is logged, and how a line looks."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    format: Literal["text", "json"] = "text"


class MetricsSettings(_Section):
    """Where `ice-agent run` shows its figures to Prometheus."""

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    host: Name = "127.0.0.1"
    per_tenant: bool = False


class HooksSettings(_Section):
    """Who is told when adapters and facts change their state: commands, and URLs that get a signed POST."""

    on_promote: Hooks = ()
    on_reject: Hooks = ()
    on_quarantine: Hooks = ()
    on_revert: Hooks = ()
    on_forget: Hooks = ()
    secret_env: Name = "ICE_HOOKS_SECRET"
    timeout_seconds: Positive = 10.0
    attempts: Count = 10
    retry_seconds: Positive = 5.0

    @property
    def of(self) -> dict[HookEvent, tuple[str, ...]]:
        """The hooks of each event that has any."""
        hooks = {
            HookEvent.PROMOTED: self.on_promote,
            HookEvent.REJECTED: self.on_reject,
            HookEvent.QUARANTINED: self.on_quarantine,
            HookEvent.REVERTED: self.on_revert,
            HookEvent.FORGOTTEN: self.on_forget,
        }
        return {event: called for event, called in hooks.items() if called}


class Config(_Section):
    """Every setting of an agent. `Config()` is what the shipped config.toml says."""

    agent: AgentSettings = AgentSettings()
    recall: RecallSettings = RecallSettings()
    store: StoreSettings = StoreSettings()
    ledger: LedgerSettings = LedgerSettings()
    adapters: AdaptersSettings = AdaptersSettings()
    model: ModelSettings = ModelSettings()
    collect: Collect = Collect()
    lora: LoraSettings = LoraSettings()
    edit: EditSettings = EditSettings()
    guards: Guards = Guards()
    cycle: CycleSettings = CycleSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    worker: WorkerSettings = WorkerSettings()
    refresh: RefreshSettings = RefreshSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    hooks: HooksSettings = HooksSettings()

    def of(self, tenant: str) -> Self:
        """The settings as they concern one tenant."""
        return self.model_copy(update={"guards": self.guards.of(tenant)})


def load(path: Path | None = None) -> Config:
    """The settings of `path`, else of ./config.toml, else the defaults; the environment overrides them.

    Raises ConfigError with every wrong setting in one line.
    """
    settings = _read(path)
    overridden = _override(settings)
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        problems = [_explain(detail, path or DEFAULT_PATH, overridden) for detail in error.errors()]
        raise ConfigError("; ".join(problems)) from None


def _read(path: Path | None) -> Settings:
    if path is None and not DEFAULT_PATH.exists():
        return {}
    path = path or DEFAULT_PATH
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no config file at {path}: create it, or name none to use the defaults") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _override(settings: Settings) -> dict[tuple[str, str], str]:
    """Put the ICE_* variables into the settings; says which variable each of them came from."""
    overridden = {}
    for variable, section, setting, text in _variables():
        values = settings.setdefault(section, {})
        if isinstance(values, dict):
            values[setting] = _value(section, setting, text)
            overridden[section, setting] = variable
    return overridden


def _variables() -> Iterator[tuple[str, str, str, str]]:
    for variable, text in sorted(os.environ.items()):
        if not variable.startswith("ICE_"):
            continue
        name = variable.removeprefix("ICE_").lower()
        section, separator, setting = name.partition("__")
        if separator:
            yield variable, section, setting, text
        elif name in {f"{section}_{setting}" for section, setting in _known()}:
            section = name.split("_", 1)[0]
            correct = f"ICE_{section}__{name.removeprefix(section + '_')}".upper()
            raise ConfigError(f"{variable} is not read: write {correct}, with two underscores")


def _value(section: str, setting: str, text: str) -> Any:
    """The text of a variable as TOML would read it: 3, 0.5, true, ["a"]; a text setting needs no quotes."""
    default = getattr(getattr(Config(), section, None), setting, "")
    if isinstance(default, str | Path):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(detail: ErrorDetails, path: Path, overridden: dict[tuple[str, str], str]) -> str:
    where = tuple(str(part) for part in detail["loc"][:2])
    variables = [variable for place, variable in overridden.items() if place[: len(where)] == where]
    source = ", ".join(variables) or str(path)
    section, setting = where if len(where) == 2 else (where[0], "")
    if where in (("guards", "suites"), ("refresh", "sources")) and len(detail["loc"]) > 2:
        return f"{source}: {_explain_entry(detail)}"
    if detail["type"] == "extra_forbidden":
        return f"{source}: {_unknown(section, setting)}"
    return f"{source}: {f'[{section}] {setting}'.rstrip()}: {_message(detail)}"


def _explain_entry(detail: ErrorDetails) -> str:
    """Which of the tables [[guards.suites]] or [[refresh.sources]] is meant, and what in it."""
    section, table, number, *inside = detail["loc"]
    place = f"[[{section}.{table}]] number {int(number) + 1}"
    # Of a source its kind stands before its setting.
    known = SOURCES[str(inside.pop(0))] if table == "sources" and inside else SuiteSettings
    if detail["type"] == "extra_forbidden":
        setting = str(inside[0])
        return f"no setting {setting!r} in {place} ({instead(setting, known.model_fields)})"
    setting = "".join(f": {name}" for name in inside[:1])
    return f"{place}{setting}: {_message(detail)}"


def _message(detail: ErrorDetails) -> str:
    """What is wrong, in the words of a settings file, which has lists and no tuples."""
    if detail["type"] == "tuple_type":
        return "write a list, with [ ] around it"
    if detail["type"] == "union_tag_invalid":
        return f"kind = {detail['ctx']['tag']!r} is none of {detail['ctx']['expected_tags']}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}"


def _unknown(section: str, setting: str) -> str:
    name = setting or section
    what = f"no setting {setting!r} in [{section}]" if setting else f"no section {section!r}"
    for home, known in _known():
        if known == name:
            return f"{what} ({name!r} belongs to [{home}])"
    names = [known for home, known in _known() if home == section] if setting else list(Config.model_fields)
    return f"{what} ({instead(name, names)})"


def _known() -> list[tuple[str, str]]:
    return [(section, setting) for section, values in Config() for setting in type(values).model_fields]
