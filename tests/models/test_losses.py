"""Every quality loss, against numbers worked by hand."""

import math
from typing import get_args

import pytest
import torch

from mygo.errors import UserError
from mygo.models.config import GatedConfig
from mygo.models.losses import AVERAGING, QUALITY_LOSSES, Part, good_ratio_range, quality_loss
from mygo.params.choices import Averaging, QualityLossType

CUSTOM = """
def away_from_half(good_ratio, attention_mask):
    return (good_ratio - 0.5) ** 2 * attention_mask

def total(good_ratio, attention_mask):
    return good_ratio.sum()
"""

# Two samples: g = (0.2, 0.4) and (0.9), one token of padding with g = 0.7.
GOOD = [[0.2, 0.4], [0.9, 0.7]]
MASK = [[1, 1], [1, 0]]


@pytest.fixture(autouse=True)
def _custom_losses(tmp_path, monkeypatch):
    (tmp_path / "own_losses.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(tmp_path)


def scores_of(good):
    """Raw scores [B, T, 1] with these ratios: logit(g)."""
    return torch.tensor([[[math.log(g / (1 - g))] for g in row] for row in good], requires_grad=True)


def loss_of(layers, mask, **keys):
    config = GatedConfig(**{"quality_loss_function": "own_losses:away_from_half"} | keys)
    return quality_loss(layers, None if mask is None else torch.tensor(mask), config)[0]


WORKED = [
    # sample-wise: (0.3 + 0.9) / 2; token-wise: 1.5 / 3
    ("sigmoid", "sample_wise", {}, 0.6),
    ("linear", "sample_wise", {}, 0.6),
    ("sigmoid", "token_wise", {}, 0.5),
    # squares 0.04, 0.16, 0.81: (0.1 + 0.81) / 2; 1.01 / 3
    ("mse", "sample_wise", {}, 0.455),
    ("mse", "token_wise", {}, 1.01 / 3),
    # mean 0.5, deviations -0.3, -0.1, 0.4: var 0.26 / 2 = 0.13
    ("beta_moment_matching", "token_wise", {}, 0.08**2),
    (
        "beta_moment_matching",
        "sample_wise",
        {"beta_target_mean": 0.2, "beta_target_var": 0.03, "w_mean": 2.0, "w_var": 5.0},
        2 * 0.3**2 + 5 * 0.1**2,
    ),
    ("mean_variance_regularization", "token_wise", {}, -0.013),
    ("mean_variance_regularization", "token_wise", {"lambda_var": 2.0}, -0.26),
    # (g - 0.5)^2 = 0.09, 0.01, 0.16: (0.05 + 0.16) / 2; 0.26 / 3
    ("custom", "sample_wise", {}, 0.105),
    ("custom", "token_wise", {}, 0.26 / 3),
]


@pytest.mark.parametrize(("kind", "averaging", "keys", "expected"), WORKED)
def test_losses_against_numbers_worked_by_hand(kind, averaging, keys, expected):
    loss = loss_of([scores_of(GOOD)], MASK, quality_loss_type=kind, quality_loss_averaging=averaging, **keys)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_beta_moment_matching_on_two_tokens():
    # g = (0.2, 0.4): mean 0.3, var 0.02 -> (0.3 - 0.5)^2 + (0.02 - 0.05)^2 = 0.0409
    assert loss_of([scores_of([[0.2, 0.4]])], None, quality_loss_type="beta_moment_matching").item() == pytest.approx(
        0.0409, abs=1e-6
    )


def test_layers_are_averaged_and_reported_one_by_one():
    layers = [scores_of([[0.2, 0.4]]), scores_of([[0.9, 0.7]])]
    loss, good_ratio = quality_loss(layers, None, GatedConfig())
    assert loss.item() == pytest.approx(0.55)
    torch.testing.assert_close(good_ratio, torch.tensor([0.3, 0.8]))
    assert loss.requires_grad
    assert not good_ratio.requires_grad


@pytest.mark.parametrize("averaging", ["sample_wise", "token_wise"])
@pytest.mark.parametrize("kind", sorted(QUALITY_LOSSES))
def test_every_loss_moves_every_real_token_and_no_padding(kind, averaging):
    scores = scores_of([[0.2, 0.4], [0.8, 0.7]])
    loss_of([scores], MASK, quality_loss_type=kind, quality_loss_averaging=averaging).backward()
    moved = scores.grad.squeeze(-1) != 0
    assert moved.tolist() == [[True, True], [True, False]]
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("averaging", ["sample_wise", "token_wise"])
@pytest.mark.parametrize("kind", sorted(QUALITY_LOSSES))
def test_padding_changes_no_loss(kind, averaging):
    padded, mask = (
        [[0.6, 0.2, 0.4, 0.1], [0.3, 0.9, 0.5, 0.5], [0.3, 0.3, 0.3, 0.3]],
        [[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]],
    )
    keys = {"quality_loss_type": kind, "quality_loss_averaging": averaging}
    assert loss_of([scores_of(padded)], mask, **keys).item() == pytest.approx(
        loss_of([scores_of(GOOD)], MASK, **keys).item(), abs=1e-6
    )


@pytest.mark.parametrize("kind", sorted(QUALITY_LOSSES))
def test_a_single_token_and_none_at_all_stay_finite(kind):
    for mask in ([[1, 0]], [[0, 0]]):
        scores = scores_of([[0.2, 0.4]])
        loss = loss_of([scores], mask, quality_loss_type=kind)
        loss.backward()
        assert loss.isfinite()
        assert scores.grad.isfinite().all()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (None, "got None; takes package.module:name"),
        ("own_losses", "takes package.module:name"),
        ("own_losses:missing", "cannot be imported"),
        ("own_losses:total", r"returned shape \[\]; takes \[batch, seq\] = \[2, 2\]"),
    ],
)
def test_a_bad_custom_loss_is_refused_by_its_key(function, message):
    with pytest.raises(UserError, match=r"^warmup\.quality_loss\.function: .*" + message):
        loss_of([scores_of(GOOD)], MASK, quality_loss_type="custom", quality_loss_function=function)


def test_the_range_of_good_ratios_leaves_padding_out():
    layers = [scores_of([[0.2, 0.4], [0.9, 0.95]]), scores_of([[0.5, 0.3], [0.6, 0.1]])]
    torch.testing.assert_close(good_ratio_range(layers, torch.tensor(MASK)), torch.tensor([[0.2, 0.9], [0.3, 0.6]]))
    torch.testing.assert_close(good_ratio_range(layers, None), torch.tensor([[0.2, 0.95], [0.1, 0.6]]))
    nothing = good_ratio_range(layers, torch.zeros(2, 2))
    assert nothing.tolist() == [[math.inf, -math.inf]] * 2


ROWS = [([[0.2, 0.4]], [[1, 1]]), ([[0.9, 0.7]], [[1, 0]])]  # GOOD and MASK, one sample at a time


def part_of(row, part, **keys):
    good, mask = row
    config = GatedConfig(quality_loss_function="own_losses:away_from_half", **keys)
    return quality_loss([scores_of(good)], torch.tensor(mask), config, part)


# What each of the two samples adds to the mean of the batch, whose two samples hold three tokens.
ADDED = [
    ("sigmoid", "sample_wise", 0.3 / 2, 0.9 / 2),
    ("sigmoid", "token_wise", 0.6 / 3, 0.9 / 3),
    ("mse", "sample_wise", 0.1 / 2, 0.81 / 2),
    ("mse", "token_wise", 0.2 / 3, 0.81 / 3),
    ("custom", "sample_wise", 0.05 / 2, 0.16 / 2),
    ("custom", "token_wise", 0.1 / 3, 0.16 / 3),
]


@pytest.mark.parametrize(("kind", "averaging", "first", "second"), ADDED)
def test_means_add_up_over_the_parts_of_a_batch_whatever_their_share(kind, averaging, first, second):
    part = Part(torch.tensor(0.1), samples=torch.tensor(2), tokens=torch.tensor(3))
    keys = {"quality_loss_type": kind, "quality_loss_averaging": averaging}
    losses, ratios = zip(*(part_of(row, part, **keys) for row in ROWS), strict=True)
    assert [loss.item() for loss in losses] == pytest.approx([first, second], abs=1e-6)
    assert [ratio.item() for ratio in ratios] == pytest.approx([0.6 / 3, 0.9 / 3], abs=1e-6)


@pytest.mark.parametrize("averaging", ["sample_wise", "token_wise"])
def test_without_counts_a_part_weighs_as_its_share(averaging):
    loss, ratio = part_of(ROWS[0], Part(0.25), quality_loss_averaging=averaging)
    assert (loss.item(), ratio.item()) == pytest.approx((0.25 * 0.3, 0.25 * 0.3), abs=1e-6)


def test_moments_weigh_as_their_share_also_with_counts():
    part = Part(torch.tensor(0.5), samples=torch.tensor(2), tokens=torch.tensor(3))
    # mean 0.3, var 0.02: (0.2^2 + 0.03^2) / 2; (0.2^2 - 0.1 * 0.02) / 2
    for kind, expected in (("beta_moment_matching", 0.0409 / 2), ("mean_variance_regularization", 0.038 / 2)):
        assert part_of(ROWS[0], part, quality_loss_type=kind)[0].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("averaging", ["sample_wise", "token_wise"])
def test_an_empty_batch_adds_nothing(averaging):
    part = Part(1.0, samples=torch.tensor(0), tokens=torch.tensor(0))
    loss, ratio = part_of(([[0.2, 0.4]], [[0, 0]]), part, quality_loss_averaging=averaging)
    assert (loss.item(), ratio.item()) == (0.0, 0.0)


def test_losses_are_computed_in_float32():
    score = torch.full((1, 1, 1), 3.0, dtype=torch.bfloat16)
    loss, ratio = quality_loss([score], None, GatedConfig())
    assert (loss.dtype, ratio.dtype) == (torch.float32, torch.float32)
    assert loss.item() == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-6)


def test_the_choices_are_the_losses_that_there_are():
    assert set(QUALITY_LOSSES) == set(get_args(QualityLossType))
    assert set(AVERAGING) == set(get_args(Averaging))


def no_tensor(good_ratio, attention_mask):
    return 1.0


def test_a_custom_loss_that_returns_no_tensor_is_one_sentence():
    config = GatedConfig(quality_loss_type="custom", quality_loss_function="tests.models.test_losses:no_tensor")
    with pytest.raises(UserError, match=r"no_tensor returned a float; takes \[batch, seq\] = \[1, 2\]$"):
        quality_loss([torch.zeros(1, 2, 1)], None, config)


def detached(good_ratio, attention_mask):
    return good_ratio.detach()


def test_a_custom_loss_without_a_gradient_is_one_sentence():
    """It would train nothing, and nobody would see it."""
    config = GatedConfig(quality_loss_type="custom", quality_loss_function="tests.models.test_losses:detached")
    with pytest.raises(UserError, match=r"^warmup\.quality_loss\.function: .*detached returned values without a grad"):
        quality_loss([torch.zeros(1, 2, 1, requires_grad=True)], None, config)
    quality_loss([torch.zeros(1, 2, 1)], None, config)  # where nothing is trained it may
