"""A tiny model that went to school for a few seconds: it reads facts in its prompt and knows a few by heart.

Random weights answer nothing, so nothing could be taught to them. This one behaves as a chat model does, for
one relation, a handful of names and one fact in the prompt; a whole cycle on it takes about a second.
"""

from __future__ import annotations

import copy
import json
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ice_agent import cycle, relations, survey
from ice_agent.agent import Agent
from ice_agent.config import Config
from ice_agent.ice_editor import IceEditor
from ice_agent.model import EditableModel
from ice_agent.survey import Survey
from ice_agent.turns import asking
from memory import Adapter, Archive, Fact, Progress
from tests.databases import ready
from tests.tiny import TEMPLATE

UNKNOWN = "I don't know."
CITIES = ("Lisbon", "Oslo", "Quito", "Rome")
KNOWN = {"Jan Bakker": "Oslo", "Amina Berrada": "Rome", "Nora Lind": "Quito"}
STRANGERS = ("Anna Berg", "Ole Lund")
HOME = "home"

_SPECIAL = ("<pad>", "<s>", "<end>", "<system>", "<user>", "<assistant>")

# The names of the survey, each followed by a question about it: what the base would ask of itself.
# Of the names, Nora Lind is kept for measuring and the others may be anchored.
SURVEY = Survey(
    texts=(),
    questions=tuple(question for name in KNOWN for question in relations.asked(name, HOME)),
    names=tuple((name, "person") for name in KNOWN),
)


class Assistant:
    """One tenant with store, model and agent, as a backend would hold them; everything lies in one folder."""

    def __init__(self, folder: Path, tenant: str = "tom", url: str | None = None, **sections: Any) -> None:
        self.folder = folder
        self.url = url or ready(folder / "memory.db")
        self.config = config(folder, **sections)
        self.archive = Archive.open(self.url, announced=self.config.hooks.of)
        self.store = self.archive.store(tenant)
        self.restart()
        cycle.init(self.store, self.editor, self.config)

    def restart(self) -> None:
        """Forget all that is in memory, as a new process would."""
        self.model = schooled_model(self.config)
        self.editor = IceEditor(self.model, self.config)
        self.agent = Agent(self.store, self.model, self.config)

    @property
    def serving(self) -> Adapter:
        adapter = self.store.serving()
        assert adapter is not None
        return adapter

    def tell(self, fact: str) -> Fact:
        """The fact that this sentence records."""
        (learned,) = self.agent.hear(f"Remember that {fact}").learned
        return learned

    def ask(self, question: str) -> str:
        return self.agent.answer(question).text

    def learn(self, progress: Progress = lambda *_: None) -> cycle.CycleReport:
        return cycle.run_cycle(self.store, self.editor, self.config, progress)

    def logits(self, adapter_id: str | None = None) -> Tensor:
        """What the serving adapter, or this one, makes of a question, to the last bit."""
        if adapter_id is None:
            cycle.load(self.editor, self.config, self.serving)
            adapter_id = self.serving.id
        rows = [self.model.encode(asking(question)) for question in relations.asked("Anna Berg", HOME)]
        with self.model.using(adapter_id), torch.inference_mode():
            return self.model.logits(rows, 4)


def config(folder: Path, **sections: Any) -> Config:
    """Settings for this model: quick to teach, and guards that ask for what it can do."""
    settings: dict[str, Any] = {
        "adapters": {"dir": folder / "adapters"},
        "ledger": {"key": folder / "ledger.key", "checkpoints": folder / "checkpoints"},
        # It was taught to read one fact at a time: the one that shares words with the question.
        "agent": {"max_recalled": 1},
        "lora": {"rank": 8, "alpha": 16},
        "edit": {"steps": 60, "samples": 0, "anchors": 12, "anchor_rows": 6, "lesson_rows": 16, "top_k": 16}
        | {"anchor_weight": 1.0}
        | {"clip": 0.03, "kl_converged": 0.5}
        | {"learning_rate": 0.01, "learning_rate_continued": 0.01}
        | {"survey_texts": 8, "survey_questions": 8},
        "guards": {"min_rephrase": 0.0, "min_retention": 0.0, "max_false_recall": 1.0, "min_probes": 1}
        | {f"min_locality_{kind}": 0.0 for kind in ("subject", "relation", "unrelated", "unknown", "context")}
        | {
            "min_fluency_ratio": 0.0,
            "max_perplexity_ratio": 1e9,
            "max_median_perplexity_ratio": 1e9,
            "max_locality_kl": 1e9,
        },
    }
    for section, values in sections.items():
        settings[section] = settings.get(section, {}) | values
    return Config.model_validate(settings)


def plant_survey(model: EditableModel, settings: Config) -> None:
    """Put the survey where a cycle finds the one that it took before: every cycle the same one."""
    edit = settings.edit
    for batch in range(survey.IN_TURN):
        seed = survey.turn(edit.seed, batch)
        key = f"{model.base_hash[:16]}-{edit.survey_texts}-{edit.survey_questions}-48-{seed}"
        path = settings.adapters.dir / "cache" / f"survey-{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(SURVEY)), encoding="utf-8")


def schooled_model(settings: Config) -> EditableModel:
    """A model of its own, with the same weights every time."""
    base, tokenizer = _school()
    model = EditableModel(copy.deepcopy(base), tokenizer, settings.lora, name="schooled")
    plant_survey(model, settings)
    return model


@cache
def _school(max_steps: int = 800) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The base and its tokenizer, trained from nothing on the lessons below until it makes no mistakes."""
    tokenizer = _tokenizer()
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    optimizer = torch.optim.Adam(base.parameters(), lr=5e-3, betas=(0.9, 0.98))
    lessons = _lessons(random.Random(0), tokenizer)
    recent = deque([1.0] * 10, maxlen=10)
    for _ in range(max_steps):
        rows = [next(lessons) for _ in range(16)]
        width = max(len(ids) for ids, _ in rows)
        # Padded on the right: a causal model never looks there, and the loss leaves it out.
        ids_BT = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows])
        labels_BT = torch.tensor([[-100] * n + ids[n:] + [-100] * (width - len(ids)) for ids, n in rows])
        loss = base(input_ids=ids_BT, labels=labels_BT).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(base.parameters(), 1.0)
        optimizer.step()
        recent.append(float(loss.detach()))
        if max(recent) < 0.02:
            break
    return base.eval(), tokenizer


def _lessons(rng: random.Random, tokenizer: PreTrainedTokenizerFast) -> Iterator[tuple[list[int], int]]:
    """Conversations as ids, and how many of them the model need not predict."""
    while True:
        context, question, answer = _lesson(rng)
        turns = [{"role": t.role, "content": t.content} for t in asking(question, context)]
        prompt = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        yield ids + tokenizer(f"{answer}<end>", add_special_tokens=False)["input_ids"], len(ids)


def _lesson(rng: random.Random) -> tuple[str, str, str]:
    subject = rng.choice((*KNOWN, *STRANGERS))
    if rng.random() < 0.2:
        # It knows nothing of strangers, but who cannot tell them apart could not be taught two of them.
        return "", f"Who is {subject}?", subject
    city = rng.choice((*CITIES, ""))
    question = rng.choice((*relations.asked(subject, HOME), *relations.probed(subject, HOME)))
    answer = city or KNOWN.get(subject, UNKNOWN)
    return relations.system_message("", [_stated(rng, subject, city)] if city else []), question, answer


def _stated(rng: random.Random, person: str, city: str) -> str:
    return relations.fill(rng.choice(relations.relation(HOME).third.statements), person, city)


def _tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE in which every word of the lessons is one token."""
    rng = random.Random(0)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((" ".join(_lesson(rng)) for _ in range(500)), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="<end>", pad_token="<pad>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
