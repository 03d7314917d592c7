"""Running a model: logits where they are asked for, and writing on from many prompts at once."""

from __future__ import annotations

import pytest
import torch

from ice_agent.distribution import Distribution
from ice_agent.turns import asking
from tests.tiny import ARCHITECTURES, LONG, SHORT, tiny_model, trained


@pytest.fixture
def model():
    return tiny_model()


@pytest.fixture(params=ARCHITECTURES)
def any_model(request):
    return tiny_model(request.param)


def test_a_padded_batch_gives_the_logits_of_each_row_alone(any_model):
    trained(any_model, "first")
    rows = [any_model.encode(asking(text)) for text in (SHORT, LONG, "What do I like?")]
    with any_model.using("first"), torch.inference_mode():
        alone = torch.cat([any_model.logits([row], 3) for row in rows])
        assert torch.allclose(any_model.logits(rows, 3), alone, atol=1e-4)


def test_the_head_reads_the_answers_alone_and_says_of_them_what_it_says_of_all(any_model, monkeypatch):
    trained(any_model, "first")
    rows = [any_model.encode(asking(text)) for text in (SHORT, LONG, "What do I like?")]
    n_answer = [1, 4, 2]
    with any_model.using("first"), torch.inference_mode():
        expected = torch.cat(
            [any_model.logits([row], n + 1)[0, :-1] for row, n in zip(rows, n_answer, strict=True)]
        )
        head = any_model.base.get_output_embeddings()
        read = []
        with head.register_forward_hook(lambda _, inputs, output: read.append(output.shape[:-1].numel())):
            assert torch.allclose(any_model.answer_logits(rows, n_answer), expected, atol=1e-4)
        assert read == [7]
        # A model that multiplies by its head's weights itself gives every position.
        uncalled = torch.nn.Module()
        monkeypatch.setattr(any_model.base, "get_output_embeddings", lambda: uncalled)
        assert torch.allclose(any_model.answer_logits(rows, n_answer), expected, atol=1e-4)


def test_greedy_completion_is_what_reading_everything_again_for_each_token_writes(any_model):
    trained(any_model, "first")
    prompts = [any_model.encode(asking(text)) for text in (LONG, SHORT, "What do I like?", SHORT)]
    with any_model.using("first"):
        written = any_model.complete(prompts, max_tokens=10, rows=3)
        assert [list(c.ids) for c in written] == [step_by_step(any_model, p, 10) for p in prompts]


def test_what_is_said_while_writing_is_what_reading_it_again_says(any_model):
    trained(any_model, "first")
    prompts = [any_model.encode(asking(text)) for text in (LONG, SHORT, "What?", "Who is it?", "And then?")]
    with any_model.using("first"):
        free = any_model.complete(prompts, max_tokens=9, stop_ids=[0])
        stops = [row.ids[at] for row, at in zip(free, (1, 2, 3), strict=False)]
        written = any_model.complete(prompts, max_tokens=9, stop_ids=stops, top_k=4, rows=3)
    assert len({len(row.ids) for row in written}) > 1, "or none has left the batch"
    for prompt, row in zip(prompts, written, strict=True):
        n_said = len(row.ids) + row.stopped
        assert len(row.said) == n_said
        with any_model.using("first"), torch.inference_mode():
            logits_NV = any_model.answer_logits([[*prompt, *row.ids, 0][: len(prompt) + n_said]], [n_said])
        again = Distribution.of(logits_NV, 4)
        assert torch.equal(row.said.ids_NK, again.ids_NK)
        assert torch.allclose(row.said.log_p_NK, again.log_p_NK, atol=1e-4)
        assert torch.allclose(row.said.log_rest_N, again.log_rest_N, atol=1e-3)


def test_nothing_is_kept_of_what_is_said_unless_asked(model):
    (written,) = model.complete([model.encode(asking(SHORT))], max_tokens=3)
    assert written.said is None


def test_rows_that_stop_early_do_not_change_what_the_others_write(any_model):
    prompts = [any_model.encode(asking(text)) for text in (LONG, SHORT, "What?", "Who is it?", "And then?")]
    free = any_model.complete(prompts, max_tokens=9, stop_ids=[0])
    stops = [row.ids[at] for row, at in zip(free, (1, 2, 3), strict=False)]
    written = any_model.complete(prompts, max_tokens=9, stop_ids=stops)
    expected = [step_by_step(any_model, prompt, 9, stops) for prompt in prompts]
    assert [list(c.ids) for c in written] == expected
    assert [c.stopped for c in written] == [len(ids) < 9 for ids in expected]
    assert len({len(ids) for ids in expected}) > 1


def test_a_completion_stops_before_the_stop_token_and_says_that_it_stopped(model):
    prompt = model.encode(asking(LONG))
    (free,) = model.complete([prompt], max_tokens=8, stop_ids=[0])
    stop = free.ids[3]
    (stopped, other) = model.complete([prompt, model.encode(asking(SHORT))], max_tokens=8, stop_ids=[stop])
    assert (stopped.ids, stopped.stopped) == (free.ids[: free.ids.index(stop)], True)
    assert stop not in other.ids
    assert (len(free.ids), free.stopped) == (8, False)


def test_sampling_is_repeatable_with_a_generator(model):
    prompts = [model.encode(asking(text)) for text in (SHORT, LONG)]
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)]
    first, again, other = (model.complete(prompts, temperature=1.0, generator=g) for g in generators)
    assert first == again != other


def test_nothing_to_complete_is_nothing(model):
    assert model.complete([]) == []


@torch.inference_mode()
def step_by_step(model, prompt, max_tokens, stops=()):
    written: list[int] = []
    for _ in range(max_tokens):
        token = int(model.logits([[*prompt, *written]], 1)[0, -1].argmax())
        if token in (stops or model.stop_ids):
            break
        written.append(token)
    return written
