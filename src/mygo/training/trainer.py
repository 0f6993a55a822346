"""Hugging Face's Trainer with what ours adds: it stops at the first loss that is not finite, and logs the last step."""

import math
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments

from mygo.errors import UserError
from mygo.params import TrainingParams, micro_batches
from mygo.runtime import Runtime
from mygo.training.callbacks import LogLastStep, LossBar, LossLine

LOG_POINTS = 50  # at most this many points on a curve


def training_arguments(
    params: TrainingParams, runtime: Runtime, seed: int, samples: int, stage: str
) -> TrainingArguments:
    """Trainer's arguments. Nothing is saved by the Trainer itself: its checkpoints hold pickles, and ours hold
    models.
    """
    size, accumulation = micro_batches(params, runtime.processes, stage)
    steps = params.epochs * math.ceil(samples / params.batch_size)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(tensorboard_folder(stage))
    mixed = runtime.resolve(params.dtype) is torch.bfloat16
    # Whatever a default config of accelerate has put there: the number format is the stage's own parameter.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if mixed else "no"
    arguments = TrainingArguments(
        output_dir=f"logs/trainer/{stage}",
        seed=seed,
        data_seed=seed,
        num_train_epochs=params.epochs,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=accumulation,
        learning_rate=params.learning_rate,
        lr_scheduler_type=params.lr_scheduler,
        warmup_steps=params.warmup_ratio if steps > 1 else 0,  # of one step it would be all, at a learning rate of 0
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
        disable_tqdm=not sys.stderr.isatty(),
        save_strategy="no",
        remove_unused_columns=False,
        dataloader_pin_memory=runtime.device.type == "cuda",
        ddp_backend="gloo" if runtime.device.type == "cpu" and runtime.processes > 1 else None,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several visible GPUs without a launcher would mean DataParallel
    return arguments


def tensorboard_folder(stage: str) -> Path:
    """A folder of this run alone: `logs/tensorboard/<stage>/<time of its start>`."""
    return Path("logs/tensorboard") / stage / datetime.now().strftime("%Y-%m-%d_%H-%M-%S.%f")


class FiniteLossTrainer(Trainer):
    """Stops with one sentence at the first step whose loss is NaN or infinite, before anything is written."""

    stage = "training"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for stock in (ProgressCallback, PrinterCallback):
            self.remove_callback(stock)
        self.add_callback(LossLine(self.stage) if self.args.disable_tqdm else LossBar())
        self.add_callback(LogLastStep())

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
