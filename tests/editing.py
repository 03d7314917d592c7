"""Edits of a tiny random model: settings, a survey and facts that take seconds."""

from __future__ import annotations

from dataclasses import replace

import torch

from ice_agent import edit_request, ice
from ice_agent.distribution import kl_from
from ice_agent.settings import EditSettings
from ice_agent.survey import Survey
from ice_agent.turns import asking

SETTINGS = EditSettings(
    steps=4,
    steps_per_fact=0.0,
    learning_rate_continued=0.005,
    samples=1,
    anchors=8,
    anchor_rows=4,
    lesson_rows=16,
    kl_converged=0.0,
    learning_rate=0.01,
    clip=0.05,
)
SURVEY = Survey(
    texts=tuple((1, 40 + i, 50 + i, 60 + i, 70 + i) for i in range(8)),
    questions=tuple(
        f"Where does {name} live?" for name in ("Marit Solvang", "Teodor Vaska", "Amina Berrada")
    ),
    names=tuple((name, "person") for name in ("Marit Solvang", "Teodor Vaska", "Amina Berrada")),
)
FACTS = (("Anna Berg", "home", "Lisbon"), ("Jan Bakker", "employer", "Belmora"), ("user", "likes", "chess"))


def edit(
    model,
    requests,
    *,
    parent="root",
    candidate="candidate",
    settings=SETTINGS,
    surveyed=SURVEY,
    progress=None,
    checkpoint=None,
):
    return ice.edit(
        model,
        root_id="root",
        parent_id=parent,
        candidate_id=candidate,
        requests=requests,
        survey=surveyed,
        settings=settings,
        progress=progress or (lambda *_: None),
        checkpoint=checkpoint,
    )


def answerable(model, subject, relation, obj, parent="root"):
    """A request whose target is what this random model happens to answer with the fact in its prompt."""
    request = edit_request.request(subject, relation, (obj,), fact_id=f"f-{subject}")
    with model.using(parent):
        (answer,) = model.complete([model.encode(asking(request.rewrite_prompt, request.contexts[0]))])
    return replace(request, target=answer.text)


@torch.inference_mode()
def divergences(model, adapter_id, rows):
    """KL from each row's teacher to the adapter: one tensor a row, with a number for each answer token."""
    with model.using(adapter_id):
        return [
            kl_from(row.teacher, model.answer_logits([list(row.ids)], [row.n_answer]).log_softmax(-1))
            for row in rows
        ]
