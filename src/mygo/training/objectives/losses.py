"""The losses that the parameters ask for, written into the model's config."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from mygo.errors import UserError
from mygo.models import records
from mygo.params import WarmupParams


def configure_losses(model: PreTrainedModel, params: WarmupParams) -> None:
    """Raises `UserError` if the routers of a model that has none are to be balanced."""
    loss = params.quality_loss
    settings: Mapping[str, Any] = {
        "quality_loss_type": loss.type,
        "quality_loss_weight": loss.weight,
        "quality_loss_averaging": loss.averaging,
        "quality_loss_function": loss.function,
        "quality_loss_debug": loss.debug,
        "beta_target_mean": loss.beta_target_mean,
        "beta_target_var": loss.beta_target_var,
        "w_mean": loss.w_mean,
        "w_var": loss.w_var,
        "lambda_var": loss.lambda_var,
        "trash_can_alpha": loss.trash_can_alpha,
        "trash_can_beta": loss.trash_can_beta,
        "enable_load_balancing": params.load_balancing_weight > 0,
    }
    for name, value in settings.items():
        if hasattr(model.config, name):  # a family without gates has no use for the others
            setattr(model.config, name, value)
    if params.load_balancing_weight > 0 and not records(model).routers:
        raise UserError(
            f"warmup.load_balancing_weight: got {params.load_balancing_weight:g}; {type(model).__name__} has no "
            "routers to balance, so it takes 0"
        )
    if params.load_balancing_weight > 0:
        model.config.router_aux_loss_coef = params.load_balancing_weight
