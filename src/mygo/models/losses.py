"""Quality losses: what the gates are asked to be, beside helping the language model.

B batch, T tokens, L layers; g = good_ratio = sigmoid(quality score). Only tokens under the mask count, so padding
changes nothing. Each loss is taken per layer, then averaged over layers. Variances divide by n - 1. Means of per-token
terms (all but the two losses of moments) do not depend on how a batch is cut into micro-batches: see `Part`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mygo.errors import UserError
from mygo.models.config import GatedConfig
from mygo.models.named import load_named


@dataclass(frozen=True)
class Part:
    """Which part of a batch the tokens at hand are; by default all of it.

    `share` is their part of the batch's predicted tokens. `samples` and `tokens` are how many the whole batch has under
    the mask: with them a mean of per-token terms adds up over micro-batches and processes to the mean over the batch,
    however it is cut. Without them each micro-batch's own mean counts by `share`.
    """

    share: Tensor | float = 1.0
    samples: Tensor | None = None
    tokens: Tensor | None = None

    def of_mean(self, total: Tensor, here: Tensor, whole: Tensor | None) -> Tensor:
        """What a sum over `here` items adds to the mean over the `whole` batch's; 0 if there are none."""
        if whole is None:
            return self.share * total / here.clamp(min=1)
        return total / whole.clamp(min=1)

    def to(self, device: torch.device) -> "Part":
        return replace(self, **{name: value.to(device) for name, value in vars(self).items() if torch.is_tensor(value)})


WHOLE = Part()


def token_mean(value_BT: Tensor, mask_BT: Tensor, part: Part = WHOLE) -> Tensor:
    """Mean over all tokens under the mask; 0 if there are none."""
    return part.of_mean(torch.where(mask_BT, value_BT, 0.0).sum(), mask_BT.sum(), part.tokens)


def sample_mean(value_BT: Tensor, mask_BT: Tensor, part: Part = WHOLE) -> Tensor:
    """Mean over each sample's tokens, then over the samples that have any."""
    length_B = mask_BT.sum(dim=1)
    mean_B = torch.where(mask_BT, value_BT, 0.0).sum(dim=1) / length_B.clamp(min=1)
    return part.of_mean(mean_B.sum(), (length_B > 0).sum(), part.samples)


AVERAGING: dict[str, Callable[[Tensor, Tensor, Part], Tensor]] = {"sample_wise": sample_mean, "token_wise": token_mean}


def _moments(good_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance over all tokens under the mask; the variance of a single token is 0."""
    mean = token_mean(good_BT, mask_BT)
    squares = torch.where(mask_BT, (good_BT - mean) ** 2, 0.0).sum()
    return mean, squares / (mask_BT.sum() - 1).clamp(min=1)


def sigmoid(good_BT: Tensor, mask_BT: Tensor, config: GatedConfig, part: Part) -> Tensor:
    """mean(g): everything is trash unless the language model objects."""
    return AVERAGING[config.quality_loss_averaging](good_BT, mask_BT, part)


def mse(good_BT: Tensor, mask_BT: Tensor, config: GatedConfig, part: Part) -> Tensor:
    """mean(g^2)."""
    return AVERAGING[config.quality_loss_averaging](good_BT**2, mask_BT, part)


def beta_moment_matching(good_BT: Tensor, mask_BT: Tensor, config: GatedConfig, part: Part) -> Tensor:
    """w_mean (mean(g) - beta_target_mean)^2 + w_var (var(g) - beta_target_var)^2, of each micro-batch by its share.

    Moments do not add up: the loss depends on how a batch is cut into micro-batches.
    """
    mean, var = _moments(good_BT, mask_BT)
    loss = config.w_mean * (mean - config.beta_target_mean) ** 2 + config.w_var * (var - config.beta_target_var) ** 2
    return part.share * loss


def mean_variance_regularization(good_BT: Tensor, mask_BT: Tensor, config: GatedConfig, part: Part) -> Tensor:
    """(mean(g) - 0.5)^2 - lambda_var var(g), of each micro-batch by its share, like the other loss of moments."""
    mean, var = _moments(good_BT, mask_BT)
    return part.share * ((mean - 0.5) ** 2 - config.lambda_var * var)


def custom(good_BT: Tensor, mask_BT: Tensor, config: GatedConfig, part: Part) -> Tensor:
    """A loss per token, from the user's `function(good_ratio, attention_mask) -> [batch, seq]`, averaged like the
    built-in ones.
    """
    key = "warmup.quality_loss.function"
    loss_BT = load_named(config.quality_loss_function, key)(good_BT, mask_BT)
    if not isinstance(loss_BT, Tensor) or loss_BT.shape != good_BT.shape:
        what = f"shape {list(loss_BT.shape)}" if isinstance(loss_BT, Tensor) else f"a {type(loss_BT).__name__}"
        raise UserError(
            f"{key}: {config.quality_loss_function} returned {what}; takes [batch, seq] = {list(good_BT.shape)}"
        )
    if good_BT.requires_grad and not loss_BT.requires_grad:
        raise UserError(
            f"{key}: {config.quality_loss_function} returned values without a gradient, which train nothing; takes "
            "what torch computes of good_ratio"
        )
    return AVERAGING[config.quality_loss_averaging](loss_BT, mask_BT, part)


QUALITY_LOSSES: dict[str, Callable[[Tensor, Tensor, GatedConfig, Part], Tensor]] = {
    "sigmoid": sigmoid,
    "linear": sigmoid,
    "mse": mse,
    "beta_moment_matching": beta_moment_matching,
    "mean_variance_regularization": mean_variance_regularization,
    "custom": custom,
}


def quality_loss(
    scores: Sequence[Tensor], attention_mask: Tensor | None, config: GatedConfig, part: Part = WHOLE
) -> tuple[Tensor, Tensor]:
    """The quality loss that the config asks for, and the mean good_ratio of each layer.

    scores: L raw scores [B, T, 1]; attention_mask [B, T], 1 for tokens and 0 for padding (None: no padding).
    Returns a scalar with a gradient, and [L] without; of a part of a batch, what it adds to the batch's.
    """
    device = scores[-1].device  # layers may lie on several devices
    goods_LBT = [torch.sigmoid(score.float()).squeeze(-1).to(device) for score in scores]
    mask_BT = torch.ones_like(goods_LBT[0], dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    mask_BT, part = mask_BT.to(device), part.to(device)
    loss_of = QUALITY_LOSSES[config.quality_loss_type]
    losses_L = torch.stack([loss_of(good, mask_BT, config, part) for good in goods_LBT])
    ratios_L = torch.stack([token_mean(good.detach(), mask_BT, part) for good in goods_LBT])
    return losses_L.mean(), ratios_L


def good_ratio_range(scores: Sequence[Tensor], attention_mask: Tensor | None) -> Tensor:
    """`token_range` of good_ratio; scores: L raw scores [B, T, 1]."""
    device = scores[-1].device
    return token_range([torch.sigmoid(score.float()).squeeze(-1).to(device) for score in scores], attention_mask)


@torch.no_grad()
def token_range(layers: Sequence[Tensor], attention_mask: Tensor | None) -> Tensor:
    """The smallest and the largest value of each layer over the tokens under the mask.

    layers: L times [B, T]; attention_mask [B, T] or None -> [L, 2]; (inf, -inf) if there are no tokens.
    """
    value_LBT = torch.stack(list(layers))
    padding_BT = torch.zeros_like(value_LBT[0], dtype=torch.bool)
    if attention_mask is not None:
        padding_BT = ~attention_mask.bool().to(value_LBT.device)
    low_L = value_LBT.masked_fill(padding_BT, float("inf")).flatten(1).amin(1)
    high_L = value_LBT.masked_fill(padding_BT, -float("inf")).flatten(1).amax(1)
    return torch.stack([low_L, high_L], dim=1)
