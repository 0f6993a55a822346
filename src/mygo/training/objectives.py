"""The published objective of the warm-up: language-model loss and quality loss, by gradient steps.

L layers.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from mygo.errors import UserError
from mygo.params import WarmupParams
from mygo.training.trainer import FiniteLossTrainer

PARTS = ("lm_loss", "quality_loss", "load_balancing_loss", "good_ratio")


class WarmupTrainer(FiniteLossTrainer):
    """Logs beside the loss its parts and the mean good_ratio of every layer, each the mean over the steps of the same
    window, over all micro-batches and processes. The parts add up to the loss.
    """

    stage = "warmup"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = 0  # since the last log
        self.sums: dict[str, torch.Tensor] = {}  # since the last log, of this process
        self.counts: dict[str, torch.Tensor] = {}  # of the batch at hand, over all processes

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        """The micro-batches of one step; their samples and tokens are counted, as the gates' losses are means over
        them.
        """
        batches, predicted = super().get_batch_samples(epoch_iterator, num_batches, device)
        masks = [batch["attention_mask"].bool() for batch in batches]
        here = torch.stack([torch.stack([mask.any(dim=1).sum(), mask.sum()]) for mask in masks]).sum(dim=0)
        samples, tokens = self._over_processes(here.to(device))
        self.counts = {"num_samples_in_batch": samples, "num_tokens_in_batch": tokens}
        self.steps += 1
        return batches, predicted

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = cast(
            tuple[torch.Tensor, Any], super().compute_loss(model, inputs | self.counts, True, num_items_in_batch)
        )
        for name in PARTS:
            if (part := outputs.get(name)) is not None:
                self.sums[name] = self.sums.get(name, 0) + part
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Every process comes here at the same steps, as their parts are summed."""
        super().log(logs | self._window(), start_time)

    def _window(self) -> dict[str, float]:
        """The parts since the last log; none at the end of the training, whose last step was logged."""
        means = {name: self._over_processes(part) / self.steps for name, part in self.sums.items()}
        self.steps, self.sums = 0, {}
        ratios = means.pop("good_ratio", torch.empty(0)).tolist()
        return {name: mean.item() for name, mean in means.items()} | {
            f"good_ratio/layer_{layer:02d}": ratio for layer, ratio in enumerate(ratios)
        }

    def _over_processes(self, part: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.accelerator.reduce(part, "sum"))


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
