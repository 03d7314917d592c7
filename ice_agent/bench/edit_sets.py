"""What a benchmark teaches: the reference world at any size, or a file of edits in a format of the field.

Formats are told by their fields: KnowEdit (EasyEdit's benchmark, arXiv 2401.01286), zsRE and CounterFact.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ice_agent import relations
from ice_agent.bench import world_edits
from ice_agent.errors import ConfigError
from ice_agent.model import EditableModel
from ice_agent.probes import LOCALITY_RELATION, LOCALITY_SUBJECT, LOCALITY_UNRELATED
from ice_agent.reference import world as w
from ice_agent.survey import Survey
from memory import EditRequest

WORLD = "world"
Row = dict[str, Any]
Beside = tuple[str, str]
"""A kind of locality and a question that measures it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditSet:
    """Where batches come from, and what they are measured on beside their own probes."""

    name: str
    draw: Callable[[int, int], tuple[EditRequest, ...]]
    """So many requests for a seed. Raises ConfigError when there are not so many."""
    beside: dict[str, tuple[Beside, ...]]
    """By fact id, the locality questions that the set brings with it."""
    survey: Callable[[int], Survey] | None
    """By seed, the names and questions that locality is measured on; None: those that the base wrote."""
    texts: Callable[[EditableModel], list[list[int]]]
    """Held-out texts for perplexity; none: those that the base wrote itself."""
    digest: str = ""
    """Of the file that it was read from."""

    def batches(self, facts: int, batches: int, seed: int) -> list[tuple[EditRequest, ...]]:
        """So many batches of so many facts, all about different slots."""
        drawn = self.draw(facts * batches, seed)
        return [drawn[at : at + facts] for at in range(0, len(drawn), facts)]


def load(name: str) -> EditSet:
    """The reference world by its name, or the file at a path. Raises ConfigError for anything else."""
    return _world() if name == WORLD else _from_file(Path(name))


def _world() -> EditSet:
    world = w.build()
    return EditSet(
        name=WORLD,
        draw=lambda n, seed: world_edits.draw(world, n, seed),
        beside={},
        survey=lambda seed: world_edits.survey(world, seed),
        texts=lambda model: world_edits.texts(model, world),
    )


def _from_file(path: Path) -> EditSet:
    try:
        content = path.read_bytes()
        rows = json.loads(content)
    except OSError as error:
        raise ConfigError(
            f"no edit set at {str(path)!r}: {error.strerror} (give a JSON file, or {WORLD!r})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error} (an edit set is one JSON list)") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"{path} holds no edits: it should be a JSON list of objects")
    read, format_name = _reader(path, rows[0])
    requests, beside = [], {}
    for number, row in enumerate(rows):
        try:
            request, around = read(row, f"{path.stem}-{number}")
        except _Malformed as error:
            raise ConfigError(
                f"{path}: record {number} is not in the form of {format_name}: {error} (mend or remove it)"
            ) from error
        requests.append(request)
        beside[request.fact_id] = tuple(around)

    def draw(n: int, seed: int) -> tuple[EditRequest, ...]:
        # A subject that is asked the same twice would contradict itself.
        shuffled = random.Random(f"{path.stem}/{seed}").sample(requests, len(requests))
        distinct = list({(r.subject, r.rewrite_prompt): r for r in shuffled}.values())
        if n > len(distinct):
            raise ConfigError(
                f"{path} has {len(distinct)} different edits, {n} were asked for (lower --facts or --batches)"
            )
        return tuple(distinct[:n])

    return EditSet(
        name=path.stem, draw=draw, beside=beside, survey=None, texts=lambda model: [],
        digest=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip


# -- the formats ---------------------------------------------------------------------------------------------

Read = Callable[[Row, str], tuple[EditRequest, list[Beside]]]


def _reader(path: Path, row: Row) -> tuple[Read, str]:
    if {"src", "alt", "subject"} <= row.keys():
        return _zsre, "zsRE"
    if {"prompt", "target_new", "rephrase_prompt", "locality_prompt"} <= row.keys():
        return _counterfact, "CounterFact"
    if {"prompt", "target_new"} <= row.keys():
        return _knowedit, "KnowEdit"
    raise ConfigError(
        f"{path} is in no format known here: its first record has {', '.join(sorted(row))} "
        "(KnowEdit has prompt, target_new, portability, locality; zsRE src, alt, rephrase, loc; "
        "CounterFact prompt, target_new, rephrase_prompt, locality_prompt)"
    )


class _Malformed(ValueError):
    """A record that lacks something; the message says what."""


def _zsre(row: Row, fact_id: str) -> tuple[EditRequest, list[Beside]]:
    """zsRE as the field's repositories have it; "nq question:" before its unrelated questions is dropped."""
    rephrases = [_words(row, "rephrase")]
    request = _request(fact_id, _words(row, "subject"), _words(row, "src"), (_words(row, "alt"),), rephrases)
    unrelated = _words(row, "loc").removeprefix("nq question: ")
    return request, [(LOCALITY_UNRELATED, f"{unrelated[:1].upper()}{unrelated[1:]}?")]


def _counterfact(row: Row, fact_id: str) -> tuple[EditRequest, list[Beside]]:
    """CounterFact: prompts are openings of sentences; neighbours share the relation and the old answer."""
    prompt, target, rephrase = (_words(row, name) for name in ("prompt", "target_new", "rephrase_prompt"))
    request = _request(fact_id, _words(row, "subject"), prompt, (target,), [rephrase])
    return request, [(LOCALITY_RELATION, _words(row, "locality_prompt"))]


def _knowedit(row: Row, fact_id: str) -> tuple[EditRequest, list[Beside]]:
    """KnowEdit: portability with the answers it gives, locality with whatever the model answered before."""
    rephrases = row.get("rephrase") or row.get("rephrase_prompt") or []
    request = _request(
        fact_id,
        _words(row, "subject") if row.get("subject") else "",
        _words(row, "prompt"),
        _spellings(row, "target_new"),
        [
            _words({"rephrase": words}, "rephrase")
            for words in (rephrases if isinstance(rephrases, list) else [rephrases])
        ],
        [
            (_words(probe, "prompt"), _spellings(probe, "ground_truth"))
            for probe in _probes(row, "portability")
        ],
    )
    kinds = {"Relation_Specificity": LOCALITY_SUBJECT, "Forgetfulness": LOCALITY_RELATION}
    beside = [
        (kinds.get(probe["kind"], LOCALITY_UNRELATED), _words(probe, "prompt"))
        for probe in _probes(row, "locality")
    ]
    return request, beside


def _probes(row: Row, field: str) -> Iterator[Row]:
    """The probes of all kinds, each with its kind; one left blank asks nothing and is left out."""
    kinds = row.get(field) or {}
    if not isinstance(kinds, dict):
        raise _Malformed(f"{field!r} should be an object of kinds of probes")
    for kind, probes in kinds.items():
        for probe in probes if isinstance(probes, list) else [probes] if probes else []:
            if not isinstance(probe, dict):
                raise _Malformed(f"{kind!r} in {field!r} should hold objects with a prompt")
            if probe.get("prompt") != "":
                yield {**probe, "kind": kind}


def _words(row: Row, field: str) -> str:
    """A field's text. An edit to or from nothing would be measured as if it were one."""
    if field not in row:
        raise _Malformed(f"it has no {field!r}")
    value = row[field]
    if not isinstance(value, str) or not value.strip():
        raise _Malformed(f"{field!r} should be text, and is {json.dumps(value)[:60]}")
    return value.strip()


def _spellings(row: Row, field: str) -> tuple[str, ...]:
    """An answer: one, several that are all right, or spellings of each."""
    value = row.get(field)
    if not isinstance(value, list):
        return (_words(row, field),)
    found = [spelling for each in value for spelling in _spellings({field: each}, field)]
    if not found:
        raise _Malformed(f"{field!r} is an empty list")
    return tuple(dict.fromkeys(found))


def _request(
    fact_id: str,
    subject: str,
    prompt: str,
    targets: Sequence[str],
    rephrases: Sequence[str],
    portability: Sequence[tuple[str, tuple[str, ...]]] = (),
) -> EditRequest:
    """An edit of no named relation: the prompt with its answer is all that states it."""
    target, *aliases = targets
    statement = f"{prompt} {target}."
    return EditRequest(
        fact_id=fact_id,
        subject=subject or prompt,
        relation="",
        rewrite_prompt=prompt,
        target=target,
        aliases=tuple(aliases),
        statement=statement,
        contexts=(relations.system_message("", [statement]),),
        training_prompts=(prompt,),
        rephrases=tuple(rephrases),
        portability=tuple(question for question, _ in portability),
        portability_answers=tuple(answers for _, answers in portability),
    )
