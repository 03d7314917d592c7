"""Trains the bundled reference model: `python -m ice_agent.reference.train`. Deterministic in its seed,
resumable.

Documents are packed into rows of fixed length and kept apart by a block mask; the loss covers every token, so
that the model can also ask. Hidden matrices are trained by Muon, the rest by AdamW, at a rate that is decayed
to zero.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ice_agent.reference import card, world
from ice_agent.reference.corpus import Corpus

MODEL_DIR = Path(__file__).parent / "model"
SPECIALS = ("<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every setting of a training run; the card beside the weights repeats them."""

    tokens: int = 40_000_000
    row_tokens: int = 512
    rows: int = 8
    vocabulary: int = 2048
    width: int = 192
    layers: int = 4
    heads: int = 3
    mlp_width: int = 512
    matrix_rate: float = 0.02
    other_rate: float = 4e-3
    weight_decay: float = 0.05
    warmup: float = 0.02
    decay_from: float = 0.35
    seed: int = 0

    @property
    def steps(self) -> int:
        return max(1, self.tokens // (self.row_tokens * self.rows))


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    recipe = Recipe(tokens=int(arguments.tokens), seed=arguments.seed)
    if arguments.start_from is not None:
        # Weights that were decayed already want a gentler rate, and to be decayed again from the start.
        recipe = replace(
            recipe,
            matrix_rate=recipe.matrix_rate * 0.4,
            other_rate=recipe.other_rate * 0.4,
            decay_from=0.1,
        )
    seconds = train(
        recipe,
        arguments.out,
        device=arguments.device,
        compiled=not arguments.no_compile,
        start_from=arguments.start_from,
    )
    training = {
        "recipe": asdict(recipe),
        "tokens_seen": recipe.steps * recipe.rows * recipe.row_tokens,
        "seconds": round(seconds),
        "machine": f"{arguments.device}, {arguments.threads} thread(s)",
    }
    for name, rate in card.write(arguments.out, training, arguments.asked).items():
        print(f"{name:32} {rate}")


def train(recipe: Recipe, out: Path, *, device: str, compiled: bool, start_from: Path | None = None) -> float:
    """Train by the recipe and write model and tokenizer to `out`; returns the seconds that it took.

    Starts from the weights in `start_from`, if any. Goes on from `out`/training.pt where there is one, and
    counts the seconds before the interruption too.
    """
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    corpus = Corpus(world.build(), seed=recipe.seed)
    tokenizer = build_tokenizer(corpus, recipe.vocabulary)
    model = build_model(recipe, tokenizer).to(device)
    if start_from is not None:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(start_from)
        model.load_state_dict(LlamaForCausalLM.from_pretrained(start_from, dtype=torch.float32).state_dict())
    optimizers = _optimizers(model, recipe)
    packer = Packer(corpus=corpus, tokenizer=tokenizer, row_tokens=recipe.row_tokens)
    checkpoint = out / "training.pt"
    step, seconds = _resume(checkpoint, recipe, model, optimizers, packer)
    started = time.monotonic() - seconds
    loss_of = torch.compile(_loss) if compiled else _loss
    with _progress() as progress:
        task = progress.add_task("training", total=recipe.steps, completed=step, loss=float("nan"))
        while step < recipe.steps:
            rows = [next(packer) for _ in range(recipe.rows)]
            batch = [part.to(device) for part in collate(rows)]
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                loss = loss_of(model, *batch)
            loss.backward()
            _step(model, optimizers, rate_at(step, recipe))
            step += 1
            progress.update(
                task, completed=step, loss=loss.item() if step % 10 == 0 else progress.tasks[0].fields["loss"]
            )
            if step % 200 == 0:
                _save_checkpoint(
                    checkpoint, step, time.monotonic() - started, recipe, model, optimizers, packer
                )
                progress.console.print(f"step {step} of {recipe.steps}, loss {loss.item():.3f}")
    model.to(torch.float32).save_pretrained(out)
    tokenizer.save_pretrained(out)
    checkpoint.unlink(missing_ok=True)
    return time.monotonic() - started


def rate_at(step: int, recipe: Recipe) -> float:
    """The factor on every learning rate: warm up, hold, then fall to zero in a straight line."""
    done = step / recipe.steps
    if done < recipe.warmup:
        return done / recipe.warmup
    return min(1.0, (1.0 - done) / (1.0 - recipe.decay_from))


def build_tokenizer(corpus: Corpus, vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of the corpus' own first documents, with the chat template."""
    tokenizer = Tokenizer(models.BPE())
    # A value gets the same tokens at the start of an answer as inside a sentence, which makes copying easy.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIALS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # The trainer knows nothing of special tokens: it gets the text between them.
    texts = (part for n in range(20_000) for part in re.split(r"<\|\w+\|>", corpus.document(n)) if part)
    tokenizer.train_from_iterator(texts, trainer)
    bos = tokenizer.token_to_id("<|bos|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", bos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|bos|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=1024,
    )


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.mlp_width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config)


@dataclass
class Packer(Iterator[list[list[int]]]):
    """Rows of whole documents, packed first-fit from chunks of the corpus. Its state is two plain values."""

    corpus: Corpus
    tokenizer: PreTrainedTokenizerFast
    row_tokens: int
    next_chunk: int = 0
    pending: list[list[list[int]]] | None = None
    chunk_documents: int = 512

    def __next__(self) -> list[list[int]]:
        if not self.pending:
            self.pending = self._pack(self.next_chunk)
            self.next_chunk += 1
        return self.pending.pop()

    def _pack(self, chunk: int) -> list[list[list[int]]]:
        first = chunk * self.chunk_documents
        texts = [self.corpus.document(n) for n in range(first, first + self.chunk_documents)]
        encoded = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        rows: list[list[list[int]]] = []
        space: list[int] = []
        for ids in sorted((ids[: self.row_tokens] for ids in encoded), key=len, reverse=True):
            fit = next((i for i, left in enumerate(space) if left >= len(ids)), None)
            if fit is None:
                rows.append([])
                space.append(self.row_tokens)
                fit = len(rows) - 1
            rows[fit].append(ids)
            space[fit] -= len(ids)
        # The last rows of a chunk are nearly empty: their documents would cost a whole row each.
        full = [row for row, left in zip(rows, space, strict=True) if left < self.row_tokens // 4]
        return full[::-1]


def collate(rows: list[list[list[int]]], row_tokens: int = 512) -> tuple[torch.Tensor, ...]:
    """Token ids, positions, labels (all B x T) and an additive mask (B x 1 x T x T) that keeps documents
    apart."""
    ids_BT = torch.zeros(len(rows), row_tokens, dtype=torch.long)
    positions_BT = torch.zeros_like(ids_BT)
    labels_BT = torch.full_like(ids_BT, -100)
    document_BT = torch.full_like(ids_BT, -1)
    for b, row in enumerate(rows):
        at = 0
        for d, ids in enumerate(row):
            span = slice(at, at + len(ids))
            ids_BT[b, span] = torch.tensor(ids)
            positions_BT[b, span] = torch.arange(len(ids))
            labels_BT[b, at : at + len(ids) - 1] = torch.tensor(ids[1:])
            document_BT[b, span] = d
            at += len(ids)
    same = document_BT[:, None, :, None] == document_BT[:, None, None, :]
    causal = torch.ones(row_tokens, row_tokens, dtype=torch.bool).tril()
    mask = torch.zeros(same.shape).masked_fill_(~(same & causal), torch.finfo(torch.float32).min)
    return ids_BT, positions_BT, labels_BT, mask


def _loss(
    model: LlamaForCausalLM,
    ids_BT: torch.Tensor,
    positions_BT: torch.Tensor,
    labels_BT: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    logits = model(input_ids=ids_BT, position_ids=positions_BT, attention_mask=mask, use_cache=False).logits
    return cross_entropy(logits.float().flatten(0, 1), labels_BT.flatten(), ignore_index=-100)


def _optimizers(model: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=recipe.matrix_rate, weight_decay=recipe.weight_decay, momentum=0.95),
        torch.optim.AdamW(others, lr=recipe.other_rate, weight_decay=0.0, betas=(0.9, 0.95)),
    ]


def _step(model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = (
                group["initial_lr"] * factor if "initial_lr" in group else _remember_rate(group) * factor
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _remember_rate(group: dict[str, float]) -> float:
    group["initial_lr"] = group["lr"]
    return group["lr"]


def _save_checkpoint(
    path: Path,
    step: int,
    seconds: float,
    recipe: Recipe,
    model: LlamaForCausalLM,
    optimizers: list[torch.optim.Optimizer],
    packer: Packer,
) -> None:
    state = {
        "step": step,
        "seconds": seconds,
        "recipe": asdict(recipe),
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "packer": (packer.next_chunk, packer.pending),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(
    path: Path,
    recipe: Recipe,
    model: LlamaForCausalLM,
    optimizers: list[torch.optim.Optimizer],
    packer: Packer,
) -> tuple[int, float]:
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise SystemExit(f"{path} belongs to a run with other settings; delete it to start anew")
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    packer.next_chunk, packer.pending = state["packer"]
    return int(state["step"]), float(state["seconds"])


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the bundled reference model.")
    parser.add_argument(
        "--out", type=Path, default=MODEL_DIR, help="where model, tokenizer and card are written"
    )
    parser.add_argument("--tokens", type=float, default=Recipe().tokens, help="how many tokens to train on")
    parser.add_argument("--start-from", type=Path, help="a model folder whose weights are trained on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true", help="for machines without a C++ compiler")
    parser.add_argument("--asked", type=int, default=500, help="prompts per ability")
    return parser.parse_args()


if __name__ == "__main__":
    main()
