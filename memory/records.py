"""The nouns of the system: frozen records and the states they pass through. Standard library only.

A type that crosses a module boundary lives here. Nothing in this file knows SQL, tensors or configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

USER = "user"
"""The subject that stands for the first person; it exists in personal lineages only."""

CHAT = "chat"
"""The source of what is said in conversation; a feed goes by its own name."""

ERASED = "(forgotten)"
"""What stands for the words of an utterance that told of something that was forgotten."""

SENSITIVE = "sensitive, so no weights ever learn it: it stays in the prompt"
"""Why a fact is set aside for good."""

STATEMENT = "statement"
"""The relation of a fact that fits no slot: it is recalled, and supersedes nothing."""


class Cardinality(StrEnum):
    ONE = "one"  # functional: a newer value supersedes the older one
    MANY = "many"  # set-valued: values live side by side


class ProposalStatus(StrEnum):
    PROPOSED = "proposed"  # waits for a person
    APPROVED = "approved"  # recorded as if it had just been heard
    DECLINED = "declined"  # never became a fact


class FactStatus(StrEnum):
    PENDING = "pending"  # recorded, served from the prompt, waiting for a batch
    CLAIMED = "claimed"  # in a batch that is being edited; still served from the prompt
    LEARNED = "learned"  # in the weights of the serving adapter; costs no prompt tokens
    HELD = "held"  # its batch was reverted: served from the prompt, not claimed until released
    QUARANTINED = "quarantined"  # kept out of edits until released; served from the prompt
    SUPERSEDED = "superseded"  # a newer value of its slot took its place
    RETRACTED = (
        "retracted"  # taken back, or its day has come; if it was learned, a negation overrides the weights
    )


class BatchStatus(StrEnum):
    CLAIMED = "claimed"  # its facts belong to a running cycle
    DONE = "done"  # its candidate was promoted
    FAILED = "failed"  # rejected or abandoned; its facts went back to pending


class AdapterStatus(StrEnum):
    CANDIDATE = "candidate"  # edited, not yet judged
    PROMOTED = "promoted"  # serves its tenant; at most one
    RETIRED = "retired"  # served once, a child took over
    REJECTED = "rejected"  # never served: a guard broke
    REVERTED = "reverted"  # served, then its parent was put back
    FORGOTTEN = "forgotten"  # held a fact that was forgotten, or stood on one that did: its files are gone


class AccessRole(StrEnum):
    """What a key may do in its tenant's memory."""

    CHAT = "chat"  # converse, and tell and search memories
    OPERATE = "operate"  # that, and change facts and adapters
    AUDIT = "audit"  # read what was learned and the proof of it, and change nothing


class HookEvent(StrEnum):
    """What hooks are called for, by the name that its entry has in the ledger."""

    PROMOTED = "adapter.promoted"  # serves its tenant now; a root is no promotion, it is the base as it was
    REJECTED = "adapter.rejected"  # never serves
    REVERTED = "adapter.reverted"  # served until its parent, or an ancestor, was put back
    QUARANTINED = "fact.quarantined"  # facts that no edit takes before somebody releases them
    FORGOTTEN = "fact.forgotten"  # facts, words or a whole tenant that were erased


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """Something that was said, kept word for word."""

    id: str
    text: str
    said_at: datetime
    speaker: str = USER
    source: str = CHAT
    details: Mapping[str, str] = field(default_factory=dict)
    """What whoever handed it in wants to find it by, such as a conversation's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateFact:
    """What an extractor found in an utterance, before the store decides what it means for a slot.

    start and end are the character span in the utterance's text (end exclusive).
    A candidate with `retracts` takes the fact back; an empty object then means "whatever the slot holds".
    With `is_over` the fact held until then ("no longer"), and nothing that it had superseded holds either;
    without, it never did ("that is wrong"), and what it had superseded stands again.
    """

    subject: str
    relation: str
    object: str
    statement: str
    start: int
    end: int
    cardinality: Cardinality = Cardinality.ONE
    retracts: bool = False
    is_over: bool = False
    valid_from: date | None = None
    valid_until: date | None = None
    confidence: float = 1.0
    """How sure the extractor is that this was said, in 0-1."""
    aliases: tuple[str, ...] = ()
    """What else the subject goes by: its slot is one, whichever name a value was told of."""

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"a confidence is in 0-1, got {self.confidence}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One value of a slot (tenant, subject, relation), with both clocks and its place in the weights."""

    id: str
    subject: str
    relation: str
    object: str
    statement: str
    cardinality: Cardinality
    status: FactStatus
    recorded_at: datetime
    valid_from: datetime
    utterance_id: str
    start: int
    end: int
    valid_until: datetime | None = None
    supersedes_id: str | None = None
    adapter_id: str | None = None
    """The adapter whose weights hold this value, also after the fact ended; None if none do."""
    batch_id: str | None = None
    attempts: int = 0
    quarantine_reason: str | None = None
    confidence: float = 1.0
    """Of the surest mention."""
    source: str = CHAT
    """Where it was first heard: a conversation, or a feed by its name."""
    commitment: str = ""

    @property
    def slot(self) -> tuple[str, str]:
        return (self.subject, self.relation)

    @property
    def value(self) -> str:
        """What stands in its slot; a statement, which fits none, stands for itself."""
        return self.object or self.statement

    def holds(self, at: datetime) -> bool:
        """Whether it has begun by then, and not ended."""
        return self.valid_from <= at and (self.valid_until is None or self.valid_until > at)

    @property
    def is_current(self) -> bool:
        return self.status not in (FactStatus.SUPERSEDED, FactStatus.RETRACTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One time that a fact was said, or taken back: the utterance, and the span of it (end exclusive)."""

    utterance: Utterance
    start: int
    end: int

    @property
    def words(self) -> str:
        """The words that the fact came from; none where they were erased with a fact that was forgotten."""
        is_erased = self.utterance.text == ERASED
        return "" if is_erased else self.utterance.text[self.start : self.end]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A candidate that a person has to approve before it is a fact, or takes one back."""

    id: str
    candidate: CandidateFact
    utterance_id: str
    status: ProposalStatus
    proposed_at: datetime
    decided_at: datetime | None = None
    fact_id: str | None = None
    """The fact that it became."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A key that lets a caller into one tenant's memory; what opens with it is shown once and never kept."""

    id: str
    label: str
    """Who or what holds it."""
    issued_at: datetime
    role: AccessRole = AccessRole.OPERATE
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What an application put aside under a name of its own; it is no fact, and never enters weights."""

    id: str
    namespace: tuple[str, ...]
    key: str
    value: Mapping[str, Any]
    text: str
    """The words that it is found by; none, and only its name finds it."""
    created_at: datetime
    updated_at: datetime
    utterance_id: str | None = None
    """The utterance that its text was heard as, if anybody listened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Where an embedding model places a text. Vectors of two models do not compare."""

    model: str
    vector: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Facts claimed together; `removals` are retracted ones that weights still hold, to be edited back."""

    id: str
    status: BatchStatus
    created_at: datetime
    facts: tuple[Fact, ...] = ()
    n_forgotten: int = 0
    """Facts that it was made of, too, and that were forgotten since."""
    removals: tuple[Fact, ...] = ()
    adapter_id: str | None = None
    replaces_id: str | None = None
    """Of a rebuild: the adapter that serves until it, and again after a revert of it."""

    @property
    def size(self) -> int:
        """How many facts it was made of."""
        return len(self.facts) + self.n_forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share kept as the counts it came from, so that guards compare integers."""

    hits: int
    asked: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.asked:
            raise ValueError(f"a rate needs 0 <= hits <= asked, got {self.hits}/{self.asked}")

    @property
    def share(self) -> float:
        """The share in 0-1; nan when nothing was asked."""
        return self.hits / self.asked if self.asked else float("nan")

    def below(self, bar: float) -> bool:
        """True when fewer hits than the bar asks for; compares counts, with the bar read to six decimals."""
        return self.hits * 1_000_000 < round(bar * 1_000_000) * self.asked

    def above(self, bar: float) -> bool:
        return self.hits * 1_000_000 > round(bar * 1_000_000) * self.asked

    def __str__(self) -> str:
        return f"{self.share:.3f} ({self.hits}/{self.asked})" if self.asked else "not asked"


NOT_ASKED = Rate(hits=0, asked=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteScores:
    """What one suite of guard probes that people brought themselves measured of one adapter."""

    name: str
    right: Rate = NOT_ASKED
    root_right: Rate = NOT_ASKED
    """The same questions, answered by the root."""
    n_texts: int = 0
    perplexity_ratio: float = 1.0
    """Of its texts, to the root's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What was measured of one adapter: answers by free generation, ratios to the lineage's root."""

    edit_success: Rate = NOT_ASKED
    rephrase: Rate = NOT_ASKED
    portability: Rate = NOT_ASKED
    locality_subject: Rate = NOT_ASKED
    locality_relation: Rate = NOT_ASKED
    locality_unrelated: Rate = NOT_ASKED
    locality_unknown: Rate = NOT_ASKED
    """Probes that the root answers with "I don't know", still answered so."""
    locality_context: Rate = NOT_ASKED
    """Probes with an invented fact in the prompt, still read as the root reads it."""
    retention: Rate = NOT_ASKED
    false_recall: Rate = NOT_ASKED
    fluency_ratio: float = 1.0
    perplexity_ratio: float = 1.0
    median_perplexity_ratio: float = 1.0
    """The same of the median token, which a few hard tokens do not move: exp of the difference in loss."""
    locality_kl: float = 0.0
    """Mean KL, in nats, from the root's distribution of an answer's first token, over all locality probes."""
    suites: tuple[SuiteScores, ...] = ()

    @classmethod
    def metrics(cls) -> tuple[str, ...]:
        """What is measured of every adapter, whatever suites there are."""
        return tuple(f.name for f in fields(cls) if f.name != "suites")

    def suite(self, name: str) -> SuiteScores:
        """The scores of this suite; nothing asked, if it was not measured."""
        return next((s for s in self.suites if s.name == name), SuiteScores(name=name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a candidate may serve; every broken guard is a reason."""

    promote: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """LoRA weights with a parent, the batch they learned and the scores they were judged by."""

    id: str
    parent_id: str | None
    status: AdapterStatus
    base_hash: str
    path: str
    """The adapter's directory, relative to the configured adapter folder."""
    created_at: datetime
    batch_id: str | None = None
    promoted_at: datetime | None = None
    """When it began to serve, the last time: also where a revert, or forgetting, put it back."""
    scores: Scores | None = None
    parent_scores: Scores | None = None
    verdict: Verdict | None = None
    collected_at: datetime | None = None
    """Since when its files are gone, to save space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What an adapter was taught on top of, read back from the history; facts in the order they were told."""

    root_id: str
    generation: int
    """How many adapters lie between the root and it."""
    members: Mapping[str, Fact]
    """What its batch claimed, by what the batch committed to."""
    standing: tuple[Fact, ...]
    known: tuple[Fact, ...]
    """The facts that the weights answered."""
    taught: tuple[Fact, ...]
    """The same with those that had ended, and that the weights still held."""
    n_forgotten: int
    """Facts that it was taught, or stood on, and that are forgotten since."""
    wordless: tuple[Fact, ...]
    """Facts whose words were erased since, with another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to run a tenant's one cycle. The token grows with every lease: an older one is refused."""

    tenant: str
    owner: str
    token: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event that hooks are to be told of, or that they were told of in vain."""

    id: str
    event: HookEvent
    tenant_id: str
    body: str
    """Canonical JSON: ids, commitments and figures, never a word of what was said."""
    created_at: datetime
    attempts: int
    due_at: datetime | None
    """None once it was given up."""
    told: tuple[str, ...]
    """The hooks that have it already, by whatever names whoever delivers gives them."""
    problem: str
    """What went wrong the last time; empty before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Which adapter of a tenant an outside engine has, and which it should have: what serves here."""

    tenant_id: str
    tenant: str | None
    """None once the tenant is forgotten."""
    engine: str
    """Where it is, or is being brought; empty before the first attempt."""
    name: str
    """What the engine calls it."""
    adapter_id: str | None
    """What the engine confirmed to have; None before."""
    published_at: datetime | None
    wanted_id: str | None
    """None is the base model: nothing serves, or a root."""
    wanted_path: str
    """The directory of what is wanted, relative to the configured adapter folder."""
    attempts: int
    due_at: datetime | None
    """When it is tried again; None once it was given up, and before the first attempt."""
    problem: str
    """What went wrong the last time; empty when nothing did."""

    @property
    def is_current(self) -> bool:
        return self.adapter_id == self.wanted_id and bool(self.engine or self.wanted_id is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What stands in the database, counted: of one tenant, or of all."""

    tenant_id: str
    """Empty for all tenants together."""
    pending: int = 0
    """Facts that the next cycles take: no statements, and nothing that has ended."""
    oldest_pending_at: datetime | None = None
    quarantined: int = 0
    events: Mapping[HookEvent, int] = field(default_factory=dict)
    """How often each happened, ever: the ledger's entries."""
    scores: Scores | None = None
    """Of the candidate that was measured last."""
    undelivered: int = 0
    """Events that wait for a hook."""
    given_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What checking the ledger found: how many entries were read, and every problem, named."""

    n_entries: int
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What recording one candidate did: the fact as it stands, and what it ended."""

    fact: Fact | None
    is_new: bool
    superseded: tuple[Fact, ...] = ()
    retracted: tuple[Fact, ...] = ()
    reopened: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What telling one utterance did."""

    utterance: Utterance
    recorded: tuple[Recorded, ...] = ()
    proposed: tuple[Proposal, ...] = ()
    refused: int = 0
    """Candidates that were forgotten once: they are not learned again, and the words are not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetting:
    """What forgetting takes away, or took."""

    facts: tuple[Fact, ...]
    utterances: tuple[Utterance, ...]
    """All that they were heard in: the words go, also those of other facts."""
    items: tuple[Item, ...]
    """What an application put aside whose text told of them."""
    bereft: tuple[Fact, ...]
    """Facts that stay and lose the words that they were heard in."""
    adapters: tuple[Adapter, ...]
    """Every version that was taught one of the facts, or was edited from one that was."""
    relearned: tuple[Fact, ...]
    """Facts that stay and that those versions had learned: the prompt serves them until they are rebuilt."""
    serving: Adapter | None
    """The last clean ancestor."""
    tenant_id: str = ""
    entries: tuple[int, ...] = ()
    """The positions in the tenant's chain that say so, once it is done."""

    @property
    def is_nothing(self) -> bool:
        """Whether nothing of that is known."""
        return not (self.facts or self.utterances or self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """What probing an adapter for a forgotten fact found: too coarse to find out by it what the fact was."""

    fact_id: str
    asked: int
    """Questions that were put to it."""
    said: int
    """Of them, those that it answers with the value, and the reference does not."""
    beaten: int
    """Other values, and other subjects, that its leaning towards the fact was compared with."""
    leans: bool
    """It leans to the fact more than to any of them."""

    @property
    def leaks(self) -> bool:
        return self.said > 0 or self.leans


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRequest:
    """One requested rewrite: what the slot must answer, the contexts that teach it, the probes that test it.

    An edit may train on `training_prompts`, never on `rephrases`, `portability` and the other probes.
    """

    fact_id: str
    subject: str
    relation: str
    """Empty where an edit set names none: then no slot beside this one can be asked for."""
    rewrite_prompt: str
    target: str
    statement: str
    contexts: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    training_prompts: tuple[str, ...] = ()
    indirect_prompts: tuple[str, ...] = ()
    rephrases: tuple[str, ...] = ()
    portability: tuple[str, ...] = ()
    portability_answers: tuple[tuple[str, ...], ...] = ()
    """The right answer to each portability probe in all its spellings; none: the in-context oracle's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One probe as it was asked and answered, before and after."""

    kind: str
    fact_id: str
    prompt: str
    expected: str
    before: str
    after: str
    is_hit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Scores with the transcripts they were counted from."""

    scores: Scores
    transcripts: tuple[Transcript, ...] = field(default=())


Progress = Callable[[str, int, int, str], None]
"""Called with the stage, how much of it is done, how much there is, and a note such as the loss."""


def now() -> datetime:
    """The time, aware and in UTC: what every `_at` field holds."""
    return datetime.now(UTC)
