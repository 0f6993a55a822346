"""The constraint on trash-can experts against numbers worked by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from mygo.models.constraint import beta_constraint, constraint_loss, log_masses, regular_mass
from mygo.models.losses import Part

# Probabilities 1/10, 2/10, 3/10, 4/10 of four experts, the last of them trash.
LOGITS = torch.tensor([1.0, 2.0, 3.0, 4.0]).log()


def config(**changes):
    base = {"trash_experts": 1, "num_experts_per_tok": 1, "trash_can_alpha": 1.0, "trash_can_beta": 2.0}
    return SimpleNamespace(**(base | {"quality_loss_averaging": "sample_wise"} | changes))


@pytest.mark.parametrize(
    ("trash", "top_k", "mass"),
    [(1, 1, 0.3), (1, 2, 0.5), (1, 3, 0.6), (1, 8, 0.6), (2, 1, 0.2), (2, 2, 0.3), (0, 2, 0.7)],
)
def test_r_is_the_probability_of_the_likeliest_regular_experts(trash, top_k, mass):
    assert regular_mass(LOGITS, trash, top_k).item() == pytest.approx(mass)


def test_r_is_float32_whatever_the_router_says():
    assert regular_mass(LOGITS.bfloat16(), 1, 1).dtype == torch.float32


@pytest.mark.parametrize(
    ("alpha", "beta", "r", "loss"),
    [
        (1.0, 2.0, 0.5, math.log(2)),
        (1.0, 2.0, 0.75, math.log(4)),
        (2.0, 1.0, 0.25, math.log(4)),
        (3.0, 2.0, 0.5, 3 * math.log(2)),  # 2 log 2 + log 2
        (1.0, 1.0, 0.3, 0.0),
    ],
)
def test_minus_the_logarithm_of_a_beta_density(alpha, beta, r, loss):
    logs = torch.tensor(r).log(), torch.tensor(1 - r).log()
    assert beta_constraint(*logs, alpha, beta).item() == pytest.approx(loss, rel=1e-5, abs=1e-6)


def test_the_logarithms_are_those_of_r_and_of_the_rest():
    for trash, top_k in ((1, 1), (1, 2), (2, 1), (2, 2)):
        r = regular_mass(LOGITS, trash, top_k)
        torch.testing.assert_close(log_masses(LOGITS, trash, top_k), (r.log(), (1 - r).log()))


def rows(*masses):
    """Router logits of two experts, the second of them trash, whose first has these probabilities."""
    first = torch.tensor(masses)
    return torch.stack([first, 1 - first], dim=-1).log().requires_grad_()


def test_a_loss_by_hand_sample_wise_and_token_wise():
    # Two samples of 2 and 1 tokens, -log(1 - r) = log 2, log 4; log 8: sample-wise (1.5 + 3) / 2, token-wise 6 / 3, of
    # log 2. The fourth token is padding. A second layer of log 2 throughout: the mean of layers.
    layers = [rows(0.5, 0.75, 0.875, 0.9), rows(0.5, 0.5, 0.5, 0.1)]
    mask = torch.tensor([[1, 1], [1, 0]])
    for averaging, first in (("sample_wise", 2.25), ("token_wise", 2.0)):
        loss, ratio_L = constraint_loss(layers, mask, 2, config(quality_loss_averaging=averaging))
        assert loss.item() == pytest.approx((first + 1) / 2 * math.log(2), rel=1e-5)
        assert ratio_L.tolist() == pytest.approx([(0.5 + 0.75 + 0.875) / 3, 0.5], rel=1e-5)
        assert not ratio_L.requires_grad


def test_its_gradient_by_hand():
    # d/dz of -log(1 - sigmoid(z)) is sigmoid(z): logits (z, 0) of one regular and one trash expert, one token.
    logits = torch.tensor([[math.log(3), 0.0]], requires_grad=True)
    loss, _ = constraint_loss([logits], None, 1, config())
    loss.backward()
    assert logits.grad[0].tolist() == pytest.approx([0.75, -0.75], rel=1e-5)


def test_it_pulls_where_nothing_or_everything_is_trash():
    """-log(1 - r) and -log r of logits (80, -80) are 160, and their gradient is 1, although r rounds to 1 and 0."""
    for alpha, beta, z in ((1.0, 2.0, 80.0), (2.0, 1.0, -80.0)):
        logits = torch.tensor([[z, -z]], requires_grad=True)
        loss, _ = constraint_loss([logits], None, 1, config(trash_can_alpha=alpha, trash_can_beta=beta))
        loss.backward()
        assert loss.item() == pytest.approx(160.0)
        assert logits.grad[0].tolist() == pytest.approx([1.0, -1.0] if z > 0 else [-1.0, 1.0])


@pytest.mark.parametrize("averaging", ["sample_wise", "token_wise"])
def test_it_adds_up_over_micro_batches_and_does_not_see_padding(averaging):
    torch.manual_seed(0)
    logits, mask = torch.randn(4, 5, 6), torch.arange(5) < torch.tensor([5, 2, 3, 1])[:, None]
    whole, _ = constraint_loss([logits.flatten(0, 1)], mask, 4, config(quality_loss_averaging=averaging))
    part = Part(0.5, torch.tensor(4), mask.sum())
    halves = [
        constraint_loss([logits[half].flatten(0, 1)], mask[half], 2, config(quality_loss_averaging=averaging), part)[0]
        for half in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(sum(halves), whole)
    wider = torch.nn.functional.pad(logits, (0, 0, 2, 0), value=9.0)
    padded, _ = constraint_loss(
        [wider.flatten(0, 1)],
        torch.nn.functional.pad(mask, (2, 0)),
        4,
        config(quality_loss_averaging=averaging),
    )
    torch.testing.assert_close(padded, whole)
