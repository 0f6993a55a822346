"""Trash-can experts against a loop over tokens, and what they cost: nothing."""

from contextlib import nullcontext

import pytest
import torch
from transformers.models.olmoe.modeling_olmoe import load_balancing_loss_func

from mygo.conversion.parity import gates_held_open
from mygo.errors import UserError
from mygo.models import from_base, load_base, records
from mygo.models.constraint import constraint_loss, regular_mass
from mygo.models.families.trash_can import TrashCanBlock, TrashCanRouter
from mygo.models.routers import routers
from tests.tiny_decoders import saver, tiny


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    return saver(tmp_path_factory.mktemp("bases"))


@pytest.fixture(params=["olmoe", "mixtral", "qwen3_moe"])
def model(request, save):
    """Rows of 0.3: about as large as the base's, so that tokens choose trash and regular experts."""
    return from_base("trash_can", save(request.param), quality_gate_init_std=0.3).eval()


def block_of(model, norm=None):
    block = model.model.layers[0].mlp
    if norm is not None:
        block.gate.norm_topk_prob = norm
    return block


def by_loop(block, x_ND, normed):
    """Token by token and expert by expert; the trash gives nothing."""
    gate, experts = block.gate, block.experts
    rows = torch.cat([gate.weight, gate.trash_router.weight])
    out = torch.zeros_like(x_ND)
    for t, x in enumerate(x_ND):
        probs = torch.softmax(rows @ x, dim=0)
        chosen = probs.argsort(descending=True)[: gate.top_k].tolist()
        total = sum(probs[e] for e in chosen) if normed else 1.0
        for e in chosen:
            if e < len(gate.weight):
                a, b = (experts.gate_up_proj[e] @ x).chunk(2)
                out[t] += probs[e] / total * (experts.down_proj[e] @ (experts.act_fn(a) * b))
    return out


@torch.no_grad()
def test_a_block_is_what_a_loop_over_tokens_says(model):
    block = block_of(model)
    x = torch.randn(2, 40, 32, generator=torch.Generator().manual_seed(1))
    _, _, expert_Nk = block.gate(x)
    trash = (expert_Nk >= 4).sum(1)
    assert set(trash.tolist()) == {0, 1, 2}  # tokens of every kind
    expected = by_loop(block, x.flatten(0, 1), getattr(block.gate, "norm_topk_prob", True))
    torch.testing.assert_close(block(x).flatten(0, 1), expected, atol=1e-5, rtol=1e-4)
    assert (block(x).flatten(0, 1)[trash == 2] == 0).all()


@torch.no_grad()
@pytest.mark.parametrize("norm", [True, False])
def test_weights_are_divided_by_their_sum_where_the_config_asks(save, norm):
    block = block_of(from_base("trash_can", save("olmoe"), quality_gate_init_std=0.3), norm)
    x = torch.randn(1, 40, 32, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(block(x)[0], by_loop(block, x[0], norm), atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("rows", "shut"), [(0.3, False), (100.0, False), (0.3, True)])
def test_what_goes_to_the_trash_is_neither_gathered_nor_multiplied(save, rows, shut, monkeypatch):
    model = from_base("trash_can", save("olmoe"), quality_gate_init_std=rows)
    block = block_of(model)
    seen = []
    forward = type(block.experts).forward

    def heard(self, x, index, weights):
        seen.append((len(x) * index.shape[1], int(index.max())))
        return forward(self, x, index, weights)

    monkeypatch.setattr(type(block.experts), "forward", heard)
    x = torch.randn(1, 40, 32, generator=torch.Generator().manual_seed(1))
    with gates_held_open(model) if shut else nullcontext():
        _, _, expert_Nk = block.gate(x)
        block(x)
    regular = int((expert_Nk < 4).sum())
    assert [pairs for pairs, _ in seen] == ([regular] if regular else [])
    assert all(highest < 4 for _, highest in seen)
    assert regular == 80 if shut else regular < 80


@torch.no_grad()
def test_a_token_that_chooses_trash_alone_passes_as_zeros(save):
    model = from_base("trash_can", save("olmoe"), quality_gate_init_std=0.0)
    block = block_of(model)
    block.gate.weight.fill_(-1.0)
    block.gate.trash_router.weight.fill_(1.0)
    assert (block(torch.ones(1, 3, 32)) == 0).all()


def test_trash_finite_but_not_chosen_takes_its_share_where_weights_are_not_divided(save):
    """Said so in the file of the family: of OLMoE (norm_topk_prob false) the weights are smaller than the base's."""
    block = block_of(from_base("trash_can", save("olmoe"), quality_gate_init_std=0.0))
    x = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1)) * 3
    block.gate.trash_router.weight.data.zero_()
    with torch.no_grad():
        logits, weight, expert = block.gate(x)
        _, whole, chosen = block.gate.regular(x)
        likely = (expert < 4).all(1)
        assert torch.equal(expert[likely], chosen[likely])
        probs = logits.softmax(-1)
        torch.testing.assert_close(weight[likely], whole[likely] * probs[likely, :4].sum(1, keepdim=True))
        block.gate.norm_topk_prob = True
        torch.testing.assert_close(block.gate(x)[1][likely], block.gate.regular(x)[1][likely])


def test_every_router_and_block_is_altered_and_the_new_rows_are_drawn_as_asked(save):
    model = from_base("trash_can", save("olmoe"), trash_experts=200, quality_gate_init_mean=1.0, seed=3)
    found = routers(model)
    assert len(found) == 2
    for name, router in found.items():
        assert isinstance(router, TrashCanRouter)
        assert isinstance(model.get_submodule(name.removesuffix(".gate")), TrashCanBlock)
        rows = router.trash_router.weight
        assert rows.shape == (200, 32)
        assert (rows.mean().item(), rows.std().item()) == pytest.approx((1.0, 0.02), rel=0.05)
    again = from_base("trash_can", save("olmoe"), trash_experts=200, quality_gate_init_mean=1.0, seed=3)
    other = from_base("trash_can", save("olmoe"), trash_experts=200, quality_gate_init_mean=1.0, seed=4)
    name = "model.layers.1.mlp.gate.trash_router.weight"
    assert torch.equal(model.get_parameter(name), again.get_parameter(name))
    assert not torch.equal(model.get_parameter(name), other.get_parameter(name))
    assert model.config.trash_experts == 200
    assert from_base("trash_can", save("olmoe")).config.trash_experts == 2  # as many as a token chooses


def test_the_loss_is_language_model_and_constraint(model, tokens):
    model.config.quality_loss_weight = 0.7
    mask = torch.ones_like(tokens)
    mask[0, :3] = 0
    labels = tokens.masked_fill(mask == 0, -100)
    out = model(tokens, attention_mask=mask, labels=labels, output_router_logits=True)
    logits = [layer["moe_logits"] for layer in out.router_logits]
    expected, ratio_L = constraint_loss(logits, mask, 2, model.config)
    torch.testing.assert_close(out.constraint_loss, expected.detach())
    torch.testing.assert_close(out.good_ratio, ratio_L)
    torch.testing.assert_close(out.loss, out.lm_loss + 0.7 * out.constraint_loss)
    assert out.quality_loss is out.load_balancing_loss is None


def test_the_constraint_alone_pulls_probability_to_the_trash(model, tokens):
    """A step of the new rows down its gradient, beside which that of the language model is nothing."""
    model.config.quality_loss_weight = 1e4
    rows = [parameter for name, parameter in model.named_parameters() if "trash_router" in name]
    before = model(tokens, labels=tokens)
    before.loss.backward()
    assert all(row.grad.abs().max() > 0 for row in rows)
    for row in rows:
        row.data -= 1e-5 * row.grad
    after = model(tokens, labels=tokens)
    assert after.constraint_loss < before.constraint_loss
    assert (after.good_ratio < before.good_ratio).all()


def test_regular_experts_are_balanced_among_themselves(save, tokens):
    """As if there were no trash: the loss of the base's logits."""
    model = from_base("trash_can", save("olmoe"), quality_gate_init_std=0.3).eval()
    model.config.enable_load_balancing, model.config.router_aux_loss_coef = True, 0.5
    out = model(tokens, labels=tokens, output_router_logits=True)
    regular = tuple(layer["moe_logits"][:, :4] for layer in out.router_logits)
    torch.testing.assert_close(out.load_balancing_loss, load_balancing_loss_func(regular, 4, 2))
    parts = out.lm_loss + 0.01 * out.constraint_loss + 0.5 * out.load_balancing_loss
    torch.testing.assert_close(out.loss, parts)


@torch.no_grad()
@pytest.mark.parametrize("name", ["olmoe", "mixtral", "qwen3_moe"])
def test_in_bfloat16_weights_are_rounded_where_the_base_rounds_them(name, save, tokens):
    """Mixtral keeps them in float32; real ones are of bfloat16, and convert compares them so."""
    base = load_base(save(name), dtype="bfloat16").eval()
    model = from_base("trash_can", save(name), dtype="bfloat16", quality_gate_init_std=0.3).eval()
    with gates_held_open(model):
        assert torch.equal(model(tokens).logits, base(tokens).logits)


def test_debug_adds_the_range_of_r(model, tokens):
    mask = torch.ones_like(tokens)
    mask[0, :3] = 0
    assert model(tokens, attention_mask=mask, labels=tokens).good_ratio_range is None
    model.config.quality_loss_debug = True
    out = model(tokens, attention_mask=mask, labels=tokens, output_router_logits=True)
    for layer, (low, high) in zip(out.router_logits, out.good_ratio_range.tolist(), strict=True):
        r = regular_mass(layer["moe_logits"], 2, 2)[mask.flatten().bool()]
        assert (low, high) == (r.min().item(), r.max().item())


@pytest.mark.parametrize("family", ["trash_can", "stock_moe"])
@pytest.mark.parametrize("dense", [{"mlp_only_layers": [0, 1]}, {"decoder_sparse_step": 3}])
def test_a_base_without_a_sparse_layer_is_refused(tmp_path, family, dense):
    tiny("qwen3_moe", **dense).save_pretrained(tmp_path)
    with pytest.raises(
        UserError, match=rf"type qwen3_moe all of whose layers are dense, with convert\.family={family}"
    ):
        from_base(family, str(tmp_path))
    assert not records(from_base("quality_gate", str(tmp_path))).routers
