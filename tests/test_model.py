from __future__ import annotations

import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import pytest
import torch
from peft import PeftModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ice_agent.digest import base_identity, weights_hash
from ice_agent.errors import AdapterError, ModelError
from ice_agent.manifest import read_manifest
from ice_agent.model import EditableModel
from ice_agent.settings import LoraSettings, ModelSettings
from ice_agent.turns import Turn, asking, fewest_tokens
from tests.forked import in_a_child
from tests.tiny import (
    ARCHITECTURES,
    LONG,
    LORA,
    SHORT,
    TEMPLATE_DEAF_TO_SYSTEM,
    TEMPLATE_WITHOUT_SYSTEM,
    tiny_base,
    tiny_model,
    tiny_tokenizer,
    trained,
)


@pytest.fixture
def model():
    return tiny_model()


@pytest.fixture(params=ARCHITECTURES)
def any_model(request):
    return tiny_model(request.param)


@pytest.fixture
def saved(tmp_path):
    """A trained adapter on disk, and the logits it was judged by."""
    model = tiny_model()
    trained(model, "first")
    directory = model.save("first", tmp_path / "first", {"tenant": "ann"})
    return directory, read(model, "first")


# -- weights -------------------------------------------------------------------------------------------------


def test_an_adapter_with_a_zero_b_adds_nothing_and_is_the_base_to_the_bit(any_model):
    any_model.create_root("root")
    assert any_model.adds_nothing("root")
    assert torch.equal(read(any_model, "root"), read(any_model, None))
    trained(any_model, "first")
    assert not any_model.adds_nothing("first")
    assert not torch.equal(read(any_model, "first"), read(any_model, "root"))


def test_a_blank_candidate_learns_though_its_zeros_are_not_multiplied_elsewhere(model):
    model.create_root("root")
    with model.training("first", "root", 0) as parameters:
        before = [p.detach().clone() for p in parameters]
        logits = model.logits([[1, 8, 9, 10]], 4)
        assert logits.requires_grad
        logits.square().sum().backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in parameters)
    assert all(torch.equal(p, old) for p, old in zip(parameters, before, strict=True))


def test_training_leaves_the_base_weights_bit_identical(any_model):
    before = base_weights(any_model)
    trained(any_model, "first")
    after = base_weights(any_model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_training_a_candidate_leaves_base_and_parent_bit_equal_and_moves_the_candidate(any_model):
    trained(any_model, "first")
    base, parent = read(any_model, None), read(any_model, "first")
    trained(any_model, "second", parent="first")
    assert torch.equal(read(any_model, None), base)
    assert torch.equal(read(any_model, "first"), parent)
    assert not torch.allclose(read(any_model, "second"), parent, atol=1e-3)


def test_a_candidate_starts_as_a_copy_of_its_parent(model):
    trained(model, "first")
    with model.training("second", "first", seed=1):
        pass
    assert torch.equal(read(model, "second"), read(model, "first"))


def test_a_root_is_exactly_the_base(any_model):
    any_model.create_root("root")
    assert torch.equal(read(any_model, "root"), read(any_model, None))


def test_the_same_seed_trains_the_same_adapter(model):
    trained(model, "first", seed=3)
    trained(model, "second", seed=3)
    assert torch.equal(read(model, "first"), read(model, "second"))


def test_only_the_candidate_is_trainable_and_nothing_is_afterwards(model):
    model.create_root("root")
    with model.training("first", "root", seed=0) as parameters:
        assert {id(p) for p in everything(model) if p.requires_grad} == {id(p) for p in parameters}
    assert not any(p.requires_grad for p in everything(model))


def test_a_failed_training_removes_its_candidate(model):
    model.create_root("root")
    with model.using("root"):
        with pytest.raises(KeyboardInterrupt), model.training("first", "root", seed=0):
            raise KeyboardInterrupt
        assert not model.is_loaded("first")
        assert torch.equal(read_active(model), read(model, None))
    trained(model, "first", parent="root")


def test_training_from_a_parent_that_is_not_loaded_says_so_and_leaves_nothing(model):
    with pytest.raises(AdapterError, match="nobody is not loaded"), model.training("first", "nobody", seed=0):
        pass
    assert not model.is_loaded("first")


def test_training_never_writes_over_an_adapter_that_is_loaded(model):
    trained(model, "first")
    before = read(model, "first")
    with pytest.raises(AdapterError, match="first is loaded already"), model.training("first", None, seed=0):
        pass
    assert torch.equal(read(model, "first"), before)


def test_using_puts_back_what_was_active_also_after_an_exception(model):
    trained(model, "first")
    trained(model, "second")
    base, first = read(model, None), read(model, "first")
    with model.using("first"):
        with pytest.raises(RuntimeError), model.using("second"):
            raise RuntimeError
        assert torch.equal(read_active(model), first)
    assert torch.equal(read_active(model), base)


def test_a_root_is_the_same_whatever_was_drawn_before_and_draws_nothing_itself():
    roots = []
    for seed in (1, 2):
        model = tiny_model()
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        model.create_root("root")
        assert torch.equal(torch.get_rng_state(), before)
        roots.append(model.tensors("root"))
    assert roots[0].keys() == roots[1].keys()
    assert all(torch.equal(a, roots[1][name]) for name, a in roots[0].items())


def test_two_threads_never_read_with_each_others_adapter(model):
    trained(model, "first")
    trained(model, "second")
    first, second = read(model, "first"), read(model, "second")
    with ThreadPoolExecutor(max_workers=1) as other:
        with model.using("first"):
            theirs = other.submit(read, model, "second")
            assert torch.equal(read_active(model), first)
            assert not theirs.done()
        assert torch.equal(theirs.result(timeout=60), second)


def test_using_an_adapter_that_is_not_loaded_says_so_and_changes_nothing(model):
    trained(model, "first")
    with model.using("first"):
        before = read_active(model)
        with pytest.raises(AdapterError, match="nobody is not loaded"), model.using("nobody"):
            pass
        assert torch.equal(read_active(model), before)


def test_forgetting_the_active_adapter_leaves_the_base_active(model):
    base = read(model, None)
    trained(model, "first")
    with model.using("first"):
        model.forget("first")
        assert torch.equal(read_active(model), base)
    assert not model.is_loaded("first")


def test_the_hash_tells_bases_apart_and_knows_the_same_one_again():
    assert (
        base_identity(tiny_base(seed=0)) == base_identity(tiny_base(seed=0)) == tiny_model(seed=0).base_hash
    )
    assert base_identity(tiny_base(seed=0)) != base_identity(tiny_base(seed=1))


def test_the_hash_sees_one_flipped_weight():
    base = tiny_base()
    before = weights_hash(base)
    with torch.no_grad():
        next(base.parameters()).view(-1)[0] += 1e-3
    assert weights_hash(base) != before


def test_the_hash_reads_a_buffer_that_is_a_single_number():
    base = tiny_base()
    base.register_buffer("scale", torch.tensor(2.0))
    assert weights_hash(base) != weights_hash(tiny_base())


# -- files ---------------------------------------------------------------------------------------------------


def test_loading_a_saved_adapter_reproduces_its_logits_bit_for_bit(any_model, tmp_path):
    trained(any_model, "first")
    any_model.save("first", tmp_path / "first", {})
    fresh = tiny_model(any_model.name.removeprefix("tiny-"))
    fresh.load_adapter("first", tmp_path / "first")
    assert torch.equal(read(fresh, "first"), read(any_model, "first"))
    assert torch.equal(read(fresh, None), read(any_model, None))


# PEFT's own loader asks transformers for something that is deprecated.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")
@pytest.mark.parametrize("layers", ["all-linear", "mlp"])
def test_a_saved_adapter_is_plain_peft(any_model, layers, tmp_path):
    architecture = any_model.name.removeprefix("tiny-")
    model = tiny_model(architecture, lora=LoraSettings(rank=3, alpha=12, layers=layers))
    trained(model, "first")
    model.save("first", tmp_path / "first", {})
    theirs = PeftModel.from_pretrained(tiny_base(architecture), tmp_path / "first").eval()
    ids = model.encode(asking(LONG))
    with torch.inference_mode():
        expected = theirs(input_ids=torch.tensor([ids])).logits[:, -1:]
    with model.using("first"), torch.inference_mode():
        assert torch.allclose(model.logits([ids], 1), expected, atol=1e-5)


def test_a_manifest_names_the_adapter_its_base_and_the_hashes_of_its_files(saved, model):
    directory, _ = saved
    manifest = read_manifest(directory)
    assert (manifest["id"], manifest["base_hash"], manifest["tenant"]) == ("first", model.base_hash, "ann")
    assert set(manifest["files"]) == {path.name for path in directory.iterdir()} - {"manifest.json"}


def test_an_adapter_of_another_base_is_refused_and_both_are_named(saved):
    directory, _ = saved
    other = tiny_model(seed=1)
    with pytest.raises(AdapterError) as refused:
        other.load_adapter("first", directory)
    assert read_manifest(directory)["base_hash"][:12] in str(refused.value)
    assert other.base_hash[:12] in str(refused.value)
    assert "set model.name back" in str(refused.value)
    assert not other.is_loaded("first")


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_flipped_byte_is_refused(saved, model, name):
    directory, _ = saved
    content = bytearray((directory / name).read_bytes())
    content[-3] ^= 1
    (directory / name).write_bytes(content)
    with pytest.raises(AdapterError, match=rf"{name} is damaged.*ice-agent revert"):
        model.load_adapter("first", directory)
    assert not model.is_loaded("first")


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "manifest.json"])
def test_a_missing_file_is_refused(saved, model, name):
    directory, _ = saved
    (directory / name).unlink()
    with pytest.raises(AdapterError, match=rf"no readable adapter at .*{directory.name}.*ice-agent revert"):
        model.load_adapter("first", directory)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {}}', '{"files": []}', "{"])
def test_a_manifest_that_vouches_for_nothing_is_refused(saved, model, text):
    directory, _ = saved
    (directory / "manifest.json").write_text(text)
    with pytest.raises(AdapterError, match="no readable adapter at"):
        model.load_adapter("first", directory)


@pytest.mark.parametrize(
    ("lora", "named"),
    [
        (LoraSettings(rank=2, alpha=8), "rank = 2"),
        # The tensors would fit, and mean half as much.
        (LoraSettings(rank=LORA.rank, alpha=4), "alpha = 4"),
        (LoraSettings(rank=LORA.rank, alpha=8, layers="mlp"), "layers = mlp"),
    ],
)
def test_an_adapter_of_another_shape_is_refused(saved, lora, named):
    directory, _ = saved
    model = tiny_model(lora=lora)
    with pytest.raises(AdapterError, match=f"adapter first .*{named}.*config.toml"):
        model.load_adapter("first", directory)
    assert not model.is_loaded("first")


def test_a_saved_adapter_is_never_rewritten(saved, model):
    directory, logits = saved
    trained(model, "second", seed=9)
    with pytest.raises(AdapterError, match="is there already"):
        model.save("second", directory, {})
    model.load_adapter("first", directory)
    assert torch.equal(read(model, "first"), logits)


def test_saving_where_a_file_stands_in_the_way_names_the_place_and_the_next_step(model, tmp_path):
    (tmp_path / "adapters").write_text("not a folder")
    model.create_root("root")
    with pytest.raises(AdapterError, match=r"could not write adapter root to .*adapters.*writable"):
        model.save("root", tmp_path / "adapters" / "root", {})


def test_a_full_disk_is_one_error_and_leaves_no_file_behind(model, tmp_path):
    adapters, said = tmp_path / "adapters", tmp_path / "said"
    adapters.mkdir()
    model.create_root("root")

    def save():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            model.save("root", adapters / "root", {})
        except AdapterError as error:
            said.write_text(str(error))

    assert in_a_child(save) == 0
    assert "could not write adapter root" in said.read_text()
    assert "with space left" in said.read_text()
    assert list(adapters.iterdir()) == []


def test_a_saved_adapter_can_be_read_by_whoever_may_read_its_folder(model, tmp_path):
    tmp_path.chmod(0o755)
    model.create_root("root")
    assert model.save("root", tmp_path / "root", {}).stat().st_mode & 0o777 == 0o755


# -- prompts -------------------------------------------------------------------------------------------------


def test_a_conversation_is_rendered_by_the_chat_template(model):
    turns = [Turn(role="system", content="Be brief."), Turn(role="user", content=SHORT)]
    assert told(model, turns) == "<s><system>Be brief.<end><user>Hi?<end><assistant>"


@pytest.mark.parametrize("template", [TEMPLATE_WITHOUT_SYSTEM, TEMPLATE_DEAF_TO_SYSTEM])
def test_a_template_without_system_role_gets_the_systems_words_in_the_first_user_turn(template):
    model = tiny_model(template=template)
    turns = [
        *asking(SHORT, "Be brief."),
        Turn(role="assistant", content="Yes."),
        Turn(role="user", content="?"),
    ]
    first, rest = "<s><user>Be brief.\n\nHi?<end>", "<assistant>Yes.<end><user>?<end><assistant>"
    assert told(model, turns) == first + rest
    assert told(model, asking(SHORT)) == "<s><user>Hi?<end><assistant>"
    assert told(model, [Turn(role="system", content="Be brief.")]) == "<s><user>Be brief.<end><assistant>"


@pytest.mark.parametrize("template", [None, TEMPLATE_WITHOUT_SYSTEM])
def test_an_open_user_turn_ends_where_the_user_would_speak(template):
    model = tiny_model(template=template) if template else tiny_model()
    with_context = "<s><user>Be brief.\n\n" if template else "<s><system>Be brief.<end><user>"
    assert model.tokenizer.decode(model.encode_open_user_turn("")) == "<s><user>"
    assert model.tokenizer.decode(model.encode_open_user_turn("Be brief.")) == with_context


def test_plain_prompts_need_no_template():
    model = tiny_model(template=None, prompts="plain")
    assert told(model, asking(SHORT, "Be brief.")) == "Be brief.\nQuestion: Hi?\nAnswer:"
    assert model.tokenizer.decode(model.encode_open_user_turn("")) == "Question:"
    assert model.tokenizer.decode(model.encode_answer("Yes.")) == " Yes.<end>"


def test_a_prompt_and_its_answer_are_the_tokens_of_the_rendered_conversation(model):
    turns = [*asking(SHORT), Turn(role="assistant", content="Yes.")]
    whole = told(model, turns).removesuffix("<assistant>")
    assert model.tokenizer.decode([*model.encode(asking(SHORT)), *model.encode_answer("Yes.")]) == whole


def test_an_answer_ends_with_the_token_that_the_template_ends_turns_with():
    model = tiny_model(eos="<eos>")
    end, eos = model.tokenizer.convert_tokens_to_ids(["<end>", "<eos>"])
    assert model.encode_answer("Yes.")[-1] == end
    assert {end, eos} <= set(model.stop_ids)


def test_a_tokenizer_without_chat_template_is_refused_with_the_way_out():
    with pytest.raises(ModelError, match=r"tiny-llama.*no chat template.*model.prompts = \"plain\""):
        tiny_model(template=None)


def test_a_broken_chat_template_is_refused_with_the_way_out():
    with pytest.raises(ModelError, match=r"chat template of 'tiny-llama' fails.*model.prompts = \"plain\""):
        tiny_model(template="{{ raise_exception('no') }}")


def test_a_model_without_the_layers_to_adapt_is_refused():
    base = torch.nn.Module()
    with pytest.raises(ModelError, match=r"'bare'.*lora.layers = 'mlp'"):
        EditableModel(with_a_single_layer(base), tiny_tokenizer(), LoraSettings(layers="mlp"), name="bare")


# -- loading a model -----------------------------------------------------------------------------------------


def test_a_folder_with_a_model_is_loaded(tmp_path):
    tiny_base().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = EditableModel.load(ModelSettings(name=str(tmp_path), device="cpu"), LORA)
    assert torch.equal(read(model, None), read(tiny_model(), None))


def test_bfloat16_works_on_the_cpu(tmp_path):
    tiny_base().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = EditableModel.load(ModelSettings(name=str(tmp_path), device="cpu", dtype="bfloat16"), LORA)
    assert model.dtype is torch.bfloat16
    trained(model, "first")
    model.save("first", tmp_path / "first", {})
    fresh = tiny_model(dtype=torch.bfloat16)
    fresh.load_adapter("first", tmp_path / "first")
    assert torch.equal(read(fresh, "first"), read(model, "first"))
    assert not torch.equal(read(model, "first"), read(model, None))
    assert len(model.complete([model.encode(asking(LONG))], max_tokens=4)) == 1


@pytest.mark.parametrize("content", [None, {}, {"config.json": "{"}, {"config.json": '{"model_type": "x"}'}])
def test_a_place_without_a_model_is_refused_by_name(tmp_path, content):
    place = tmp_path / "model"
    if content is not None:
        place.mkdir()
        for name, text in content.items():
            (place / name).write_text(text)
    with pytest.raises(ModelError, match=r"no usable model at '.*model'.*set model.name"):
        EditableModel.load(ModelSettings(name=str(place), device="cpu"), LORA)


def test_damaged_weights_are_refused_by_name(tmp_path):
    tiny_base().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="no usable model at"):
        EditableModel.load(ModelSettings(name=str(tmp_path), device="cpu"), LORA)


def test_pickled_weights_are_never_read(tmp_path):
    tiny_base().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(tiny_base().state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        EditableModel.load(ModelSettings(name=str(tmp_path), device="cpu"), LORA)


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ModelError, match=r'model.device is "cuda:97"'):
        EditableModel.load(ModelSettings(device="cuda:97"), LORA)


# -- what the tests are made of ------------------------------------------------------------------------------


def read(model, adapter_id):
    with model.using(adapter_id):
        return read_active(model)


@torch.inference_mode()
def read_active(model):
    return model.logits([model.encode(asking(text)) for text in (SHORT, LONG)], 3)


def everything(model):
    return list(model._peft.parameters())


def base_weights(model):
    """The weights that are not an adapter's, by the names they have in the bare model."""
    return {
        name.replace(".base_layer", ""): p.detach().clone()
        for name, p in model._peft.named_parameters()
        if "lora_" not in name
    }


def told(model, turns):
    return model.tokenizer.decode(model.encode(turns))


def with_a_single_layer(base):
    base.only = torch.nn.Linear(2, 2)
    base.config = tiny_base().config
    return base


def test_a_base_is_the_same_base_in_float32_and_in_bfloat16():
    single, half = tiny_base(seed=0), tiny_base(seed=0).to(torch.bfloat16)
    assert base_identity(single) == base_identity(half)
    assert weights_hash(single) != weights_hash(half)


def test_the_fewest_tokens_of_a_conversation_are_never_more_than_it_has():
    bundled = AutoTokenizer.from_pretrained(resources.files("ice_agent.reference") / "model")
    longest = max(bundled.get_vocab(), key=len)
    said = bundled.convert_tokens_to_string([longest])
    for each in (said, "e\u0301", "\U0001f4a5", " ", "<|user|>", "Where do I live? "):
        text = each * 300
        n_tokens = len(bundled(text, add_special_tokens=False)["input_ids"])
        assert fewest_tokens(bundled, asking(text)) <= n_tokens
    assert fewest_tokens(bundled, asking("x" * 900_000)) > 50_000
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"?": 0}, unk_token="?")))
    assert fewest_tokens(words, asking("x" * 900_000)) == 0
