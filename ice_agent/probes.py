"""What an adapter is asked, and what each question counts for. No torch: a verdict needs the words alone."""

from __future__ import annotations

from dataclasses import dataclass

# Counted with the field's own word: the Rate of this name in Scores.
EDIT_SUCCESS, REPHRASE, PORTABILITY, RETENTION = "edit_success", "rephrase", "portability", "retention"
LOCALITY_SUBJECT, LOCALITY_RELATION, LOCALITY_UNRELATED = (
    "locality_subject",
    "locality_relation",
    "locality_unrelated",
)
LOCALITY_UNKNOWN, FALSE_RECALL = "locality_unknown", "false_recall"
# Asked with an invented fact in the prompt, which must be read as the root reads it.
LOCALITY_CONTEXT = "locality_context"

# Asked beside the edits, where the root's own answer is what is expected.
BESIDE = (LOCALITY_SUBJECT, LOCALITY_RELATION, LOCALITY_UNRELATED, LOCALITY_CONTEXT, FALSE_RECALL)
LOCALITY = (LOCALITY_SUBJECT, LOCALITY_RELATION, LOCALITY_UNRELATED, LOCALITY_UNKNOWN)

# Before the name of a guard suite: the kind of its probes in the transcripts.
SUITE = "suite "


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One question, what is expected of it, and what the root answers. `kind` is the metric it counts for."""

    kind: str
    question: str
    expected: str
    root_answer: str
    fact_id: str = ""
    context: str = ""
    """The system message that it is asked under."""
    aliases: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    """Taught answers that this question must not get (false recall)."""
