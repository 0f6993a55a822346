"""The published objective of the warm-up: language-model loss and the losses of the model's own, by gradient steps.

L layers.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import nn
from tqdm import tqdm

from mygo.training.callbacks import LiveCallback, StartMessage
from mygo.training.dataset import PadCollator, pad_token_id
from mygo.training.objectives.losses import configure_losses
from mygo.training.objectives.task import Outcome, Task
from mygo.training.saving import SaveEveryEpoch
from mygo.training.trainable import make_trainable
from mygo.training.trainer import FiniteLossTrainer, training_arguments

PLOTTED = ("lm_loss", "quality_loss", "constraint_loss")


def published(task: Task) -> Outcome:
    """Train what `warmup.trainable` names, and leave a checkpoint after every epoch."""
    params, runtime = task.params, task.runtime
    configure_losses(task.model, params)
    make_trainable(task.model, params)
    save = SaveEveryEpoch(task.folder, task.tokenizer, params, runtime.resolve(params.dtype))
    trainer = WarmupTrainer(
        model=task.model,
        args=training_arguments(params, runtime, task.seed, len(task.dataset), "warmup"),
        train_dataset=task.dataset,
        data_collator=PadCollator(pad_token_id(task.tokenizer)),
        callbacks=[StartMessage("warmup"), save, LiveCallback(task.curves, PLOTTED)],
        debug=params.quality_loss.debug,
    )
    trainer.train()
    return Outcome(_metrics(trainer), good_ratio_rows(trainer))


class WarmupTrainer(FiniteLossTrainer):
    """Logs beside the loss whatever parts of it the model reports: numbers whose name ends in `_loss`, and vectors [L]
    (such as `good_ratio`) by layer; each the mean over the steps of the same window, over all micro-batches and
    processes. The parts add up to the loss.

    `debug` prints a line a step with the range that the good_ratio of each layer has, where there are gates.
    """

    stage = "warmup"

    def __init__(self, debug: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = 0  # since the last log
        self.sums: dict[str, torch.Tensor] = {}  # since the last log, of this process
        self.counts: dict[str, torch.Tensor] = {}  # of the batch at hand, over all processes
        self.ranges = GoodRatioRanges(self) if debug else None

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        """The micro-batches of one step; their samples and tokens are counted, as the gates' losses are means over
        them.
        """
        batches, predicted = super().get_batch_samples(epoch_iterator, num_batches, device)
        masks = [batch["attention_mask"].bool() for batch in batches]
        here = torch.stack([torch.stack([mask.any(dim=1).sum(), mask.sum()]) for mask in masks]).sum(dim=0)
        samples, tokens = self.over_processes(here.to(device))
        self.counts = {"num_samples_in_batch": samples, "num_tokens_in_batch": tokens}
        self.steps += 1
        if self.ranges is not None:
            self.ranges.begin_step(len(batches))
        return batches, predicted

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = cast(
            tuple[torch.Tensor, Any], super().compute_loss(model, inputs | self.counts, True, num_items_in_batch)
        )
        for name, part in outputs.items():
            if torch.is_tensor(part) and (part.ndim == 1 or (part.ndim == 0 and name.endswith("_loss"))):
                self.sums[name] = self.sums.get(name, 0) + part.detach()
        if self.ranges is not None:
            self.ranges.add(outputs)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Every process comes here at the same steps, as their parts are summed."""
        super().log(logs | self._window(), start_time)

    def _window(self) -> dict[str, float]:
        """The parts since the last log; none at the end of the training, whose last step was logged."""
        means = {name: self.over_processes(part) / self.steps for name, part in self.sums.items()}
        self.steps, self.sums = 0, {}
        logged: dict[str, float] = {}
        for name, mean in means.items():
            if mean.ndim:
                logged |= {f"{name}/layer_{layer:02d}": value for layer, value in enumerate(mean.tolist())}
            else:
                logged[name] = mean.item()
        return logged

    def over_processes(self, part: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.accelerator.reduce(part, "sum"))


class GoodRatioRanges:
    """Says after each step, in the main process, the smallest, mean and largest good_ratio of every layer over the
    step's tokens, of all micro-batches and processes.
    """

    def __init__(self, trainer: WarmupTrainer) -> None:
        self.trainer = trainer
        self.left = 0  # micro-batches of the step
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []  # mean [L] and range [L, 2] of a micro-batch

    def begin_step(self, micro_batches: int) -> None:
        self.left, self.seen = micro_batches, []

    def add(self, outputs: Any) -> None:
        """Of a micro-batch. A model without gates has nothing to say."""
        self.left -= 1
        if outputs.get("good_ratio_range") is not None:
            self.seen.append((outputs["good_ratio"].detach(), outputs["good_ratio_range"]))
        if self.left == 0 and self.seen:
            means, ranges = zip(*self.seen, strict=True)
            mean_L = self.trainer.over_processes(torch.stack(means).sum(0))
            range_ML2 = cast(torch.Tensor, self.trainer.accelerator.gather(torch.stack(ranges)))
            if self.trainer.is_world_process_zero():
                low_L, high_L = range_ML2[..., 0].amin(0), range_ML2[..., 1].amax(0)
                step = self.trainer.state.global_step + 1
                tqdm.write(range_line(step, low_L.tolist(), mean_L.tolist(), high_L.tolist()), file=sys.stderr)


def range_line(step: int, low_L: Sequence[float], mean_L: Sequence[float], high_L: Sequence[float]) -> str:
    layers = ", ".join(
        f"{layer}: {low:.3f} {mean:.3f} {high:.3f}"
        for layer, (low, mean, high) in enumerate(zip(low_L, mean_L, high_L, strict=True))
    )
    return f"warmup: step {step}, good_ratio min mean max by layer: {layers}"


def good_ratio_rows(trainer: WarmupTrainer) -> list[dict[str, float]]:
    return [
        {"step": entry["step"], "layer": int(name.rsplit("_", 1)[-1]), "good_ratio": value}
        for entry in trainer.state.log_history
        for name, value in entry.items()
        if name.startswith("good_ratio/")
    ]


def _metrics(trainer: WarmupTrainer) -> dict[str, Any]:
    """The loss, its parts and the mean good_ratio over layers, where there are gates, all of the last logged steps.
    What every layer's good_ratio is stands in the plots: here it would be a row for each.
    """
    last = [entry for entry in trainer.state.log_history if "loss" in entry][-1]
    metrics = {name: value for name, value in last.items() if name.endswith("loss")}
    if good_ratio := [value for name, value in last.items() if name.startswith("good_ratio/")]:
        metrics["good_ratio"] = round(sum(good_ratio) / len(good_ratio), 6)
    return metrics | {"steps": trainer.state.global_step}
