"""What a training shows while it runs: a sentence at its start, a bar or a line of the loss, curves for DVC."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvclive.live import Live
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class LossBar(ProgressCallback):
    """Trainer's progress bar with the loss beside it, instead of a line of numbers for every log."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if state.is_world_process_zero and self.training_bar is not None and logs is not None and "loss" in logs:
            self.training_bar.set_postfix(loss=f"{logs['loss']:.3f}")


class LossLine(TrainerCallback):
    """Where there is no terminal: one line an epoch."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        if state.is_world_process_zero and losses:
            print(
                f"{self.stage}: epoch {round(state.epoch or 0)} of {args.num_train_epochs:g}, loss {losses[-1]:.3f}",
                file=sys.stderr,
            )


class LogLastStep(TrainerCallback):
    """The last step is logged too, so that the last window of every logged value ends with the training."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = True


class LiveCallback(TrainerCallback):
    """Loss curves for DVC: every logged value that is not a timing goes to a DVCLive folder. Main process only.

    `plotted`: values that dvc.yaml draws. Of one that a training does not have there is a curve without a point, which
    `dvc plots` passes over; of a file that is not there it warns.
    """

    def __init__(self, folder: Path, plotted: Sequence[str] = ()) -> None:
        self.folder, self.plotted = folder, plotted
        self.live: Live | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.live = Live(str(self.folder), dvcyaml=None, save_dvc_exp=False, report=None)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if self.live is None or logs is None or "train_runtime" in logs:
            return
        self.live.step = state.global_step
        for name, value in logs.items():
            self.live.log_metric(f"train/{name}" if "/" not in name else name, float(f"{value:.6g}"))
        self.live.make_summary()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.live is None:
            return
        self.live.end()
        for name in self.plotted:
            curve = self.folder / f"plots/metrics/train/{name}.tsv"
            if not curve.exists():
                curve.write_text(f"step\t{name}\n")


class StartMessage(TrainerCallback):
    """Says once, at the start, what is about to happen in derived numbers."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            batch = f"{args.per_device_train_batch_size} x {args.gradient_accumulation_steps} x {args.world_size}"
            print(
                f"{self.stage}: {state.max_steps} steps of {batch} samples, {args.num_train_epochs:g} epochs",
                file=sys.stderr,
            )
