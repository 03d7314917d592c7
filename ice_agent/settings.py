"""The sections of config.toml: every setting with its type, its limits and its default."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from memory import CHAT, USER, HookEvent


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


def _tells_tenants_apart(template: str) -> str:
    fields = FIELD.findall(_fills(template))
    if unknown := sorted({*fields} - {*PUBLISHED_AS}):
        raise ValueError(f"there is no {{{unknown[0]}}}: write {{{'}, {'.join(PUBLISHED_AS)}}}")
    if not fields:
        raise ValueError(f"{template!r} is the same for all tenants: write {{tenant}} in it")
    return template


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

PUBLISHED_AS = ("tenant", "tenant_id", "adapter")
"""What the name of a published adapter may be made of."""

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
NameTemplate = Annotated[str, AfterValidator(_tells_tenants_apart)]


def _noun(relation: str) -> str:
    return " ".join(relation.casefold().replace("_", " ").split())


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class AgentSettings(Section):
    """Who remembers, and what every prompt starts with."""

    tenant: Name = "default"
    system_prompt: str = ""
    max_recalled: CountOrZero = 20
    max_recalled_tokens: Count = 1000
    max_answer_tokens: Count = 64


class RecallSettings(Section):
    """How facts are found that only the prompt can serve."""

    embeddings: Embeddings = ""


class StoreSettings(Section):
    """Where the facts are."""

    url: DatabaseUrl = "sqlite:///ice_agent.db"


class LedgerSettings(Section):
    """Who signs where the ledger ends, and where the signed checkpoints are: neither in the database."""

    key: Folder = Path("ledger.key")
    checkpoints: Folder = Path("checkpoints")


class AdaptersSettings(Section):
    """Where the weights are."""

    dir: Folder = Path("adapters")
    keep: Count = 5
    keep_days: CountOrZero = 30
    keep_rejected_days: CountOrZero = 7


class ModelSettings(Section):
    """The base model and what it runs on."""

    name: Name = "reference"
    revision: str = ""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Device = "auto"
    prompts: Literal["chat", "plain"] = "chat"
    threads: CountOrZero = 1


class Collect(Section):
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


class LoraSettings(Section):
    """The shape of an adapter; fixed for a lineage."""

    rank: Count = 64
    alpha: Count = 128
    layers: Literal["all-linear", "mlp"] = "all-linear"


class EditSettings(Section):
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


class SuiteSettings(Section):
    """A file of probes that somebody brought, and what a candidate must reach on it."""

    name: SuiteName
    path: File
    tenants: Names = ()
    min: Share = 0.9
    max_drop: Share | None = None
    max_ratio: Positive = 1.1
    min_probes: Count = 1


class Guards(Section):
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


class CycleSettings(Section):
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


class ScheduleSettings(Section):
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


class WorkerSettings(Section):
    """Where `ice-agent worker` runs cycles, and how many at a time."""

    executor: Literal["process", "processes", "ray"] = "process"
    workers: Count = 1

    @model_validator(mode="after")
    def _one_process_runs_one_cycle(self) -> Self:
        if self.executor == "process" and self.workers > 1:
            raise ValueError('workers = 1 is all that one process has: set executor = "processes" or "ray"')
        return self


class EngineSettings(Section):
    """How answers are written: many at a time, of many tenants, on one base model."""

    max_rows: Count = 16
    max_waiting: CountOrZero = 64
    adapters_megabytes: Positive = 1024.0
    prefixes_megabytes: NotNegative = 256.0


class ServerSettings(Section):
    """Where `ice-agent serve` listens, and what a request may ask of it."""

    host: Name = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8321
    max_body_kilobytes: Count = 1024
    max_answer_tokens: Count = 1024
    shutdown_seconds: Positive = 30.0


class _SourceSettings(Section):
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


class RefreshSettings(Section):
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


class LoggingSettings(Section):
    """How much is logged, and how a line looks."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    format: Literal["text", "json"] = "text"


class MetricsSettings(Section):
    """Where `ice-agent run` shows its figures to Prometheus."""

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    host: Name = "127.0.0.1"
    per_tenant: bool = False


class HooksSettings(Section):
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


class PublishSettings(Section):
    """The outside engine that is given what is promoted, by the tenants' names."""

    engine: Literal["", "vllm", "sglang"] = ""
    # Kept out of the repr, because it may hold a password.
    url: Annotated[str, _like(r"(https?://[^\s/]+\S*)?", "http://localhost:8000"), Field(repr=False)] = ""
    adapters_dir: str = ""
    name: NameTemplate = "{tenant}"
    key_env: Name = "ICE_PUBLISH_KEY"
    generate: bool = False
    timeout_seconds: Positive = 60.0
    attempts: Count = 10
    retry_seconds: Positive = 5.0

    @model_validator(mode="after")
    def _an_engine_is_somewhere(self) -> Self:
        if self.engine and not self.url:
            raise ValueError(f'engine = "{self.engine}" is nowhere: set url, such as http://localhost:8000')
        if self.generate and not self.engine:
            raise ValueError('generate = true needs an engine: set engine = "vllm" or "sglang"')
        return self
