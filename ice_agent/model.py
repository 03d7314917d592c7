"""EditableModel: one copy of a base model, and the LoRA adapters that come and go on it.

The only file that imports transformers and peft. It knows prompts, tokens and weights, and no facts.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache
from transformers.utils import logging as transformers_logging

from ice_agent.batching import KeyValues
from ice_agent.device import device_of, dtype_on, mixed_precision
from ice_agent.digest import base_identity
from ice_agent.errors import AdapterError, ModelError
from ice_agent.generation import Written, continued, log_likelihoods
from ice_agent.low_rank import Mixture, Weights
from ice_agent.manifest import CONFIG, WEIGHTS, read_manifest, write_json, written_whole
from ice_agent.settings import LoraSettings, ModelSettings
from ice_agent.turns import Tools, Turn, asking, folded, plain_prompt, takes_system, templated

logger = logging.getLogger(__name__)

REFERENCE = "reference"
Ids = list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Written):
    """What the model wrote after a prompt, as ids without the stop token and as text."""

    text: str


@dataclass(frozen=True, slots=True)
class AdaptedLayer:
    """A layer of the base, and what an adapter adds to its weights: scale * B A."""

    layer: nn.Module
    a_RI: Tensor  # noqa: N815
    b_OR: Tensor  # noqa: N815
    scale: float


class EditableModel:
    """A base model with adapters on one copy of its weights. The base weights never change.

    Which adapter is active is state of the whole model: a use takes the lock and puts back what was active.
    """

    def __init__(
        self,
        base: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        lora: LoraSettings,
        *,
        prompts: str = "chat",
        name: str = "",
    ) -> None:
        """Raises ModelError for a tokenizer without chat template, or a model with no layer to adapt."""
        if prompts == "chat" and not tokenizer.chat_template:
            raise ModelError(
                f"the tokenizer of {name or 'this model'!r} has no chat template: "
                'set model.prompts = "plain" in config.toml, or choose a chat model'
            )
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.name = name
        self._lora = lora
        self._lock = threading.RLock()
        self._active: str | None = None
        self.base_hash = base_identity(base)
        self._peft = self._with_root_slot(base)
        self._layers = {n: m for n, m in self._peft.named_modules() if isinstance(m, LoraLayer)}
        self._mixture = Mixture(lora.alpha / lora.rank)
        self._loaded: set[str] = set()
        self.device = next(base.parameters()).device
        self.dtype = next(base.parameters()).dtype
        self._takes_system = prompts == "plain" or takes_system(tokenizer)
        self.stop_ids = tuple(dict.fromkeys([*self._turn_end(), *_stop_ids(base, tokenizer)]))

    @classmethod
    def load(cls, settings: ModelSettings, lora: LoraSettings) -> EditableModel:
        """The model of the configuration: the bundled one, a folder, or a hub name.

        Raises ModelError when there is none.
        """
        transformers_logging.disable_progress_bar()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        device = device_of(settings.device)
        place = reference_dir() if settings.name == REFERENCE else settings.name
        revision = settings.revision or None
        try:
            tokenizer = AutoTokenizer.from_pretrained(place, revision=revision)
            base = AutoModelForCausalLM.from_pretrained(
                place, revision=revision, dtype=dtype_on(device, settings.dtype), use_safetensors=True
            )
        except (OSError, ValueError, KeyError, SafetensorError, json.JSONDecodeError) as error:
            raise ModelError(
                f"no usable model at {str(place)!r}: {_first_line(error)} "
                "(set model.name in config.toml to a folder with config.json, tokenizer and safetensors)"
            ) from error
        return cls(base.to(device).eval(), tokenizer, lora, prompts=settings.prompts, name=settings.name)

    # -- prompts ---------------------------------------------------------------------------------------------

    def encode(self, turns: Sequence[Turn], tools: Tools = ()) -> Ids:
        """Token ids of a conversation whose next turn is the assistant's, who may call the tools."""
        if self.prompts == "plain":
            return list(self.tokenizer(plain_prompt(turns))["input_ids"])
        return list(self.tokenizer(self._chat(turns, tools=tools), add_special_tokens=False)["input_ids"])

    def encode_open_user_turn(self, system: str) -> Ids:
        """Token ids up to where a user would speak: there the model asks its own question (as Magpie)."""
        marker = "QUESTION"
        turns = asking(marker, system)
        text = plain_prompt(turns) if self.prompts == "plain" else self._chat(turns)
        before = text[: text.rindex(marker)].rstrip(" ")
        return list(self.tokenizer(before, add_special_tokens=self.prompts == "plain")["input_ids"])

    def encode_answer(self, text: str) -> Ids:
        """Token ids of an assistant's answer, stop token included, as they stand after an encoded prompt."""
        if self.prompts == "plain":
            ids = self.tokenizer(f" {text}", add_special_tokens=False)["input_ids"]
        else:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*ids, self.stop_ids[0]]

    def encode_text(self, text: str) -> Ids:
        """Token ids of free text, with the beginning-of-text token where the tokenizer has one."""
        ids = list(self.tokenizer(text)["input_ids"])
        return ids or self.begin()

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def begin(self) -> Ids:
        """The token ids of an empty text: where the model starts to write of its own accord."""
        bos = self.tokenizer.bos_token_id
        return [int(bos if bos is not None else self.stop_ids[0])]

    @property
    def base(self) -> nn.Module:
        """The base model itself, adapters inside: for methods that change its own weights, in benchmarks."""
        base: nn.Module = self._peft.get_base_model()
        return base

    # -- running ---------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def complete(
        self,
        prompts: Sequence[Ids],
        *,
        max_tokens: int = 32,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        stop_ids: Sequence[int] | None = None,
        rows: int = 128,
        top_k: int = 0,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Completion]:
        """Continue each prompt with the active adapter, greedily at temperature 0. The order is kept.

        With `top_k`, each completion brings what the model said of its tokens, which a teacher needs.
        """
        stops = torch.tensor(list(stop_ids or self.stop_ids), device=self.device)
        by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        done: dict[int, Completion] = {}
        with self._lock:
            for at in range(0, len(by_length), rows):
                chosen = by_length[at : at + rows]
                written = continued(
                    self._peft, *self.pad([prompts[i] for i in chosen]),
                    stops=stops, max_tokens=max_tokens, temperature=temperature, generator=generator,
                    top_k=top_k,
                )  # fmt: skip
                for i, row in zip(chosen, written, strict=True):
                    done[i] = Completion(
                        ids=row.ids, text=self.decode(row.ids), stopped=row.stopped, said=row.said
                    )
                progress(len(done), len(prompts))
        return [done[i] for i in range(len(prompts))]

    def logits(self, rows: Sequence[Ids], keep: int) -> Tensor:
        """Logits (B x keep x V) at the last `keep` positions of left-padded rows, with the active adapter."""
        keep = min(keep, max(len(row) for row in rows))
        return self._read(rows, keep)[:, -keep:].float()

    def answer_logits(self, rows: Sequence[Ids], n_answer: Sequence[int]) -> Tensor:
        """Logits (N x V) that predict each row's last tokens, all rows' answers one after another.

        The head is given these positions alone: over a large vocabulary it is most of the memory.
        """
        width = max(len(row) for row in rows)
        # A token is predicted one place before it. Counted here, so that no GPU is asked where answers are.
        places = [row * width + t for row, n in enumerate(n_answer) for t in range(width - 1 - n, width - 1)]
        at_N = torch.tensor(places, device=self.device)

        def only_answers(head: nn.Module, hidden: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (hidden[0].flatten(0, 1)[at_N][None],)

        head = self._peft.get_base_model().get_output_embeddings()
        handle = head.register_forward_pre_hook(only_answers)
        try:
            logits = self._read(rows, 0).flatten(0, 1)
        finally:
            handle.remove()
        # A model that uses its head's weights without calling it has given all positions.
        return (logits if len(logits) == len(places) else logits[at_N]).float()

    def log_likelihoods(
        self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]], rows: int = 128
    ) -> Tensor:
        """log p of each prompt's answers with the active adapter, B x N, in nats: as many for each prompt."""
        n, longest = len(answers[0]), max(len(ids) for each in answers for ids in each)
        # An answer of one token alone would leave nothing to read after the prompt.
        width = max(longest, 2)
        padded = torch.tensor([[[*ids, *[0] * (width - len(ids))] for ids in each] for each in answers])
        lengths = torch.tensor([[len(ids) for ids in each] for each in answers])
        is_answer = (torch.arange(width) < lengths[:, :, None]).long()
        at_once = max(1, rows // n)
        parts = []
        with self._lock:
            for at in range(0, len(prompts), at_once):
                chosen = slice(at, at + at_once)
                ids_BT, mask_BT = self.pad(prompts[chosen])
                answers_BNA, is_answer_BNA = (t[chosen].to(self.device) for t in (padded, is_answer))
                parts.append(log_likelihoods(self._peft, ids_BT, mask_BT, answers_BNA, is_answer_BNA))
        return torch.cat(parts).cpu()

    @torch.inference_mode()
    def step(
        self,
        ids_BT: Tensor,
        mask_BS: Tensor,
        position_BT: Tensor,
        past: KeyValues | None,
        adapters: Sequence[Weights | None],
    ) -> tuple[Tensor, KeyValues]:
        """One pass over the next tokens of many rows, each by its own adapter (None: the base).

        Logits of the last token (B x V), and what was read by now. No adapter is active meanwhile.
        """
        with self.using(None), self._mixture.applied(adapters, self._layers):
            out = self._peft(
                input_ids=ids_BT,
                attention_mask=mask_BS,
                position_ids=position_BT,
                past_key_values=DynamicCache(past),
                use_cache=True,
                logits_to_keep=1,
            )
        return out.logits[:, -1], tuple((layer.keys, layer.values) for layer in out.past_key_values.layers)

    @property
    def room(self) -> int:
        """Tokens that fit into the model together, prompt and answer."""
        config = self._peft.get_base_model().config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or sys.maxsize)

    def _read(self, rows: Sequence[Ids], keep: int) -> Tensor:
        """One pass over left-padded rows. As transformers have it, to keep 0 positions is to keep all."""
        ids_BT, mask_BT = self.pad(rows)
        logits: Tensor = self._peft(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=(mask_BT.cumsum(-1) - 1).clamp(min=0),
            use_cache=False,
            logits_to_keep=keep,
        ).logits
        return logits

    def pad(self, rows: Sequence[Ids]) -> tuple[Tensor, Tensor]:
        """Rows padded on the left to one length: ids and attention mask, both B x T."""
        width = max(len(row) for row in rows)
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.stop_ids[0]
        ids_BT = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=self.device)
        mask_BT = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=self.device)
        return ids_BT, mask_BT

    def autocast(self) -> AbstractContextManager[None]:
        """The precision in which a step is computed; weights and sums keep theirs."""
        return mixed_precision(self.device)

    # -- adapters --------------------------------------------------------------------------------------------

    @contextmanager
    def using(self, adapter_id: str | None) -> Iterator[None]:
        """Run with this adapter active, or with the base alone (None). On exit the one before is put back."""
        with self._lock:
            before = self._active
            if before is None and adapter_id is None:
                yield
                return
            try:
                self._activate(adapter_id)
                yield
            finally:
                self._activate(before if before in self._loaded else None)

    @contextmanager
    def training(self, candidate_id: str, parent_id: str | None, seed: int) -> Iterator[list[nn.Parameter]]:
        """A fresh adapter, a copy of its parent's A and B, active and trainable. The parent is not touched.

        Yields the trainable parameters. If the body raises, the candidate is removed again.
        """
        with self._lock:
            before = self._active
            inherited = {} if parent_id is None else self.tensors(parent_id)
            self._add(candidate_id, inherited, seed)
            try:
                self._activate(candidate_id, trainable=True)
                yield list(self._parameters(candidate_id).values())
            except BaseException:
                self._activate(before)
                self.forget(candidate_id)
                raise
            finally:
                self._activate(before)

    def adapted(self, adapter_id: str | None) -> dict[str, AdaptedLayer]:
        """The layers that an adapter changes, by name, with its A and B; None: one that changes nothing."""
        name = adapter_id or "_none"
        return {
            at: AdaptedLayer(
                module.base_layer,
                module.lora_A[name].weight,
                module.lora_B[name].weight,
                module.scaling[name],
            )
            for at, module in self._layers.items()
        }

    @contextmanager
    def differentiable(self) -> Iterator[None]:
        """Gradients flow back to the activations of every layer, though nothing is trained."""
        base = self._peft.get_base_model()
        base.enable_input_require_grads()
        try:
            yield
        finally:
            base.disable_input_require_grads()

    def tensors(self, adapter_id: str) -> dict[str, Tensor]:
        """A copy of an adapter's A and B matrices, by the names they have in its file."""
        return {name: p.detach().clone() for name, p in self._parameters(adapter_id).items()}

    def max_difference(self, one_id: str, other_id: str) -> float:
        """The largest difference between a weight of one adapter and the same of another."""
        one, other = self.tensors(one_id), self.tensors(other_id)
        return max(float((one[name] - other[name]).abs().max()) for name in one)

    def save(self, adapter_id: str, directory: Path, manifest: dict[str, Any]) -> Path:
        """Write plain PEFT files and a manifest with their hashes: a whole directory or none.

        Raises AdapterError when it cannot be written, or exists: a saved adapter is never rewritten.
        """
        tensors = {name: t.to("cpu").contiguous() for name, t in sorted(self.tensors(adapter_id).items())}
        config = self._peft_config().to_dict()
        config["base_model_name_or_path"] = self.name
        # PEFT finds out on the first adapter that GPT-2's layers are transposed.
        config["fan_in_fan_out"] = self._peft.peft_config["_none"].fan_in_fan_out
        config["target_modules"] = sorted(self._peft.peft_config[adapter_id].target_modules)
        own = {"id": adapter_id, "base_hash": self.base_hash}
        with written_whole(directory, {**manifest, **own}) as partial:
            try:
                save_file(tensors, partial / WEIGHTS, metadata={"format": "pt"})
            except SafetensorError as error:
                raise OSError(_first_line(error)) from error
            write_json(partial / CONFIG, config)
        return directory

    def load_adapter(self, adapter_id: str, directory: Path) -> None:
        """Make a saved adapter available. Raises AdapterError when it is damaged or made for another base."""
        if adapter_id in self._loaded:
            return
        tensors = self.read_adapter(adapter_id, directory)
        with self._lock:
            self._add(adapter_id, tensors)

    def read_adapter(self, adapter_id: str, directory: Path) -> dict[str, Tensor]:
        """A and B of a saved adapter, by their names in its file; the model is not touched.

        Raises AdapterError when it is damaged or made for another base.
        """
        manifest = read_manifest(directory)
        if manifest["base_hash"] != self.base_hash:
            raise AdapterError(
                f"adapter {adapter_id} was made for another base model (its base is "
                f"{manifest['base_hash'][:12]}, {self.name!r} is {self.base_hash[:12]}): "
                "set model.name back, or move all that is known with `ice-agent rebuild --base`"
            )
        self._check_shape(adapter_id, directory)
        # Hashing checked the file already; PEFT's own loader would read it a second time and warn.
        return load_file(directory / WEIGHTS, device=str(self.device))

    def read_weights(self, adapter_id: str, directory: Path) -> Weights | None:
        """The same for rows of a `step`; None for an adapter that has learned nothing."""
        tensors = self.read_adapter(adapter_id, directory)
        fitting = {
            f"{at}.lora_{m}.weight": t.shape
            for at, layer in self.adapted(None).items()
            for m, t in (("A", layer.a_RI), ("B", layer.b_OR))
        }
        if fitting != {name: tensor.shape for name, tensor in tensors.items()}:
            raise self._misfit(adapter_id, "other layers")
        if not any(tensors[f"{at}.lora_B.weight"].any() for at in self._layers):
            return None
        return Weights(
            {at: (tensors[f"{at}.lora_A.weight"], tensors[f"{at}.lora_B.weight"]) for at in self._layers}
        )

    def create_root(self, adapter_id: str) -> None:
        """An adapter with B = 0: exactly the base model, the same everywhere. One that is there is kept."""
        with self._lock:
            if adapter_id not in self._loaded:
                self._add(adapter_id, {}, seed=0)

    def interpolate(self, one_id: str, other_id: str, alpha: float, adapter_id: str) -> None:
        """An adapter between two: A = A_1 + alpha (A_2 - A_1), and B likewise."""
        one, other = self.tensors(one_id), self.tensors(other_id)
        with self._lock:
            self._add(adapter_id, {name: one[name].lerp(other[name], alpha) for name in one})

    def forget(self, adapter_id: str) -> None:
        """Drop an adapter from memory; its files stay."""
        with self._lock:
            if adapter_id in self._loaded:
                self._activate(self._active if self._active != adapter_id else None)
                self._loaded.discard(adapter_id)
                self._peft.delete_adapter(adapter_id)

    def is_loaded(self, adapter_id: str) -> bool:
        return adapter_id in self._loaded

    def adds_nothing(self, adapter_id: str) -> bool:
        """True for an adapter that has learned nothing: its B is zero, and the model is the base."""
        return not torch.stack([layer.b_OR.any() for layer in self.adapted(adapter_id).values()]).any()

    def _with_root_slot(self, base: PreTrainedModel) -> PeftModel:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                peft = get_peft_model(base, self._peft_config(), adapter_name="_none")
        except ValueError as error:
            raise ModelError(
                f"no layer of {self.name!r} fits lora.layers = {self._lora.layers!r}: {_first_line(error)}"
            ) from error
        peft.eval()
        peft.requires_grad_(False)
        return peft

    def _peft_config(self) -> LoraConfig:
        layers: Any = "all-linear" if self._lora.layers == "all-linear" else list(MLP_LAYERS)
        return LoraConfig(
            r=self._lora.rank,
            lora_alpha=self._lora.alpha,
            target_modules=layers,
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
        )

    def _add(self, adapter_id: str, tensors: dict[str, Tensor], seed: int = 0) -> None:
        """A new, inactive adapter: with these A and B, or else with B = 0 and A drawn by the seed.

        It is gone again if they do not fit."""
        if adapter_id in self._loaded:
            raise AdapterError(f"adapter {adapter_id} is loaded already (forget it before it is made again)")
        # PEFT draws A on the CPU, from the process's own generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._peft.add_adapter(adapter_id, self._peft_config())
        self._loaded.add(adapter_id)
        self._activate(self._active)
        if tensors:
            try:
                self._set_tensors(adapter_id, tensors)
            except AdapterError:
                self.forget(adapter_id)
                raise

    def _parameters(self, adapter_id: str) -> dict[str, nn.Parameter]:
        """An adapter's own A and B, by the names they have in its file."""
        self._expect_loaded(adapter_id)
        marker = f".{adapter_id}."
        return {name.replace(marker, "."): p for name, p in self._peft.named_parameters() if marker in name}

    def _expect_loaded(self, adapter_id: str) -> None:
        if adapter_id not in self._loaded:
            raise AdapterError(f"adapter {adapter_id} is not loaded (load it from its directory first)")

    def _activate(self, adapter_id: str | None, trainable: bool = False) -> None:
        if adapter_id is not None:
            self._expect_loaded(adapter_id)
        self._peft.base_model.set_adapter(adapter_id or "_none", inference_mode=not trainable)
        # A root adds exactly nothing: multiplying by its zeros would take half as long again.
        if adapter_id is None or (not trainable and self.adds_nothing(adapter_id)):
            self._peft.base_model.disable_adapter_layers()
        else:
            self._peft.base_model.enable_adapter_layers()
        if not trainable:
            self._peft.requires_grad_(False)
        self._active = adapter_id

    @torch.no_grad()
    def _set_tensors(self, adapter_id: str, tensors: dict[str, Tensor]) -> None:
        own = self._parameters(adapter_id)
        if own.keys() != tensors.keys() or any(own[name].shape != t.shape for name, t in tensors.items()):
            raise self._misfit(adapter_id, "other layers")
        for name, tensor in tensors.items():
            own[name].copy_(tensor)

    def _check_shape(self, adapter_id: str, directory: Path) -> None:
        """Refuse another rank or scale: with another alpha the same tensors mean something else."""
        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        if (config.get("r"), config.get("lora_alpha")) != (self._lora.rank, self._lora.alpha):
            raise self._misfit(adapter_id, f"rank {config.get('r')} and alpha {config.get('lora_alpha')}")

    def _misfit(self, adapter_id: str, what: str) -> AdapterError:
        lora = ", ".join(f"{setting} = {value}" for setting, value in self._lora)
        return AdapterError(
            f"adapter {adapter_id} has {what}, which does not fit [lora] {lora} "
            "(set it back in config.toml: it is fixed for a lineage)"
        )

    def _chat(self, turns: Sequence[Turn], add_generation_prompt: bool = True, tools: Tools = ()) -> str:
        turns = turns if self._takes_system else folded(turns)
        return templated(self.tokenizer, turns, add_generation_prompt, tools)

    def _turn_end(self) -> Ids:
        """The token that the chat template puts after an answer: Gemma's is not its end-of-text token."""
        if self.prompts == "plain":
            return []
        answered = [Turn(role="user", content="QUESTION"), Turn(role="assistant", content="ANSWER")]
        try:
            after = self._chat(answered, add_generation_prompt=False).rpartition("ANSWER")[2].lstrip()
        except TemplateError as error:
            raise ModelError(
                f"the chat template of {self.name!r} fails on a question and an answer: {_first_line(error)} "
                '(set model.prompts = "plain" in config.toml, or mend the template)'
            ) from error
        first = list(self.tokenizer(after, add_special_tokens=False)["input_ids"])[:1]
        return [i for i in first if i in self.tokenizer.added_tokens_decoder]


# Names of the feed-forward layers in the architectures that transformers loads.
MLP_LAYERS = (
    "gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "c_fc",
    "dense_h_to_4h", "dense_4h_to_h",
)  # fmt: skip


def reference_dir() -> Path:
    """Where the bundled model lies."""
    return Path(str(resources.files("ice_agent.reference").joinpath("model")))


def _stop_ids(base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Every token that ends a turn; the tokenizer's own comes first."""
    configured = getattr(base.generation_config, "eos_token_id", None) if base.generation_config else None
    listed = configured if isinstance(configured, list) else [configured]
    found = [i for i in [tokenizer.eos_token_id, *listed] if i is not None]
    if not found:
        raise ModelError(
            "the tokenizer names no end-of-turn token (set eos_token in its tokenizer_config.json)"
        )
    return tuple(dict.fromkeys(int(i) for i in found))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
