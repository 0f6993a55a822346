"""Quality losses: what the gates are asked to be, beside helping the language model.

B batch, T tokens, L layers; g = good_ratio = sigmoid(quality score). Only tokens under the mask count, so padding
changes nothing. Each loss is taken per layer, then averaged over layers. Variances divide by n - 1.
"""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mygo.errors import UserError
from mygo.models.config import GatedConfig
from mygo.models.named import load_named

logger = logging.getLogger(__name__)


def token_mean(value_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over all tokens under the mask; 0 if there are none."""
    return torch.where(mask_BT, value_BT, 0.0).sum() / mask_BT.sum().clamp(min=1)


def sample_mean(value_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over each sample's tokens, then over the samples that have any."""
    length_B = mask_BT.sum(dim=1)
    mean_B = torch.where(mask_BT, value_BT, 0.0).sum(dim=1) / length_B.clamp(min=1)
    return mean_B.sum() / (length_B > 0).sum().clamp(min=1)


AVERAGING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"sample_wise": sample_mean, "token_wise": token_mean}


def _moments(good_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance over all tokens under the mask; the variance of a single token is 0."""
    mean = token_mean(good_BT, mask_BT)
    squares = torch.where(mask_BT, (good_BT - mean) ** 2, 0.0).sum()
    return mean, squares / (mask_BT.sum() - 1).clamp(min=1)


def sigmoid(good_BT: Tensor, mask_BT: Tensor, config: GatedConfig) -> Tensor:
    """mean(g): everything is trash unless the language model objects."""
    return AVERAGING[config.quality_loss_averaging](good_BT, mask_BT)


def mse(good_BT: Tensor, mask_BT: Tensor, config: GatedConfig) -> Tensor:
    """mean(g^2)."""
    return AVERAGING[config.quality_loss_averaging](good_BT**2, mask_BT)


def beta_moment_matching(good_BT: Tensor, mask_BT: Tensor, config: GatedConfig) -> Tensor:
    """w_mean (mean(g) - beta_target_mean)^2 + w_var (var(g) - beta_target_var)^2."""
    mean, var = _moments(good_BT, mask_BT)
    return config.w_mean * (mean - config.beta_target_mean) ** 2 + config.w_var * (var - config.beta_target_var) ** 2


def mean_variance_regularization(good_BT: Tensor, mask_BT: Tensor, config: GatedConfig) -> Tensor:
    """(mean(g) - 0.5)^2 - lambda_var var(g)."""
    mean, var = _moments(good_BT, mask_BT)
    return (mean - 0.5) ** 2 - config.lambda_var * var


def custom(good_BT: Tensor, mask_BT: Tensor, config: GatedConfig) -> Tensor:
    """A loss per token, from the user's `function(good_ratio, attention_mask) -> [batch, seq]`, averaged like the
    built-in ones.
    """
    key = "warmup.quality_loss.function"
    loss_BT = load_named(config.quality_loss_function, key)(good_BT, mask_BT)
    if loss_BT.shape != good_BT.shape:
        raise UserError(
            f"{key}: {config.quality_loss_function} returned shape {list(loss_BT.shape)}; takes [batch, seq] = "
            f"{list(good_BT.shape)}"
        )
    return AVERAGING[config.quality_loss_averaging](loss_BT, mask_BT)


QUALITY_LOSSES: dict[str, Callable[[Tensor, Tensor, GatedConfig], Tensor]] = {
    "sigmoid": sigmoid,
    "linear": sigmoid,
    "mse": mse,
    "beta_moment_matching": beta_moment_matching,
    "mean_variance_regularization": mean_variance_regularization,
    "custom": custom,
}


def quality_loss(scores: Sequence[Tensor], attention_mask: Tensor | None, config: GatedConfig) -> tuple[Tensor, Tensor]:
    """The quality loss that the config asks for, and the mean good_ratio of each layer.

    scores: L raw scores [B, T, 1]; attention_mask [B, T], 1 for tokens and 0 for padding (None: no padding).
    Returns a scalar with a gradient, and [L] without.
    """
    goods_LBT = [torch.sigmoid(score.float()).squeeze(-1) for score in scores]
    mask_BT = torch.ones_like(goods_LBT[0], dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    loss_of = QUALITY_LOSSES[config.quality_loss_type]
    device = goods_LBT[-1].device  # layers may lie on several devices
    losses_L = torch.stack([loss_of(good, mask_BT.to(good.device), config).to(device) for good in goods_LBT])
    ratios_L = torch.stack([token_mean(good.detach(), mask_BT.to(good.device)).to(device) for good in goods_LBT])
    if config.quality_loss_debug:  # a warning, so that it shows without any logging set-up
        logger.warning(
            "%s quality loss by layer %s, mean good_ratio %s",
            config.quality_loss_type,
            losses_L.tolist(),
            ratios_L.tolist(),
        )
    return losses_L.mean(), ratios_L
