"""What replaces the library's computations on a CPU says what they say."""

from contextlib import suppress

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention, silu
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.models.gpt_neox import modeling_gpt_neox
from transformers.models.llama import modeling_llama

from mygo.models.checkpoints import load_checkpoint
from mygo.scoring.attention import Segments, packed_attention
from mygo.scoring.cpu.attention import suits_blocks
from mygo.scoring.cpu.kernels import CpuKernels, rms_norm, rotate, silu_times_
from mygo.scoring.nll import online_logsumexp, plain_logsumexp

SHAPE = {
    "vocab_size": 101,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
}


def replaced(model) -> dict[str, int]:
    """How many methods of each class are replaced, and by what."""
    found = [f"{type(module).__name__}.{name}: {ours.__name__}" for module, name, ours in CpuKernels(model).methods]
    return {what: found.count(what) for what in sorted(set(found))}


def test_cpu_kernels_are_used_only_where_they_say_the_same():
    """Llama rotates, norms and multiplies in the plain way; GPT-2 does none of it."""
    llama = LlamaForCausalLM(LlamaConfig(**SHAPE))
    assert [file.__name__ for file in CpuKernels(llama).rotations] == [modeling_llama.__name__]
    assert replaced(llama) == {"LlamaMLP.forward: swiglu": 2, "LlamaRMSNorm.forward: rms_norm": 5}
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=101, n_embd=32, n_layer=2, n_head=4))
    assert (CpuKernels(gpt2).rotations, CpuKernels(gpt2).methods) == ([], [])
    gemma = Gemma2ForCausalLM(Gemma2Config(**SHAPE, head_dim=8))  # its norm adds one to the weight
    assert replaced(gemma) == {}


def test_a_gate_keeps_its_place_before_the_block_that_is_replaced(tiny_selector):
    model = load_checkpoint(tiny_selector, torch.float32)
    found = [what for what in replaced(model) if "swiglu" in what]
    assert found == ([] if "SelectMoe" in type(model).__name__ else ["GatedQwen3MLP.whole: swiglu"])
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        before = model(ids).logits
        with CpuKernels(model).in_use():
            torch.testing.assert_close(model(ids).logits, before, atol=1e-5, rtol=0)


def test_within_the_block_this_model_alone_computes_with_ours():
    llama, other = LlamaForCausalLM(LlamaConfig(**SHAPE)), LlamaForCausalLM(LlamaConfig(**SHAPE))
    other.model.norm.forward = own = lambda x: x  # as a hook of another library would leave it
    norm, rotation = modeling_llama.LlamaRMSNorm.forward, modeling_llama.apply_rotary_pos_emb
    kernels = CpuKernels(llama)
    with suppress(ZeroDivisionError), kernels.in_use(), CpuKernels(other).in_use():
        assert llama.model.norm.forward.__func__ is rms_norm
        assert other.model.norm.forward is own  # which norms nothing
        assert modeling_llama.apply_rotary_pos_emb is rotate
        assert modeling_llama.LlamaRMSNorm.forward is norm
        _ = 1 / 0  # a row that fails
    assert not [module for module in llama.modules() if "forward" in vars(module)]
    assert other.model.norm.forward is own
    assert modeling_llama.apply_rotary_pos_emb is rotation


@pytest.mark.parametrize("tokens", [3, 5000])  # in one piece, in several
@pytest.mark.parametrize(
    ("turned", "library"), [(64, modeling_llama.apply_rotary_pos_emb), (16, modeling_gpt_neox.apply_rotary_pos_emb)]
)
def test_rotations_of_all_and_of_part_of_a_head(tokens, turned, library):
    q, k, cos, sin = (
        torch.randn(shape)
        for shape in ((1, 4, tokens, 64), (1, 2, tokens, 64), (1, tokens, turned), (1, tokens, turned))
    )
    torch.testing.assert_close(rotate(q, k, cos, sin), library(q, k, cos, sin), atol=1e-5, rtol=0)
    beside = rotate(q.transpose(1, 2), k.transpose(1, 2), cos, sin, unsqueeze_dim=2)
    torch.testing.assert_close([x.transpose(1, 2) for x in beside], list(library(q, k, cos, sin)), atol=1e-5, rtol=0)


class Scaled(modeling_llama.LlamaMLP):
    """A feed-forward block with the parts of SwiGLU that computes something else."""

    def forward(self, x):
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x)) * 2


class Strange(torch.nn.Module):
    """The same with another signature, and without a parent that computes SwiGLU."""

    def __init__(self):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = (torch.nn.Linear(8, 8) for _ in range(3))
        self.act_fn = torch.nn.SiLU()

    def forward(self, x, mask):
        return x * mask


@pytest.mark.parametrize("block", [lambda: Scaled(LlamaConfig(**SHAPE)), Strange])
def test_a_feed_forward_block_that_computes_something_else_stays_so(block):
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    model.model.layers[0].mlp = model.model.layers[1].mlp = block()
    assert replaced(model) == {"LlamaRMSNorm.forward: rms_norm": 5}


def test_silu_in_pieces_writes_into_the_gate():
    gate_up = torch.randn(1000, 600)
    gate, up = gate_up.chunk(2, dim=-1)
    expected = silu(gate) * up
    assert silu_times_(gate, up) is gate
    torch.testing.assert_close(gate_up[:, :300], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_in_blocks_equals_the_library_on_each_sample(kv_heads):
    """Lengths below, at, between and beyond the blocks' limits, and some twice in a row."""
    lengths = [1030, 1024, 300, 129, 128, 128, 65, 64, 63, 20, 20, 1]
    q, k, v = (torch.randn(1, heads, sum(lengths), 8) for heads in (4, kv_heads, kv_heads))
    assert [suits_blocks(q, length) for length in lengths] == [False] + [True] * 7 + [False] * 4
    out, _ = packed_attention(torch.nn.Identity(), q, k, v, None, segments=Segments.of(lengths, q.device), scaling=0.3)
    parts = zip(*(x.split(lengths, dim=2) for x in (q, k, v)), strict=True)
    expected = [
        scaled_dot_product_attention(*part, is_causal=True, scale=0.3, enable_gqa=True).transpose(1, 2)
        for part in parts
    ]
    torch.testing.assert_close(out, torch.cat(expected, dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "level", [0.0, -100.0, 200.0]
)  # exponentials of the latter two leave float32: they are shifted
def test_logsumexp_of_tiles(level):
    logits = torch.randn(20, 50) * 5 + level
    expected = torch.logsumexp(logits.double(), 1).float()
    for way in (plain_logsumexp, online_logsumexp):
        torch.testing.assert_close(
            way(iter(logits.clone().split(16, dim=1))), expected, atol=2e-5 if level else 1e-5, rtol=0
        )


@pytest.mark.parametrize("row", [[-100.0] * 50, [100.0] * 50, [0.0] * 16 + [200.0] * 34])
def test_sums_that_float32_does_not_hold_are_left_to_the_online_way(row):
    logits = torch.randn(20, 50)
    logits[3] = torch.tensor(row)
    assert plain_logsumexp(iter(logits.clone().split(16, dim=1))) is None
    torch.testing.assert_close(
        online_logsumexp(iter(logits.clone().split(16, dim=1))), torch.logsumexp(logits, 1), atol=1e-4, rtol=0
    )


def test_what_is_not_a_number_stays_so():
    logits = torch.full((2, 50), torch.nan)
    assert plain_logsumexp(iter(logits.clone().split(16, dim=1))) is None
    assert online_logsumexp(iter(logits.clone().split(16, dim=1))).isnan().all()
