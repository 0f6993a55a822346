"""The gate, the trash experts, and what warm-up trains."""

import math

import pytest
import torch

from mygo.errors import UserError
from mygo.models import freeze_all_but, from_base, routing_parameters
from mygo.models.gate import blend, gated_blocks
from mygo.models.trash import NoiseExpert

SCALE = """
import torch
class Scale(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.full((config.hidden_size,), 3.0))
    def forward(self, x):
        return x * self.factor
"""


def test_blend_against_numbers_worked_by_hand():
    # sigmoid(ln 3) = 0.75: 0.75 * 2 + 0.25 * 10 = 4; without trash 1.5
    score, ffn, trash = torch.full((1, 1, 1), math.log(3)), torch.full((1, 1, 2), 2.0), torch.full((1, 1, 2), 10.0)
    torch.testing.assert_close(blend(score, ffn, trash), torch.full((1, 1, 2), 4.0))
    torch.testing.assert_close(blend(score, ffn, None), torch.full((1, 1, 2), 1.5))


def test_the_bad_ratio_is_not_rounded_away_in_bfloat16():
    # 1 - sigmoid(9) = 1.2339e-4, which bfloat16 holds, while its sigmoid(9) is 1
    out = blend(
        torch.full((1, 1, 1), 9.0, dtype=torch.bfloat16),
        torch.zeros(1, 1, 1, dtype=torch.bfloat16),
        torch.ones(1, 1, 1, dtype=torch.bfloat16),
    )
    assert out.item() == pytest.approx(1.2339e-4, rel=0.01)


def test_noise_has_the_mean_and_standard_deviation_of_each_token_and_is_fresh():
    torch.manual_seed(0)
    x = torch.randn(1, 2, 100_000) * torch.tensor([2.0, 0.1])[None, :, None] + torch.tensor([5.0, -1.0])[None, :, None]
    noise = NoiseExpert()(x)
    torch.testing.assert_close(noise.mean(-1), x.mean(-1), atol=0.03, rtol=0)
    torch.testing.assert_close(noise.std(-1), x.std(-1), atol=0, rtol=0.02)
    assert torch.corrcoef(torch.stack([noise[0, 0], x[0, 0]]))[0, 1].abs() < 0.02
    assert not torch.equal(noise, NoiseExpert()(x))


@pytest.mark.parametrize("mode", ["zero", "noise"])
def test_a_closed_gate_gives_the_trash_alone(case, mode):
    block = next(iter(gated_blocks(from_base(case.family, str(case.base), trash_expert_mode=mode)).values()))
    x = torch.rand(1, 3, 32)  # positive, so that a gate of all -100 is closed
    torch.nn.init.constant_(block.quality_gate.weight, -100.0)
    out = block(x)
    assert bool((out == 0).all()) == (mode == "zero")
    assert out.isfinite().all()


def test_a_custom_trash_expert_starts_as_its_class_says_and_survives_saving(case, tmp_path, monkeypatch):
    (tmp_path / "scaling_trash.py").write_text(SCALE)
    monkeypatch.syspath_prepend(tmp_path)
    model = from_base(
        case.family, str(case.base), trash_expert_mode="custom", trash_expert_module="scaling_trash:Scale"
    )
    block = next(iter(gated_blocks(model).values()))
    torch.nn.init.constant_(block.quality_gate.weight, -100.0)
    x = torch.rand(1, 3, 32)
    torch.testing.assert_close(block(x), 3 * x)
    torch.nn.init.constant_(block.trash_expert.factor, 5.0)
    model.save_pretrained(tmp_path / "saved")
    again = type(model).from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(next(iter(gated_blocks(again).values()))(x), 5 * x)


@pytest.mark.parametrize("module", [None, "no_colon", "no.such.module:Thing", "torch.nn:NoSuchClass", "math:sqrt"])
def test_a_bad_custom_trash_expert_is_refused_by_its_key(case, module):
    with pytest.raises(UserError, match=r"^convert\.trash_expert_module: got ") as error:
        from_base(case.family, str(case.base), trash_expert_mode="custom", trash_expert_module=module)
    assert "\n" not in str(error.value)


def test_routing_parameters_are_the_gates_and_the_routers(case):
    model = from_base(case.family, str(case.base))
    names = routing_parameters(model)
    expected = [f"model.layers.{layer}.mlp.quality_gate.weight" for layer in (0, 1)]
    if case.family == "select_moe":
        expected += [f"model.layers.{layer}.mlp.gate.weight" for layer in (0, 1)]
    assert sorted(names) == sorted(expected)


def test_freeze_all_but_leaves_a_gradient_to_the_named_parameters_only(case, tokens):
    model = from_base(case.family, str(case.base))
    names = routing_parameters(model)
    freeze_all_but(model, names)
    model(tokens, labels=tokens).loss.backward()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == set(names)
    with pytest.raises(ValueError, match=r"model\.nothing"):
        freeze_all_but(model, ["model.nothing"])
