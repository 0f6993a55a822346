"""The gate and the trash experts on a block that is small enough to compute by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mygo.errors import UserError
from mygo.models.gate import QualityGate, add_gate, blend, freeze_all_but, gated_blocks, routing_parameters
from mygo.models.gate import gated as gated_class
from mygo.models.trash import NoiseExpert, custom_expert


class Doubling(nn.Module):
    """A feed-forward block: 2 x."""

    def __init__(self, config):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.factor * x


class Constant(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.size = config.hidden_size

    def forward(self, x):
        return torch.full_like(x, 8.0)


def config(mode="zero", module=None):
    return SimpleNamespace(hidden_size=2, trash_expert_mode=mode, trash_expert_module=module)


def gated(mode="zero", module=None):
    block = Doubling(config(mode, module))
    add_gate(block, config(mode, module))
    block.quality_gate.weight = nn.Parameter(torch.tensor([[math.log(3), 0.0]]))
    return block


def test_the_gate_is_one_row_without_a_bias():
    gate = QualityGate(5)
    assert [(name, tuple(x.shape)) for name, x in gate.named_parameters()] == [("weight", (1, 5))]
    assert gate(torch.ones(2, 3, 5)).shape == (2, 3, 1)


def test_a_gated_block_is_the_block_in_the_share_of_its_gate():
    # w . x = ln 3 * 1: sigmoid 0.75; 0.75 * 2 (1, 4) = (1.5, 6), and with trash 8: + 0.25 * 8 = 2
    x = torch.tensor([[[1.0, 4.0]]])
    torch.testing.assert_close(gated()(x), torch.tensor([[[1.5, 6.0]]]))
    module = f"{__name__}:Constant"
    torch.testing.assert_close(gated("custom", module)(x), torch.tensor([[[3.5, 8.0]]]))


def test_trash_that_is_zero_computes_nothing():
    assert gated().trash_expert is None
    assert isinstance(gated("noise").trash_expert, NoiseExpert)


def test_blend_keeps_the_dtype_of_the_block_and_every_gradient():
    score, ffn, trash = (
        torch.full(shape, value, dtype=torch.bfloat16, requires_grad=True)
        for shape, value in (((1, 1, 1), 0.0), ((1, 1, 2), 4.0), ((1, 1, 2), 2.0))
    )
    out = blend(score, ffn, trash)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    # d/dscore = g (1 - g) (ffn - trash), summed over two dimensions: 0.25 * 2 * 2
    assert (score.grad.item(), ffn.grad[0, 0, 0].item(), trash.grad[0, 0, 0].item()) == (1.0, 0.5, 0.5)


def test_noise_in_evaluation_is_one_draw_for_all_tokens():
    expert = NoiseExpert().eval()
    x = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(1)) * 3 + 2
    noise = expert(x)
    assert torch.equal(noise, expert(x))
    torch.testing.assert_close(noise[1:, 1:2], expert(x[1:, 1:2]))  # whatever it is batched with
    torch.testing.assert_close(noise.mean(-1), x.mean(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(noise.std(-1), x.std(-1), atol=1e-4, rtol=0)
    scaled = (noise - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
    torch.testing.assert_close(scaled, scaled[:1, :1].expand_as(scaled), atol=1e-4, rtol=0)
    expected = torch.randn(64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(scaled[0, 0], (expected - expected.mean()) / expected.std(), atol=1e-4, rtol=0)


def test_noise_in_training_differs_between_tokens_and_calls_and_has_no_gradient():
    x = torch.randn(1, 2, 32, requires_grad=True)
    expert = NoiseExpert().train()
    noise = expert(x)
    assert not noise.requires_grad
    assert not torch.equal(noise, expert(x))
    scaled = (noise - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
    assert not torch.allclose(scaled[0, 0], scaled[0, 1], atol=0.1)


def test_noise_has_the_dtype_of_its_input():
    for training in (True, False):
        assert NoiseExpert().train(training)(torch.ones(1, 1, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["math:sqrt", "torch.nn:functional", "builtins:dict"])
def test_a_custom_expert_that_is_no_module_is_one_sentence(name):
    with pytest.raises(UserError) as error:
        custom_expert(config("custom", name))
    assert str(error.value) == (f"convert.trash_expert_module: got {name!r}, which is not a torch.nn.Module class")


def test_a_custom_expert_is_built_from_the_config():
    expert = custom_expert(config("custom", f"{__name__}:Constant"))
    assert isinstance(expert, Constant)
    assert expert.size == 2


@pytest.fixture
def model():
    return nn.ModuleDict({"a": gated(), "plain": nn.Linear(2, 2), "b": gated()})


def test_gated_blocks_and_their_gates_are_found_in_order(model):
    assert list(gated_blocks(model)) == ["a", "b"]
    assert routing_parameters(model) == ["a.quality_gate.weight", "b.quality_gate.weight"]


class Pair(Doubling):
    def forward(self, x):
        return self.factor * x, "router logits"


def test_of_a_block_that_returns_more_the_rest_stays_as_it_is():
    block = Pair(config())
    add_gate(block, config())
    nn.init.zeros_(block.quality_gate.weight)
    out, rest = block(torch.tensor([[[1.0, 4.0]]]))
    torch.testing.assert_close(out, torch.tensor([[[1.0, 4.0]]]))  # half of 2 x
    assert rest == "router logits"


def test_a_gate_leaves_the_block_and_the_names_of_its_parameters_as_they_were():
    block = Doubling(config())
    factor = block.factor
    add_gate(block, config())
    assert isinstance(block, Doubling)
    assert block.factor is factor
    assert [name for name, _ in block.named_parameters()] == ["factor", "quality_gate.weight"]
    assert gated_class(Doubling) is type(block)
    torch.testing.assert_close(block.whole(torch.ones(1, 1, 2)), torch.full((1, 1, 2), 2.0))


def test_freezing_leaves_a_gradient_to_what_is_named_also_where_it_had_none(model):
    model.requires_grad_(False)
    model["plain"].requires_grad_(True)
    freeze_all_but(model, ["b.quality_gate.weight", "a.factor"])
    assert {name for name, x in model.named_parameters() if x.requires_grad} == {"b.quality_gate.weight", "a.factor"}
    with pytest.raises(ValueError, match=r"^no such parameters: \['a\.weight', 'c'\]$"):
        freeze_all_but(model, ["c", "a.weight", "a.factor"])
    assert {name for name, x in model.named_parameters() if x.requires_grad} == {"b.quality_gate.weight", "a.factor"}
