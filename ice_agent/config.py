"""The settings: config.toml and ICE_* variables become one frozen Config. What it does not know, it refuses.

A setting is found in three places, the later one wins: its default here, config.toml, and the environment
as ICE_<SECTION>__<SETTING>, for example ICE_EDIT__STEPS=60. Nothing else in the project reads settings.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ice_agent.errors import ConfigError, instead
from ice_agent.settings import (
    SOURCES,
    AdaptersSettings,
    AgentSettings,
    Collect,
    CycleSettings,
    EditSettings,
    EngineSettings,
    Guards,
    HooksSettings,
    LedgerSettings,
    LoggingSettings,
    LoraSettings,
    MetricsSettings,
    ModelSettings,
    PublishSettings,
    RecallSettings,
    RefreshSettings,
    ScheduleSettings,
    Section,
    ServerSettings,
    StoreSettings,
    SuiteSettings,
    WorkerSettings,
)

DEFAULT_PATH = Path("config.toml")

Settings = dict[str, Any]
"""Sections as TOML has them, before they are checked."""


class Config(Section):
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
    engine: EngineSettings = EngineSettings()
    server: ServerSettings = ServerSettings()
    refresh: RefreshSettings = RefreshSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    hooks: HooksSettings = HooksSettings()
    publish: PublishSettings = PublishSettings()

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
