"""Which editors a benchmark compares: a method by its name, or with some of its settings changed.

`ice:samples=0` is our editor without self-induced questions, `ice:rank=8+layers=mlp` with another adapter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ice_agent.bench.methods import ABLATED, COMPARED, METHODS
from ice_agent.config import Config
from ice_agent.errors import ConfigError
from ice_agent.settings import EditSettings, LoraSettings

ALL, ABLATIONS = "all", "ablations"

OURS_ABLATED = (
    "ice",
    "ice:weight=0",
    "ice:weight=0.5",
    "ice:weight=2",
    "ice:temperature=0.5",
    "ice:temperature=1.5",
    "ice:samples=0",
    "ice:samples=24",
    "ice:anchor_weight=0+anchor_rows=0+curvature_weight=0",
    "ice:anchor_weight=0+anchor_rows=0",
    "ice:curvature_weight=0",
    "ice:curvature_weight=30",
    "ice:curvature_weight=300",
    "ice:anchor_text_share=0",
    "ice:anchor_text_share=1",
    "ice:teacher_refresh=10",
    "ice:kl_converged=0",
    "ice:steps=30+steps_per_fact=0.6",
    "ice:rank=4",
    "ice:rank=16",
    "ice:rank=16+curvature_weight=0",
    "ice:rank=32",
    "ice:layers=mlp",
)
"""Ours with one thing changed; rehearsal and what is retained matter only in a sequence of batches."""


SHARED = {"seed", "survey_texts", "survey_questions"}
"""Settings of the whole run, and not of one method in it."""

LONGEST_NAME = 150
"""A variant's figures lie in a file of its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A method with the settings it runs with; `name` is what it was asked for by."""

    name: str
    method: str
    edit: EditSettings
    lora: LoraSettings


def parse(wanted: str, config: Config) -> list[Variant]:
    """The variants of a comma-separated list; `all` and `ablations` stand for several.

    Raises ConfigError for a method or a setting that there is not.
    """
    names: list[str] = []
    for name in (part.strip() for part in wanted.split(",")):
        names += {ALL: [*COMPARED], ABLATIONS: ["ice-paper", *ABLATED, *OURS_ABLATED]}.get(name, [name])
    return [_variant(name, config) for name in dict.fromkeys(names)]


def _variant(name: str, config: Config) -> Variant:
    method, _, changes = name.partition(":")
    if method not in METHODS:
        raise ConfigError(f"no method {method!r} (there are {', '.join(METHODS)}; or {ALL}, {ABLATIONS})")
    if len(name) > LONGEST_NAME:
        raise ConfigError(f"{name[:30]!r}... is too long a name for its files: change fewer settings at once")
    edit, lora = dict[str, Any](), dict[str, Any]()
    for change in changes.split("+") if ":" in name else ():
        setting, equals, value = change.partition("=")
        if not equals or setting not in {*EditSettings.model_fields, *LoraSettings.model_fields} - SHARED:
            raise ConfigError(
                f"no setting {setting!r} in {name!r}: write it like ice:samples=0+rank=8 (settings of "
                f"[edit] and [lora], but {', '.join(sorted(SHARED))}, which all methods share)"
            )
        (edit if setting in EditSettings.model_fields else lora)[setting] = _value(value)
    try:
        shape = LoraSettings.model_validate({**config.lora.model_dump(), **lora})
        if "alpha" not in lora:
            # The scale of an update is alpha / rank: another rank is compared at the same scale.
            alpha = round(config.lora.alpha * shape.rank / config.lora.rank)
            shape = LoraSettings.model_validate({**shape.model_dump(), "alpha": alpha})
        return Variant(
            name=name,
            method=method,
            edit=EditSettings.model_validate({**config.edit.model_dump(), **edit}),
            lora=shape,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{name!r}: {first['loc'][0]}: {first['msg']}") from error


def _value(text: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
