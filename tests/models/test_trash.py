"""What a token gets in place of its block: each mode by hand, as it starts, loads, records and learns."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mygo.errors import UserError
from mygo.models import from_base, load_selector
from mygo.models.gate import gated_blocks
from mygo.models.trash import (
    TRASH_EXPERTS,
    BatchNoiseExpert,
    LowRankExpert,
    MeanExpert,
    mean_expert,
    trained_trash_parameters,
    trash_buffers,
)

MODES = sorted(TRASH_EXPERTS.keys() - {"custom", "expert_mean"})


def first_block(model):
    return next(iter(gated_blocks(model).values()))


def two_experts():
    """A block of two experts with one hidden dimension and one intermediate: act(g x) u x d."""
    gate_up = torch.tensor([[[1.0], [2.0]], [[3.0], [6.0]]])  # g 1 and 3, u 2 and 6
    down = torch.tensor([[[1.0]], [[2.0]]])
    experts = SimpleNamespace(gate_up_proj=gate_up, down_proj=down, act_fn=nn.ReLU())
    return SimpleNamespace(experts=experts)


def test_the_mean_of_experts_by_hand():
    # means: g 2, u 4, d 1.5; x = 3: relu(6) * 12 * 1.5 = 108; x = -1: 0
    expert = mean_expert(SimpleNamespace(), two_experts())
    expert.begin(two_experts().experts)
    torch.testing.assert_close(expert(torch.tensor([[[3.0], [-1.0]]])), torch.tensor([[[108.0], [0.0]]]))


def test_a_low_rank_expert_by_hand_and_as_it_begins():
    torch.manual_seed(0)
    expert = LowRankExpert(1000, 4)
    assert expert.down_RD.shape == (4, 1000)
    assert expert.down_RD.std().item() == pytest.approx(0.02, rel=0.05)
    assert (expert(torch.ones(1, 2, 1000)) == 0).all()
    small = LowRankExpert(2, 1)
    small.down_RD = nn.Parameter(torch.tensor([[1.0, 2.0]]))
    small.up_DR = nn.Parameter(torch.tensor([[3.0], [-1.0]]))
    torch.testing.assert_close(small(torch.tensor([[[1.0, 4.0]]])), torch.tensor([[[27.0, -9.0]]]))


def test_noise_has_the_moments_of_each_dimension_over_the_tokens_of_the_batch():
    torch.manual_seed(0)
    x = torch.randn(4, 5000, 2) * torch.tensor([2.0, 0.1]) + torch.tensor([5.0, -1.0])
    noise = BatchNoiseExpert(2).train()(x)
    torch.testing.assert_close(noise.mean((0, 1)), torch.tensor([5.0, -1.0]), atol=0.06, rtol=0)
    torch.testing.assert_close(noise.std((0, 1)), torch.tensor([2.0, 0.1]), atol=0, rtol=0.03)
    assert not noise.requires_grad


def test_recorded_moments_by_hand():
    # tokens (1, 10), (3, 10), (5, 40), and one of padding: mean (3, 20), var (4, 300), each recorded by a tenth
    x = torch.tensor([[[1.0, 10.0], [3.0, 10.0]], [[5.0, 40.0], [1e6, 1e6]]])
    expert = BatchNoiseExpert(2).train()
    expert.begin_pass(torch.tensor([[1, 1], [1, 0]]))
    expert(x)
    expected = torch.tensor([0.3, 2.0]), torch.tensor([0.9 + 0.4, 0.9 + 30.0])
    torch.testing.assert_close((expert.running_mean, expert.running_var), expected)
    expert(x)  # the same pass, computed once more for its gradient
    torch.testing.assert_close((expert.running_mean, expert.running_var), expected)
    expert.begin_pass(None)
    expert(x[:1])  # mean (2, 10), var (2, 0)
    torch.testing.assert_close(expert.running_mean, torch.tensor([0.9 * 0.3 + 0.2, 0.9 * 2.0 + 1.0]))
    torch.testing.assert_close(expert.running_var, torch.tensor([0.9 * 1.3 + 0.2, 0.9 * 30.9]))


def test_a_block_by_itself_records_every_call_and_a_batch_of_padding_nothing():
    expert = BatchNoiseExpert(1).train()
    expert(torch.ones(1, 2, 1))
    expert(torch.ones(1, 2, 1))
    assert expert.running_mean.item() == pytest.approx(0.19)
    expert.begin_pass(torch.zeros(1, 2))
    expert(torch.ones(1, 2, 1))
    assert expert.running_mean.item() == pytest.approx(0.19)


def test_in_evaluation_noise_of_the_batch_does_not_depend_on_the_batch():
    expert = BatchNoiseExpert(64).eval()
    expert.running_mean.fill_(2.0)
    expert.running_var.fill_(9.0)
    x = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(1))
    noise = expert(x)
    assert noise.shape == x.shape
    assert torch.equal(noise[1, 1], noise[0, 0])
    assert torch.equal(noise, expert(x * 100))
    assert (noise[0, 0].mean().item(), noise[0, 0].std().item()) == pytest.approx((2.0, 3.0), abs=1e-4)
    assert expert(x.bfloat16()).dtype == torch.bfloat16


def test_padding_of_a_batch_that_the_model_knows_is_not_recorded(case, tokens):
    recorded = []
    for padding in (0, 3):
        model = from_base(case.family, str(case.base), trash_expert_mode="batch_noise").train()
        mask = nn.functional.pad(torch.ones_like(tokens), (0, padding))
        torch.manual_seed(0)
        model(nn.functional.pad(tokens, (0, padding)), attention_mask=mask)
        recorded.append(first_block(model).trash_expert.running_mean)
    torch.testing.assert_close(recorded[0], recorded[1], atol=1e-6, rtol=1e-4)
    assert recorded[0].abs().max() > 1e-3


def test_checkpointing_records_a_pass_once(case, tokens):
    recorded = []
    for checkpointing in (False, True):
        model = from_base(case.family, str(case.base), trash_expert_mode="batch_noise").train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(0)
        model(tokens, labels=tokens, use_cache=False).loss.backward()
        recorded.append(first_block(model).trash_expert.running_var)
    torch.testing.assert_close(recorded[0], recorded[1])


@pytest.mark.parametrize("mode", MODES)
def test_the_gates_are_the_same_whatever_the_trash_and_so_is_the_trash_of_a_seed(case, mode):
    models = [from_base(case.family, str(case.base), seed=seed, trash_expert_mode=mode) for seed in (3, 3, 4)]
    plain = from_base(case.family, str(case.base), seed=3)
    for name, block in gated_blocks(models[0]).items():
        torch.testing.assert_close(block.quality_gate.weight, gated_blocks(plain)[name].quality_gate.weight)
    states = [{k: v for k, v in model.state_dict().items() if ".trash_expert." in k} for model in models]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    if mode == "low_rank":
        layers = [block.trash_expert.down_RD for block in gated_blocks(models[0]).values()]
        assert not torch.equal(layers[0], layers[1])
        assert not torch.equal(states[0]["model.layers.0.mlp.trash_expert.down_RD"], layers[1])
        assert not torch.equal(layers[0], first_block(models[2]).trash_expert.down_RD)
        assert layers[0].std().item() == pytest.approx(0.02, rel=0.3)
        assert first_block(models[0]).trash_expert.up_DR.abs().max() == 0


@pytest.mark.parametrize("mode", [*MODES, "expert_mean"])
def test_a_trash_expert_survives_saving_whatever_it_has_become(bases, tmp_path, tokens, mode):
    model = from_base("select_moe", str(bases["olmoe"]), trash_expert_mode=mode, trash_expert_rank=3).eval()
    for number, tensor in enumerate(x for k, x in model.state_dict().items() if ".trash_expert." in k):
        tensor.fill_(0.125 * (number + 1))
    model.save_pretrained(tmp_path)
    again = load_selector(tmp_path).eval()
    assert again.config.trash_expert_mode == mode
    assert again.config.trash_expert_rank == 3
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in model.state_dict().items())
    assert torch.equal(again(tokens).logits, model(tokens).logits)


def test_the_mean_of_experts_is_that_of_the_base(bases):
    model = from_base("select_moe", str(bases["olmoe"]), trash_expert_mode="expert_mean")
    for block in gated_blocks(model).values():
        assert isinstance(block.trash_expert, MeanExpert)
        torch.testing.assert_close(block.trash_expert.gate_up_proj, block.experts.gate_up_proj.mean(0))
        torch.testing.assert_close(block.trash_expert.down_proj, block.experts.down_proj.mean(0))
        assert block.trash_expert.down_proj.abs().max() > 0


def test_a_dense_block_has_no_experts_to_take_the_mean_of(bases):
    with pytest.raises(UserError) as error:
        from_base("quality_gate", str(bases["qwen3"]), trash_expert_mode="expert_mean")
    assert str(error.value).startswith("convert.trash_expert_mode: got expert_mean, but a dense feed-forward block (")
    assert "\n" not in str(error.value)


def test_experts_of_another_form_are_refused():
    block = SimpleNamespace(experts=nn.ModuleList([nn.Linear(2, 2)]))
    with pytest.raises(UserError, match=r"experts of the form of ModuleList are not known"):
        mean_expert(SimpleNamespace(), block)


@pytest.mark.parametrize(
    ("mode", "trained", "recorded"),
    [
        ("noise", set(), set()),
        ("batch_noise", set(), {"running_mean", "running_var"}),
        ("low_rank", {"down_RD", "up_DR"}, set()),
        ("expert_mean", {"gate_up_proj", "down_proj"}, set()),
    ],
)
def test_what_is_trained_and_what_is_recorded(bases, tokens, mode, trained, recorded):
    model = from_base("select_moe", str(bases["olmoe"]), trash_expert_mode=mode).train()
    names = trained_trash_parameters(model)
    assert names == [name for name, _ in model.named_parameters() if ".trash_expert." in name]
    assert {name.rsplit(".", 1)[-1] for name in names} == trained
    assert {name.rsplit(".", 1)[-1] for name in trash_buffers(model)} == recorded
    if mode == "low_rank":
        for block in gated_blocks(model).values():
            nn.init.ones_(block.trash_expert.up_DR)
    model(tokens, labels=tokens).loss.backward()
    gradients = [dict(model.named_parameters())[name].grad.abs().max().item() for name in names]
    assert all(gradient > 0 and math.isfinite(gradient) for gradient in gradients)


def test_a_custom_expert_is_trained_if_its_class_says_so(case, tmp_path, monkeypatch):
    (tmp_path / "own_trash.py").write_text(
        "import torch\nclass Fixed(torch.nn.Linear):\n"
        "    def __init__(self, config):\n        super().__init__(config.hidden_size, config.hidden_size)\n"
        "class Learns(Fixed):\n    trained = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, count in (("Fixed", 0), ("Learns", 4)):
        model = from_base(
            case.family, str(case.base), trash_expert_mode="custom", trash_expert_module=f"own_trash:{name}"
        )
        assert len(trained_trash_parameters(model)) == count


UNFIT = {
    "Kept": ("whose b no checkpoint would hold", "self.register_buffer('b', torch.ones(3), persistent=False)"),
    "Loose": ("whose t no checkpoint would hold", "self.t = torch.ones(3)"),
    "Narrow": (
        r"which returns shape \[1, 2, 1\] for an input of shape \[1, 2, 32\]",
        "self.out = lambda x: x[..., :1]",
    ),
    "Pair": ("which returns a tuple", "self.out = lambda x: (x, x)"),
    "Broken": ("which fails on an input", "self.out = torch.nn.Linear(3, 3)"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_custom_expert_that_cannot_serve_is_one_sentence(case, tmp_path, monkeypatch, name):
    said, line = UNFIT[name]
    (tmp_path / f"own_{name}.py").write_text(
        f"import torch\nclass {name}(torch.nn.Module):\n    def __init__(self, config):\n        super().__init__()\n"
        f"        self.out = lambda x: x\n        {line}\n    def forward(self, x):\n        return self.out(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    named = {"trash_expert_mode": "custom", "trash_expert_module": f"own_{name}:{name}"}
    with pytest.raises(UserError, match=rf"^convert\.trash_expert_module: got 'own_{name}:{name}', {said}"):
        from_base(case.family, str(case.base), **named)


def test_a_custom_expert_is_called_with_the_config_alone(case):
    named = {"trash_expert_mode": "custom", "trash_expert_module": "torch.nn:Linear"}
    with pytest.raises(UserError, match=r"'torch\.nn:Linear', which cannot be called with the model's config \("):
        from_base(case.family, str(case.base), **named)
