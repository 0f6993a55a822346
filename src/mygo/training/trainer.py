"""Hugging Face's Trainer with what ours adds: it stops at the first loss that is not finite and logs to DVCLive."""

import math
import os
import sys
from pathlib import Path
from typing import Any

import torch
from dvclive.live import Live
from transformers import ProgressCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mygo.errors import UserError
from mygo.params import TrainingParams
from mygo.runtime import Runtime

LOG_POINTS = 50  # at most this many points on a curve


def training_arguments(
    params: TrainingParams, runtime: Runtime, seed: int, samples: int, stage: str
) -> TrainingArguments:
    """Trainer's arguments. Nothing is saved by the Trainer itself: its checkpoints hold pickles, and ours hold
    models.
    """
    accumulation = _accumulation(params, runtime.processes, stage)
    steps = params.epochs * math.ceil(samples / params.batch_size)
    os.environ["TENSORBOARD_LOGGING_DIR"] = f"logs/tensorboard/{stage}"
    mixed = runtime.resolve(params.dtype) is torch.bfloat16
    arguments = TrainingArguments(
        output_dir=f"logs/trainer/{stage}",
        seed=seed,
        data_seed=seed,
        num_train_epochs=params.epochs,
        per_device_train_batch_size=params.micro_batch_size,
        gradient_accumulation_steps=accumulation,
        learning_rate=params.learning_rate,
        lr_scheduler_type=params.lr_scheduler,
        warmup_steps=params.warmup_ratio,
        weight_decay=params.weight_decay,
        max_grad_norm=params.max_grad_norm,
        activation_checkpointing=params.gradient_checkpointing,
        activation_checkpointing_kwargs={
            "use_reentrant": False
        },  # the reentrant kind loses the gradient of recorded gate scores
        bf16=mixed,
        use_cpu=runtime.device.type == "cpu",
        logging_steps=max(1, steps // LOG_POINTS),
        logging_nan_inf_filter=False,
        report_to=["tensorboard"],
        save_strategy="no",
        remove_unused_columns=False,
        dataloader_pin_memory=runtime.device.type == "cuda",
        ddp_backend="gloo" if runtime.device.type == "cpu" and runtime.processes > 1 else None,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several visible GPUs without a launcher would mean DataParallel
    return arguments


def _accumulation(params: TrainingParams, processes: int, stage: str) -> int:
    """How many micro-batches of each process make a batch."""
    per_step = params.micro_batch_size * processes
    accumulation, rest = divmod(params.batch_size, per_step)
    if rest or not accumulation:
        raise UserError(
            f"{stage}.batch_size: got {params.batch_size}; takes a multiple of micro_batch_size x processes = "
            f"{per_step}"
        )
    return accumulation


class FiniteLossTrainer(Trainer):
    """Stops with one sentence at the first step whose loss is NaN or infinite, before anything is written."""

    stage = "training"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.remove_callback(ProgressCallback)
        self.add_callback(LossBar)

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            step = self.state.global_step + 1
            raise UserError(
                f"{self.stage}: the loss is {loss.item()} at step {step}; lower {self.stage}.learning_rate (now "
                f"{self.args.learning_rate:g})"
            )
        return loss


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


class LiveCallback(TrainerCallback):
    """Loss curves for DVC: every logged value that is not a timing goes to a DVCLive folder. Main process only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        if self.live is not None:
            self.live.end()


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
