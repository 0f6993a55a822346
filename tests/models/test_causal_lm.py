"""Hugging Face's API on a gated model: outputs, losses, padding, generation, gradients, saving."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassFieldValidationError
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.olmoe.modeling_olmoe import load_balancing_loss_func

from mygo.conversion.parity import gates_held_open
from mygo.models import FAMILIES, from_base, load_base, routing_parameters
from mygo.models.gate import gated_blocks


@pytest.fixture
def model(case):
    return from_base(case.family, str(case.base), quality_gate_init_std=1.0).eval()


def gate_gradients(model):
    return [block.quality_gate.weight.grad.abs().sum().item() for block in gated_blocks(model).values()]


def test_gates_held_open_equal_the_base_and_closed_ones_do_not(case, model, tokens):
    base = load_base(str(case.base)).eval()
    with gates_held_open(model):
        assert torch.equal(model(tokens).logits, base(tokens).logits)
    assert not torch.allclose(model(tokens).logits, base(tokens).logits, atol=1e-3)


def test_router_logits_are_one_dict_a_layer(case, model, tokens):
    outputs = model(tokens, output_router_logits=True)
    assert len(outputs.router_logits) == 2
    for layer in outputs.router_logits:
        assert layer["quality_score"].shape == (2, 7, 1)
        assert ("moe_logits" in layer) == (case.family == "select_moe")
        if case.family == "select_moe":
            assert layer["moe_logits"].shape == (14, 4)
    assert model(tokens).router_logits is None


def test_scores_are_the_gate_applied_to_the_normed_input_of_the_block(model, tokens):
    seen = {}
    block = model.model.layers[1].mlp
    block.register_forward_hook(lambda _module, args, _output: seen.update(x=args[0]))
    score = model(tokens, output_router_logits=True).router_logits[1]["quality_score"]
    torch.testing.assert_close(score[..., 0], seen["x"] @ block.quality_gate.weight[0])


def test_the_base_model_returns_gate_scores_and_hands_kwargs_to_attention(case, model, tokens, monkeypatch):
    seen = []

    def spy(module, query, key, value, attention_mask, **kwargs):
        seen.append(kwargs["cu_segments"])
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, **kwargs)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "spy", spy)
    model.set_attn_implementation("spy")
    positions = torch.arange(7)[None].expand(2, -1)
    out = model.model(
        input_ids=tokens,
        position_ids=positions,
        attention_mask=None,
        use_cache=False,
        output_gate_scores=True,
        output_router_logits=True,
        cu_segments="here",
    )
    assert seen == ["here"] * 2
    assert out.last_hidden_state.shape == (2, 7, 32)
    assert [score.shape for score in out.gate_scores] == [(2, 7, 1)] * 2
    if case.family == "select_moe":
        assert [logits.shape for logits in out.router_logits] == [(14, 4)] * 2


def test_the_loss_is_the_sum_of_its_parts(model, tokens):
    mask = torch.ones_like(tokens)
    mask[0, :3] = 0
    labels = tokens.masked_fill(mask == 0, -100)
    model.config.quality_loss_weight = 0.5
    out = model(tokens, attention_mask=mask, labels=labels, output_router_logits=True)
    shifted, targets = out.logits[:, :-1].reshape(-1, 64), labels[:, 1:].reshape(-1)
    torch.testing.assert_close(out.lm_loss, torch.nn.functional.cross_entropy(shifted, targets))
    ratios = torch.stack([torch.sigmoid(layer["quality_score"]).squeeze(-1) for layer in out.router_logits])
    by_sample = torch.stack([ratios[:, 0, 3:].mean(1), ratios[:, 1].mean(1)])
    torch.testing.assert_close(out.quality_loss, by_sample.mean())
    torch.testing.assert_close(out.good_ratio, ratios[:, mask.bool()].mean(1))
    torch.testing.assert_close(out.loss, out.lm_loss + 0.5 * out.quality_loss)
    assert out.load_balancing_loss is None
    assert not any(part.requires_grad for part in (out.lm_loss, out.quality_loss, out.good_ratio))


def test_load_balancing_is_added_where_enabled(case, model, tokens):
    model.config.quality_loss_weight = 0.0
    model.config.enable_load_balancing = True
    if case.family == "quality_gate":
        with pytest.raises(ValueError, match="no routers"):
            model(tokens, labels=tokens)
        return
    model.config.router_aux_loss_coef = 0.3
    out = model(tokens, labels=tokens, output_router_logits=True)
    expected = load_balancing_loss_func(tuple(layer["moe_logits"] for layer in out.router_logits), 4, 2)
    torch.testing.assert_close(out.load_balancing_loss, expected)
    torch.testing.assert_close(out.loss, out.lm_loss + 0.3 * expected)


def test_micro_batches_add_up_to_the_batch(model):
    """What the Trainer does under gradient accumulation: each micro-batch is told the predicted tokens of the whole
    batch.
    """
    batch = torch.randint(2, 64, (4, 7), generator=torch.Generator().manual_seed(2))
    model.config.quality_loss_weight = 3.0
    whole = model(batch, labels=batch)
    parts = [model(half, labels=half, num_items_in_batch=torch.tensor(24)) for half in batch.split(2)]
    torch.testing.assert_close(sum(part.loss for part in parts), whole.loss)
    torch.testing.assert_close(sum(part.lm_loss for part in parts), whole.lm_loss)


def test_left_padding_changes_nothing(model, tokens):
    padded = torch.nn.functional.pad(tokens, (3, 0))
    mask = torch.nn.functional.pad(torch.ones_like(tokens), (3, 0))
    alone = model(tokens, labels=tokens, output_router_logits=True)
    beside = model(
        padded,
        attention_mask=mask,
        labels=padded.masked_fill(mask == 0, -100),
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        output_router_logits=True,
    )
    torch.testing.assert_close(beside.logits[:, 3:], alone.logits, atol=1e-5, rtol=0)
    for one, other in zip(beside.router_logits, alone.router_logits, strict=True):
        torch.testing.assert_close(one["quality_score"][:, 3:], other["quality_score"], atol=1e-5, rtol=0)
    torch.testing.assert_close(beside.good_ratio, alone.good_ratio)
    torch.testing.assert_close(beside.quality_loss, alone.quality_loss)


def test_round_trip_through_the_auto_classes(model, tokens, tmp_path):
    model.save_pretrained(tmp_path)
    again, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is type(model)
    assert not any(info.values())
    assert torch.equal(again(tokens).logits, model(tokens).logits)
    assert type(AutoConfig.from_pretrained(tmp_path)) is type(model.config)
    assert type(AutoModel.from_pretrained(tmp_path)) is type(model.model)


def test_generate_follows_the_greedy_path_with_and_without_cache(model, tokens):
    cached = model.generate(tokens, max_new_tokens=4, do_sample=False, eos_token_id=None)
    path = tokens
    for _ in range(4):
        path = torch.cat([path, model(path, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(cached, path)


def test_the_language_model_trains_the_gates_without_any_quality_loss(model, tokens):
    model.config.quality_loss_weight = 0.0
    model(tokens, labels=tokens).loss.backward()
    assert min(gate_gradients(model)) > 0


def test_the_quality_loss_adds_to_the_gradient_of_every_gate(model, tokens):
    gradients = []
    for weight in (0.0, 1.0):
        model.config.quality_loss_weight = weight
        model.zero_grad()
        model(tokens, labels=tokens).loss.backward()
        gradients.append([block.quality_gate.weight.grad.clone() for block in gated_blocks(model).values()])
    for without, with_it in zip(*gradients, strict=True):
        assert (with_it - without).abs().max() > 1e-3


def test_a_micro_batch_without_predicted_tokens_adds_nothing(model, tokens):
    out = model(tokens, labels=torch.full_like(tokens, -100), num_items_in_batch=torch.tensor(5))
    assert out.loss.item() == 0
    assert out.lm_loss.item() == 0


def test_non_reentrant_checkpointing_keeps_every_gradient(model, tokens):
    model.config.quality_loss_weight = 5.0
    gradients = []
    for checkpointing in (False, True):
        model.train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        model(tokens, labels=tokens, use_cache=False).loss.backward()
        gradients.append([dict(model.named_parameters())[name].grad.clone() for name in routing_parameters(model)])
    torch.testing.assert_close(gradients[0], gradients[1])
    model.config.quality_loss_weight = 0.0
    model.zero_grad()
    model(tokens, labels=tokens, use_cache=False).loss.backward()
    without = model.model.layers[0].mlp.quality_gate.weight.grad
    assert not torch.allclose(gradients[1][0], without, rtol=0.01)  # so the quality loss is in there


def test_experts_run_grouped_by_default(bases):
    assert from_base("select_moe", str(bases["olmoe"])).config._experts_implementation == "grouped_mm"


@pytest.mark.parametrize(
    "wrong",
    [
        {"quality_gate_init_std": "wide"},
        {"trash_expert_mode": "bin"},
        {"quality_loss_type": "huber"},
        {"enable_load_balancing": 1},
    ],
)
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"stock_moe"}))  # whose config is its base's
def test_the_config_refuses_wrong_types_and_unknown_choices(family, wrong):
    with pytest.raises(StrictDataclassFieldValidationError):
        FAMILIES[family].config(**wrong)
