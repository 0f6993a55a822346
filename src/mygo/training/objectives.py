"""The published objective of the warm-up: language-model loss and quality loss, by gradient steps.

L layers.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from mygo.errors import UserError
from mygo.params import WarmupParams
from mygo.training.trainer import FiniteLossTrainer


class WarmupTrainer(FiniteLossTrainer):
    """Logs the parts of the loss and the mean good_ratio of every layer, averaged over the micro-batches since the last
    log.
    """

    stage = "warmup"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parts: dict[str, list[torch.Tensor]] = {}

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = cast(
            tuple[torch.Tensor, Any],
            super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch),
        )
        for name in ("lm_loss", "quality_loss", "load_balancing_loss"):
            if outputs.get(name) is not None:
                self.parts.setdefault(name, []).append(outputs[name])
        for layer, ratio in enumerate(outputs["good_ratio"]):
            self.parts.setdefault(f"good_ratio/layer_{layer:02d}", []).append(ratio)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs | {name: torch.stack(values).mean().item() for name, values in self.parts.items()}, start_time)
        self.parts.clear()


def configure_losses(model: PreTrainedModel, params: WarmupParams) -> None:
    loss = params.quality_loss
    settings: Mapping[str, Any] = {
        "quality_loss_type": loss.type,
        "quality_loss_weight": loss.weight,
        "quality_loss_averaging": loss.averaging,
        "quality_loss_function": loss.function,
        "beta_target_mean": loss.beta_target_mean,
        "beta_target_var": loss.beta_target_var,
        "w_mean": loss.w_mean,
        "w_var": loss.w_var,
        "lambda_var": loss.lambda_var,
        "enable_load_balancing": params.load_balancing_weight > 0,
    }
    for name, value in settings.items():
        setattr(model.config, name, value)
    if params.load_balancing_weight > 0 and not hasattr(model.config, "num_experts"):
        raise UserError(
            f"warmup.load_balancing_weight: got {params.load_balancing_weight:g}; {type(model).__name__} has no "
            "routers to balance, so it takes 0"
        )
    if params.load_balancing_weight > 0:
        model.config.router_aux_loss_coef = params.load_balancing_weight


def good_ratio_rows(trainer: WarmupTrainer) -> list[dict[str, float]]:
    return [
        {"step": entry["step"], "layer": int(name.rsplit("_", 1)[-1]), "good_ratio": value}
        for entry in trainer.state.log_history
        for name, value in entry.items()
        if name.startswith("good_ratio/")
    ]
