"""Tiny random models of many architectures, with a tokenizer built in code: no download, no file."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from ice_agent.model import EditableModel
from ice_agent.settings import LoraSettings
from ice_agent.turns import asking

ARCHITECTURES = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "phi")

LORA = LoraSettings(rank=4, alpha=8)

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
# As Gemma's: a system role is an error.
TEMPLATE_WITHOUT_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + TEMPLATE
)
# Worse than an error: the system's words are dropped without a sound.
TEMPLATE_DEAF_TO_SYSTEM = (
    "{{ bos_token }}{% for m in messages if m.role != 'system' %}"
    "<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)

SHORT = "Hi?"
LONG = "Where does Anna Berg live, and what does she like to do there?"

_SPECIAL = ("<pad>", "<s>", "<end>", "<eos>", "<system>", "<user>", "<assistant>")
_CORPUS = ("Where does Anna Berg live?", "Anna Berg lives in Lisbon.", "The user likes chess.")


def tiny_model(
    architecture: str = "llama",
    *,
    lora: LoraSettings = LORA,
    prompts: str = "chat",
    template: str | None = TEMPLATE,
    eos: str = "<end>",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    is_terse: bool = False,
) -> EditableModel:
    """Two layers of width 32 with random weights. The same arguments give the same weights."""
    base = tiny_base(architecture, seed=seed, dtype=dtype, is_terse=is_terse)
    tokenizer = tiny_tokenizer(template, eos=eos)
    return EditableModel(base, tokenizer, lora, prompts=prompts, name=f"tiny-{architecture}")


def tiny_base(
    architecture: str = "llama",
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    is_terse: bool = False,
) -> PreTrainedModel:
    """The bare model, as from_pretrained would give it.

    Random weights come to no end, and most of a test's time goes into what they say: of a terse model half of
    the tokens end an answer.
    """
    config = AutoConfig.for_model(architecture, **_shape(architecture))
    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    if is_terse:
        base.generation_config.eos_token_id = list(range(150, 300))
    return base


def tiny_tokenizer(template: str | None = TEMPLATE, *, eos: str = "<end>") -> PreTrainedTokenizerFast:
    """A byte-level BPE of 300 tokens with the turns system, user and assistant."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_bpe()), bos_token="<s>", eos_token=eos, pad_token="<pad>"
    )
    tokenizer.chat_template = template
    return tokenizer


@cache
def _bpe() -> str:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_CORPUS, trainer)
    return str(bpe.to_str())


def _shape(architecture: str) -> dict[str, Any]:
    """Large random weights, so that the logits differ and greedy decoding has a clear choice."""
    tokens = {
        "vocab_size": 300,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.3,
        "tie_word_embeddings": False,
    }
    if architecture == "gpt2":
        return {**tokens, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
    shape = {
        **tokens,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
    }
    if architecture not in ("gpt_neox", "phi"):
        shape |= {"num_key_value_heads": 2, "head_dim": 8}
    if architecture in ("mistral", "gemma2", "gemma3_text"):
        # Shorter than the prompts, so that the window is felt.
        shape |= {"sliding_window": 8}
    return shape


def trained(model, adapter_id, parent=None, seed=0):
    """A few large steps away from the parent, so that every tensor of the adapter moves."""
    ids = model.encode(asking(LONG))
    with model.training(adapter_id, parent, seed) as parameters:
        optimizer = torch.optim.Adam(parameters, lr=0.02)
        for _ in range(3):
            loss = torch.nn.functional.cross_entropy(
                model.logits([ids], 9)[0, :-1],
                torch.tensor(ids[-8:]) if seed == 0 else torch.tensor([seed] * 8),
            )
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
