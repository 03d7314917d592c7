"""What an adapter does to the answers, measured by free generation only: greedy, natural stop, exact match.

A suite is prepared once per batch: probes, and what is expected of them by the root (locality), by the root
with the fact in its prompt (portability) or by whoever brought them (guard suites). Then parent and candidate
are scored on it. No decisions here.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ice_agent import relations
from ice_agent.distribution import Distribution, kl_from
from ice_agent.model import EditableModel, Ids
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
    SUITE,
    Probe,
)
from ice_agent.suites import GuardSuite
from ice_agent.survey import (
    Survey,
    invented,
    mentions,
    names_in,
    objects,
    same_relation,
    same_subject,
    with_user,
)
from ice_agent.turns import asking
from memory import USER, EditRequest, Evaluation, Rate, Scores, SuiteScores, Transcript

# How a model says that it was never told.
UNKNOWN = re.compile(
    r"\b(?:do not|don't|does not|doesn't|cannot|can't) (?:know|say|tell)\b|\bunknown\b|\bnot sure\b",
    re.IGNORECASE,
)

MAX_ANSWER_TOKENS = 32

# The texts of a guard suite are cut. So many pieces take the memory that the survey's texts, all short, take.
PIECE_TOKENS, PIECES_AT_ONCE = 128, 12

# Next tokens that are kept of the root's distribution; the rest counts as one.
KEPT_TOKENS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardProbes:
    """A guard suite as this model reads it, and how the root does on it."""

    name: str
    probes: tuple[Probe, ...]
    answer_tokens: int
    """What an answer may take: the longest that is expected must fit."""
    n_texts: int
    pieces: tuple[tuple[int, ...], ...]
    """Of the texts, which are of any length."""
    root_losses: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Everything that one batch is measured by."""

    probes: tuple[Probe, ...]
    texts: tuple[tuple[int, ...], ...]
    openings: tuple[tuple[int, ...], ...]
    oracle_right: Rate
    """Portability probes that the in-context oracle gets right."""
    root_wrong: Rate
    """Of those, the ones that the root gets wrong: only they are asked."""
    root_fluency: float
    root_losses: tuple[float, ...]
    root_next: Distribution | None = field(compare=False)
    """What the root says of the first token of an answer to each locality probe, in their order."""
    seed: int
    """Of the sampled continuations: the same for every adapter, or their fluency could not be compared."""
    guard_probes: tuple[GuardProbes, ...] = ()


def prepare(
    model: EditableModel,
    *,
    root_id: str | None,
    requests: Sequence[EditRequest],
    learned: Sequence[EditRequest] = (),
    at_risk: Collection[str] = (),
    taught: frozenset[tuple[str, str]] = frozenset(),
    survey: Survey,
    texts: Sequence[Sequence[int]] = (),
    beside: Sequence[tuple[str, str]] = (),
    guard_suites: Sequence[GuardSuite] = (),
    per_kind: int = 200,
    seed: int = 0,
) -> Suite:
    """The probes of a batch. `taught` are all slots that this lineage learned: no locality probe touches one.

    Of what was learned before, `per_kind` facts drawn at random are asked again, and those `at_risk` (fact
    ids): so that measuring costs the same after ten thousand facts.

    `texts` are held-out texts for perplexity; without them, texts that the base wrote and no edit trained on.
    `beside` are questions that an edit set brings with it, each with the kind of locality it measures.
    `guard_suites` are asked whole.
    """
    rng = random.Random(seed)
    slots = taught | {(r.subject, r.relation) for r in (*requests, *learned)}
    names = {subject for subject, _ in slots if subject != USER}
    ids = [tuple(t) for t in texts or survey.probed_texts]
    touched = relations.touched(slots)
    held_out = [t for t in ids if not mentions(model.decode(t), touched)][:per_kind]
    openings = [t[:6] for t in held_out[:48]]
    with model.using(root_id):
        portability, oracle_right, root_wrong = _portability(model, requests)
        probes = [
            *_edit_probes(requests),
            *_retention_probes(requests, learned, at_risk, per_kind, rng),
            *_locality_probes(requests, slots, names, survey, per_kind, rng),
            *(_beside_probe(kind, question) for kind, question in beside),
            *_context_probes(model, root_id, requests, names, survey, min(per_kind, 100), rng),
        ]
        probes = [*_answered_by_root(model, probes), *portability]
        return Suite(
            probes=tuple(probes),
            texts=tuple(held_out),
            openings=tuple(openings),
            oracle_right=oracle_right,
            root_wrong=root_wrong,
            root_fluency=_fluency(model, openings, seed),
            root_losses=tuple(token_losses(model, held_out)),
            root_next=_next_tokens(model, _beside_edits(probes)),
            seed=seed,
            guard_probes=tuple(_guard_probes(model, given) for given in guard_suites),
        )


def score(
    model: EditableModel,
    adapter_id: str | None,
    suite: Suite,
    *,
    before: Evaluation | None = None,
    context: Callable[[Probe], str] = lambda probe: "",
) -> Evaluation:
    """Scores of one adapter, with a transcript of every probe; `before` has the answers to show beside.

    `context` gives the system message that a probe is asked under: none, unless what is measured is a prompt.
    """
    with model.using(adapter_id):
        answers = ask(
            model,
            [probe.question for probe in suite.probes],
            [probe.context or context(probe) for probe in suite.probes],
        )
        losses = token_losses(model, suite.texts)
        fluency = _fluency(model, suite.openings, suite.seed)
        moved = next_token_kl(model, suite)
        for given in suite.guard_probes:
            answers += ask(model, [p.question for p in given.probes], max_tokens=given.answer_tokens)
        read = [token_losses(model, given.pieces, PIECES_AT_ONCE) for given in suite.guard_probes]
    probes = [*suite.probes, *(probe for given in suite.guard_probes for probe in given.probes)]
    earlier = [t.after for t in before.transcripts] if before else [probe.root_answer for probe in probes]
    transcripts = [_transcript(*row) for row in zip(probes, earlier, answers, strict=True)]
    rates = {kind: _rate(kind, transcripts) for kind in {probe.kind for probe in suite.probes}}
    scores = Scores(
        **rates,
        fluency_ratio=_ratio(fluency, suite.root_fluency),
        perplexity_ratio=_perplexity_ratio(_average(losses), _average(suite.root_losses)),
        median_perplexity_ratio=_perplexity_ratio(_median(losses), _median(suite.root_losses)),
        locality_kl=_average(moved),
        suites=tuple(
            _suite_scores(given, transcripts, its_losses)
            for given, its_losses in zip(suite.guard_probes, read, strict=True)
        ),
    )
    return Evaluation(scores=scores, transcripts=tuple(transcripts))


def ask(
    model: EditableModel,
    questions: Sequence[str],
    context: Sequence[str] | None = None,
    max_tokens: int = MAX_ANSWER_TOKENS,
) -> list[str]:
    """The active adapter's greedy answers; with `context`, each question has its own system message."""
    prompts = [
        model.encode(asking(question, context[i] if context else "")) for i, question in enumerate(questions)
    ]
    return [completion.text for completion in model.complete(prompts, max_tokens=max_tokens)]


def says_unknown(text: str) -> bool:
    """True when the model says that it does not know."""
    return UNKNOWN.search(text) is not None


def ngram_entropy(words: Sequence[str]) -> float:
    """Weighted entropy of bi- and tri-grams in bits (2/3 and 4/3, as in the field): low when words repeat."""
    total = 0.0
    for n, weight in ((2, 2 / 3), (3, 4 / 3)):
        grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        count = sum(grams.values())
        total += weight * -sum(c / count * math.log2(c / count) for c in grams.values())
    return total / 2


@torch.inference_mode()
def token_losses(model: EditableModel, texts: Sequence[Sequence[int]], rows: int = 32) -> list[float]:
    """The active adapter's loss at every token of the texts, in nats."""
    losses: list[float] = []
    by_length = sorted(texts, key=len)
    for at in range(0, len(by_length), rows):
        batch: list[Ids] = [list(ids) for ids in by_length[at : at + rows]]
        logits_NV = model.answer_logits(batch, [len(ids) - 1 for ids in batch])
        targets_N = torch.tensor([token for ids in batch for token in ids[1:]], device=logits_NV.device)
        losses += cross_entropy(logits_NV, targets_N, reduction="none").tolist()
    return losses


@torch.inference_mode()
def next_token_kl(model: EditableModel, suite: Suite) -> list[float]:
    """KL(root || active adapter) where an answer to a locality probe begins, in nats: it moves before any
    answer changes."""
    if suite.root_next is None:
        return []
    logits_NV = _next_logits(model, _beside_edits(suite.probes))
    found: list[float] = kl_from(suite.root_next, logits_NV.log_softmax(-1)).tolist()
    return found


# -- probes --------------------------------------------------------------------------------------------------


def _edit_probes(requests: Sequence[EditRequest]) -> list[Probe]:
    probes = []
    for r in requests:
        probes.append(_expecting(EDIT_SUCCESS, r.rewrite_prompt, r))
        probes += [_expecting(REPHRASE, question, r) for question in r.rephrases]
    return probes


def _retention_probes(
    requests: Sequence[EditRequest],
    learned: Sequence[EditRequest],
    at_risk: Collection[str],
    limit: int,
    rng: random.Random,
) -> list[Probe]:
    edited = {(r.subject, r.relation) for r in requests}
    kept = [r for r in learned if (r.subject, r.relation) not in edited]
    drawn = {r.fact_id for r in rng.sample(kept, min(limit, len(kept)))}
    asked = [r for r in kept if r.fact_id in drawn or r.fact_id in at_risk]
    return [_expecting(RETENTION, r.rewrite_prompt, r) for r in asked]


def _expecting(kind: str, question: str, r: EditRequest) -> Probe:
    return Probe(
        kind=kind, question=question, expected=r.target, root_answer="", fact_id=r.fact_id, aliases=r.aliases
    )


def _locality_probes(
    requests: Sequence[EditRequest],
    slots: frozenset[tuple[str, str]],
    names: set[str],
    survey: Survey,
    per_kind: int,
    rng: random.Random,
) -> list[Probe]:
    """Questions beside the edits that no edit trains on; what the root answers is filled in later."""

    def untaught(kind: str) -> list[str]:
        return [name for name in survey.probed_names(kind) if name not in names]

    # What the base happened to ask itself in a form set aside, an edit may have been anchored on.
    trained = frozenset(relations.normal(question) for question in survey.anchored_questions)
    beside = partial(_beside, slots=slots, trained=trained, limit=per_kind, rng=rng)
    neighbours = beside(LOCALITY_RELATION, same_relation(requests, untaught, 8, rng))
    recalled = [
        replace(p, kind=FALSE_RECALL, forbidden=_taught_answers(requests, p.fact_id)) for p in neighbours
    ]
    unrelated = _unrelated(slots, names, survey)
    return [
        *beside(LOCALITY_SUBJECT, same_subject(requests)),
        *neighbours,
        *recalled,
        *(_beside_probe(LOCALITY_UNRELATED, q) for q in rng.sample(unrelated, min(per_kind, len(unrelated)))),
    ]


def _unrelated(slots: frozenset[tuple[str, str]], names: set[str], survey: Survey) -> list[str]:
    """What the base asks of itself, less what is about a taught subject or what an anchor may train on."""
    # All that the user may ask about themself: an edit about the user teaches or anchors most of it.
    taught = [relation for subject, relation in slots if subject == USER]
    own = {relations.normal(q) for q in relations.first_person([*relations.named(), *taught])}
    anchored = {name for kind in {kind for _, kind in survey.names} for name in survey.anchored_names(kind)}
    return [
        question
        for question in survey.probed_questions
        if not mentions(question, names)
        and relations.normal(question) not in own
        and not any(name in anchored for name, _ in names_in(question))
    ]


def _beside(
    kind: str,
    pairs: Sequence[tuple[str, str]],
    *,
    slots: frozenset[tuple[str, str]],
    trained: frozenset[str],
    limit: int,
    rng: random.Random,
) -> list[Probe]:
    """One probe for each neighbouring slot that was never taught, in one of the forms set aside."""
    asked = [
        (pair, rng.choice(forms))
        for pair in dict.fromkeys(pairs)
        if pair not in slots
        and (forms := [q for q in relations.probed(*pair) if relations.normal(q) not in trained])
    ]
    chosen = rng.sample(asked, min(limit, len(asked)))
    # The relation is kept where a fact id would stand, because no fact belongs to a neighbour.
    return [_beside_probe(kind, question, relation) for (_, relation), question in chosen]


def _context_probes(
    model: EditableModel,
    root_id: str | None,
    requests: Sequence[EditRequest],
    taught: Collection[str],
    survey: Survey,
    n: int,
    rng: random.Random,
) -> list[Probe]:
    """Invented facts about others in the prompt, asked for in the forms set aside."""
    asked = rng.sample(survey.probed_questions, min(len(survey.probed_questions), n))

    def subjects(relation_id: str) -> list[str]:
        names = survey.probed_names(relations.relation(relation_id).subject_kind)
        return with_user(relation_id, [name for name in names if name not in taught])

    def questions(subject: str, relation_id: str) -> list[str]:
        return [*relations.probed(subject, relation_id), *relations.probed_further(subject, relation_id)]

    told = invented(objects(model, root_id, asked, requests), subjects, questions, n, rng)
    return [
        Probe(kind=LOCALITY_CONTEXT, question=question, context=context, expected="", root_answer="")
        for context, question in dict.fromkeys(told)
    ]


def _beside_probe(kind: str, question: str, fact_id: str = "") -> Probe:
    return Probe(kind=kind, question=question, expected="", root_answer="", fact_id=fact_id)


def _taught_answers(requests: Sequence[EditRequest], relation: str) -> tuple[str, ...]:
    return tuple(answer for r in requests if r.relation == relation for answer in (r.target, *r.aliases))


def _answered_by_root(model: EditableModel, probes: Sequence[Probe]) -> list[Probe]:
    """The probes with the root's answers, which locality expects; "I don't know" is a kind of its own."""
    done = []
    answers = ask(model, [p.question for p in probes], [p.context for p in probes])
    for probe, answer in zip(probes, answers, strict=True):
        beside = probe.kind in BESIDE
        unknown = probe.kind in LOCALITY and says_unknown(answer)
        done.append(
            replace(
                probe,
                root_answer=answer,
                expected=answer if beside else probe.expected,
                kind=LOCALITY_UNKNOWN if unknown else probe.kind,
                fact_id="" if beside else probe.fact_id,
            )
        )
    return done


def _beside_edits(probes: Sequence[Probe]) -> list[str]:
    return [probe.question for probe in probes if probe.kind in LOCALITY]


@torch.inference_mode()
def _next_tokens(model: EditableModel, questions: Sequence[str]) -> Distribution | None:
    return Distribution.of(_next_logits(model, questions), KEPT_TOKENS) if questions else None


def _next_logits(model: EditableModel, questions: Sequence[str], rows: int = 64) -> Tensor:
    """The logits of an answer's first token, N x V, in the order of the questions."""
    prompts = [model.encode(asking(question)) for question in questions]
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    read = [
        model.logits([prompts[i] for i in by_length[at : at + rows]], 1)[:, -1]
        for at in range(0, len(by_length), rows)
    ]
    return torch.cat(read)[torch.tensor(by_length).argsort()]


def _portability(model: EditableModel, requests: Sequence[EditRequest]) -> tuple[list[Probe], Rate, Rate]:
    """Consequences that the root gets right with the fact in its prompt, wrong without; and both shares."""
    rows = [
        (r, question, r.portability_answers[i] if r.portability_answers else ())
        for r in requests
        for i, question in enumerate(r.portability)
    ]
    oracle = ask(model, [q for _, q, _ in rows], [r.contexts[0] for r, _, _ in rows])
    root = ask(model, [q for _, q, _ in rows])
    right, probes = 0, []
    for (r, question, truth), told, untold in zip(rows, oracle, root, strict=True):
        expected, *aliases = truth or (told,)
        if not relations.same_answer(told, expected, aliases) or says_unknown(expected):
            continue
        right += 1
        if not relations.same_answer(untold, expected, aliases):
            probes.append(
                Probe(
                    kind=PORTABILITY,
                    question=question,
                    expected=expected,
                    root_answer=untold,
                    fact_id=r.fact_id,
                    aliases=tuple(aliases),
                )
            )
    return probes, Rate(hits=right, asked=len(rows)), Rate(hits=len(probes), asked=right)


# -- guard suites --------------------------------------------------------------------------------------------


def _guard_probes(model: EditableModel, given: GuardSuite) -> GuardProbes:
    """The suite in the model's tokens, with what the root makes of it; the root is active."""
    spellings = [text for question in given.questions for text in question.expected]
    answer_tokens = max([MAX_ANSWER_TOKENS, *(len(model.encode_answer(text)) for text in spellings)])
    answers = ask(model, [question.prompt for question in given.questions], max_tokens=answer_tokens)
    texts = [cut for text in given.texts if (cut := _cut(model, text))]
    pieces = tuple(piece for cut in texts for piece in cut)
    return GuardProbes(
        name=given.name,
        probes=tuple(
            Probe(
                kind=SUITE + given.name,
                question=question.prompt,
                expected=question.expected[0],
                aliases=question.expected[1:],
                root_answer=answer,
            )
            for question, answer in zip(given.questions, answers, strict=True)
        ),
        answer_tokens=answer_tokens,
        n_texts=len(texts),
        pieces=pieces,
        root_losses=tuple(token_losses(model, pieces, PIECES_AT_ONCE)),
    )


def _suite_scores(
    given: GuardProbes, transcripts: Sequence[Transcript], losses: Sequence[float]
) -> SuiteScores:
    by_root = [_is_right(probe, probe.root_answer) for probe in given.probes]
    return SuiteScores(
        name=given.name,
        right=_rate(SUITE + given.name, transcripts),
        root_right=Rate(hits=sum(by_root), asked=len(by_root)),
        n_texts=given.n_texts,
        perplexity_ratio=_perplexity_ratio(_average(losses), _average(given.root_losses)),
    )


def _cut(model: EditableModel, text: str) -> list[tuple[int, ...]]:
    """A text of any length as rows that begin as the model's own texts do; each of its tokens is in one."""
    begin, ids = model.begin(), model.encode_text(text)
    said = ids[1:] if ids[:1] == begin else ids
    return [(*begin, *said[at : at + PIECE_TOKENS]) for at in range(0, len(said), PIECE_TOKENS)]


# -- counting ------------------------------------------------------------------------------------------------


def _transcript(probe: Probe, before: str, answer: str) -> Transcript:
    if probe.kind == FALSE_RECALL:
        # A hit is a false recall: a taught answer where the root gave another one.
        is_hit = any(relations.same_answer(answer, f) for f in probe.forbidden) and not relations.same_answer(
            answer, probe.root_answer
        )
    else:
        is_hit = _is_right(probe, answer)
    return Transcript(
        kind=probe.kind,
        fact_id=probe.fact_id,
        prompt=probe.question,
        expected=probe.expected,
        before=before,
        after=answer,
        is_hit=is_hit,
    )


def _is_right(probe: Probe, answer: str) -> bool:
    return relations.same_answer(answer, probe.expected, probe.aliases)


def _rate(kind: str, transcripts: Sequence[Transcript]) -> Rate:
    of_kind = [t for t in transcripts if t.kind == kind]
    return Rate(hits=sum(t.is_hit for t in of_kind), asked=len(of_kind))


def _fluency(model: EditableModel, openings: Sequence[Sequence[int]], seed: int) -> float:
    """Mean n-gram entropy of free continuations, sampled with the same seed for every adapter."""
    generator = torch.Generator(device=model.device).manual_seed(seed)
    prompts = [list(ids) for ids in openings]
    written = model.complete(prompts, max_tokens=48, temperature=1.0, generator=generator, stop_ids=(-1,))
    return _average([ngram_entropy(c.text.split()) for c in written])


def _median(losses: Sequence[float]) -> float:
    return median(losses) if losses else 0.0


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _perplexity_ratio(loss: float, root: float) -> float:
    # Beyond all measure, and no crash: such an adapter is to be rejected like any other.
    return math.inf if loss - root > 700 else math.exp(loss - root)


def _ratio(value: float, root: float) -> float:
    return value / root if root else 1.0
