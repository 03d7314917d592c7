from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from ice_agent.device import dtype_on, mixed_precision, multiplies_bfloat16

CPU = torch.device("cpu")


@pytest.fixture(params=["avx512_bf16", "amx_bf16", "bf16", None])
def has_bf16(request, monkeypatch):
    """A CPU with one of the instruction sets that multiply bfloat16, or with none."""
    multiplies_bfloat16.cache_clear()
    names = {request.param: True} if request.param else {"avx2": True, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: names)
    yield request.param is not None
    multiplies_bfloat16.cache_clear()


def test_products_are_in_half_precision_where_the_cpu_multiplies_it_and_weights_are_not(has_bf16):
    weight = torch.nn.Parameter(torch.ones(3, 3))
    with mixed_precision(CPU):
        product = linear(torch.ones(2, 3), weight)
    product.sum().backward()
    assert product.dtype is (torch.bfloat16 if has_bf16 else torch.float32)
    assert weight.dtype is torch.float32
    assert weight.grad is not None
    assert weight.grad.dtype is torch.float32


def test_attention_in_half_precision_says_what_it_says_in_full(has_bf16):
    queries, keys, values = torch.randn(3, 2, 3, 5, 16, generator=torch.Generator().manual_seed(0))
    expected = scaled_dot_product_attention(queries, keys, values, is_causal=True)
    with mixed_precision(CPU):
        attended = scaled_dot_product_attention(queries, keys, values, is_causal=True)
    assert torch.allclose(attended.float(), expected, atol=0.03)


def test_precision_is_as_it_was_afterwards_and_after_an_error():
    with pytest.raises(RuntimeError, match="broken off"), mixed_precision(CPU):
        raise RuntimeError("broken off")
    assert linear(torch.ones(2, 3), torch.ones(3, 3)).dtype is torch.float32


def test_weights_are_kept_in_full_precision_on_a_cpu_and_in_half_on_a_gpu_unless_told():
    assert dtype_on(CPU, "auto") is torch.float32
    assert dtype_on(torch.device("cuda"), "auto") is torch.bfloat16
    assert dtype_on(CPU, "bfloat16") is torch.bfloat16
    assert dtype_on(torch.device("cuda"), "float32") is torch.float32
