"""Each term of the loss, through a whole model: it has a gradient of its own, and padding does not move it."""

import math

import pytest
import torch

from mygo.models import from_base
from mygo.models.gate import gated_blocks
from mygo.models.losses import QUALITY_LOSSES


@pytest.fixture
def model(case):
    return from_base(case.family, str(case.base), quality_gate_init_std=1.0).eval()


@pytest.mark.parametrize("kind", sorted(QUALITY_LOSSES.keys() - {"custom"}))
def test_every_quality_loss_reaches_every_gate_through_the_model_and_padding_does_not_move_it(model, tokens, kind):
    """By differences: the gradient with the term less that without is the term's own."""
    model.config.quality_loss_type = kind
    padded = torch.nn.functional.pad(tokens, (0, 3))
    mask = torch.nn.functional.pad(torch.ones_like(tokens), (0, 3))
    own = []
    for ids, given in ((tokens, None), (padded, mask)):
        labels = ids if given is None else ids.masked_fill(given == 0, -100)
        gradients = []
        for weight in (0.0, 100.0):
            model.config.quality_loss_weight = weight
            model.zero_grad()
            model(ids, attention_mask=given, labels=labels).loss.backward()
            gradients.append(torch.stack([block.quality_gate.weight.grad for block in gated_blocks(model).values()]))
        own.append(gradients[1] - gradients[0])
    assert (own[0].flatten(1).abs().amax(1) > 1e-2).all()
    torch.testing.assert_close(own[1], own[0], rtol=1e-3, atol=1e-4)


def test_load_balancing_has_a_gradient_and_leaves_padding_out(bases, tokens):
    model = from_base("select_moe", str(bases["olmoe"]))
    model.config.enable_load_balancing, model.config.quality_loss_weight = True, 0.0
    padded = torch.nn.functional.pad(tokens, (0, 3))
    mask = torch.nn.functional.pad(torch.ones_like(tokens), (0, 3))
    alone = model(tokens, attention_mask=torch.ones_like(tokens), labels=tokens)
    beside = model(padded, attention_mask=mask, labels=padded.masked_fill(mask == 0, -100))
    torch.testing.assert_close(beside.load_balancing_loss, alone.load_balancing_loss, atol=1e-5, rtol=0)
    gradients = []
    for coefficient in (0.0, 10.0):
        model.config.router_aux_loss_coef = coefficient
        model.zero_grad()
        model(tokens, labels=tokens).loss.backward()
        gradients.append(torch.stack([block.gate.weight.grad for block in gated_blocks(model).values()]))
    assert ((gradients[1] - gradients[0]).flatten(1).abs().amax(1) > 1e-3).all()


def test_load_balancing_by_hand(bases, tokens):
    """E * sum over experts of (choices a token) * (mean probability), over the tokens of all layers."""
    model = from_base("select_moe", str(bases["olmoe"]))
    model.config.enable_load_balancing = True
    out = model(tokens, labels=tokens, output_router_logits=True)
    logits = torch.cat([layer["moe_logits"] for layer in out.router_logits]).double()
    chosen, probability = [0.0] * 4, [0.0] * 4
    for row in logits.tolist():
        exponentials = [math.exp(value) for value in row]
        for expert in range(4):
            probability[expert] += exponentials[expert] / sum(exponentials) / len(logits)
        for expert in sorted(range(4), key=lambda expert: -row[expert])[:2]:
            chosen[expert] += 1 / len(logits)
    expected = 4 * sum(f * p for f, p in zip(chosen, probability, strict=True))
    assert out.load_balancing_loss.item() == pytest.approx(expected, abs=1e-5)


def test_debug_adds_the_range_of_good_ratios(model, tokens):
    assert model(tokens, labels=tokens).good_ratio_range is None
    model.config.quality_loss_debug = True
    out = model(tokens, labels=tokens, output_router_logits=True)
    expected = torch.sigmoid(out.router_logits[1]["quality_score"])
    torch.testing.assert_close(out.good_ratio_range[1], torch.stack([expected.min(), expected.max()]))
    assert out.good_ratio_range.shape == (2, 2)
