"""Warm-up: the gates of a converted selector learn to grade, everything else stays as it is.

L layers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import set_seed
from peft import inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from mygo.data.pool import count_rows, iter_batches
from mygo.errors import UserError
from mygo.models.checkpoints import checkpoint_digest, load_checkpoint, save_checkpoint, save_trained_only
from mygo.models.gate import freeze_all_but, routing_parameters
from mygo.params import WarmupParams
from mygo.runtime import Runtime
from mygo.training.dataset import BATCH, ConversationDataset, PadCollator, encoder_for, pad_token_id
from mygo.training.lora import lora_config
from mygo.training.trainer import FiniteLossTrainer, LiveCallback, StartMessage, output_folder, training_arguments

LORA_MARK = "lora_"


@dataclass(frozen=True)
class WarmupReport:
    """The metrics, and the mean good_ratio of every layer at every logged step as rows of a plot."""

    metrics: dict[str, Any]
    good_ratio: list[dict[str, float]]


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


class SaveEveryEpoch(TrainerCallback):
    """A checkpoint in `epoch_N` at the end of every epoch."""

    def __init__(
        self, folder: Path, tokenizer: PreTrainedTokenizerBase, params: WarmupParams, dtype: torch.dtype
    ) -> None:
        self.folder, self.tokenizer, self.params, self.dtype = folder, tokenizer, params, dtype

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        model: PreTrainedModel = kwargs["model"]
        folder = self.folder / f"epoch_{round(state.epoch or 0)}"
        tensors = merged_state(model, self.dtype)
        if self.params.save == "complete":
            save_checkpoint(model, tensors, self.tokenizer, folder)
        else:
            trained = set(trained_names(model))
            save_trained_only(
                model,
                {name: x for name, x in tensors.items() if name in trained},
                self.tokenizer,
                folder,
                "../../selector",
            )


def warm_up(
    params: WarmupParams, runtime: Runtime, seed: int, selector: Path, pool: Path, out: Path, plots: Path
) -> WarmupReport:
    """Train the gates of `selector` on `pool`; writes `out/epoch_N` and `out/digests.json`."""
    set_seed(seed)  # LoRA's matrices are drawn before the Trainer seeds
    dtype = runtime.resolve(params.dtype)
    model = load_checkpoint(selector, dtype)  # first: it says what is wrong if there is none
    tokenizer = AutoTokenizer.from_pretrained(selector)
    dataset = _dataset(params, tokenizer, pool)
    _configure_losses(model, params)
    make_trainable(model, params)
    with output_folder(out, runtime) as folder:
        trainer = WarmupTrainer(
            model=model,
            args=training_arguments(params, runtime, seed, len(dataset), "warmup"),
            train_dataset=dataset,
            data_collator=PadCollator(pad_token_id(tokenizer)),
            callbacks=[StartMessage("warmup"), SaveEveryEpoch(folder, tokenizer, params, dtype), LiveCallback(plots)],
        )
        trainer.train()
        if runtime.is_main:
            _write_digests(folder)
    return WarmupReport(_metrics(trainer, dataset, model), _good_ratio_rows(trainer))


def _dataset(params: WarmupParams, tokenizer: PreTrainedTokenizerBase, pool: Path) -> ConversationDataset:
    batches = (batch["messages"].to_pylist() for batch in iter_batches(pool, ["messages"], BATCH))
    return ConversationDataset(batches, encoder_for(params, tokenizer), count_rows(pool), "warmup")


def _configure_losses(model: PreTrainedModel, params: WarmupParams) -> None:
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


def make_trainable(model: PreTrainedModel, params: WarmupParams) -> None:
    """Freeze all but the routing tensors (`full_rank`), or but LoRA and the gates (`lora`).

    What is trained is held in float32: bfloat16 has too few digits for steps of 1e-4 on weights of 1e-2.
    """
    if params.trainable == "lora":
        inject_adapter_in_model(lora_config(params.lora, model, "warmup"), model)
        trained = [name for name, _ in model.named_parameters() if LORA_MARK in name or "quality_gate" in name]
    else:
        trained = routing_parameters(model)
    freeze_all_but(model, trained)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def trained_names(model: PreTrainedModel) -> list[str]:
    """Names, in a checkpoint, of the tensors that training changed."""
    adapted = [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, LoraLayer)]
    return adapted + [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and LORA_MARK not in name
    ]


def merged_state(model: PreTrainedModel, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint under the selector's own names, LoRA added into the weights; the model is left as it
    is.
    """
    adapted = {
        f"{name}.base_layer.weight": module for name, module in model.named_modules() if isinstance(module, LoraLayer)
    }
    state: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        if LORA_MARK in name:
            continue
        if name in adapted:
            tensor = tensor.float() + cast(Any, adapted[name]).get_delta_weight("default").float()
        state[name.replace(".base_layer.", ".")] = tensor.to(dtype)
    return state


def _write_digests(folder: Path) -> None:
    """What each checkpoint is, so that `select` can tell statistics of another model."""
    digests = {epoch.name: checkpoint_digest(epoch) for epoch in sorted(folder.glob("epoch_*"))}
    (folder / "digests.json").write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")


def _good_ratio_rows(trainer: WarmupTrainer) -> list[dict[str, float]]:
    return [
        {"step": entry["step"], "layer": int(name.rsplit("_", 1)[-1]), "good_ratio": value}
        for entry in trainer.state.log_history
        for name, value in entry.items()
        if name.startswith("good_ratio/")
    ]


def _metrics(trainer: WarmupTrainer, dataset: ConversationDataset, model: PreTrainedModel) -> dict[str, Any]:
    """The last logged values of the loss parts and of every layer's mean good_ratio, and what was trained on."""
    last: dict[str, float] = {}
    for entry in trainer.state.log_history:
        last |= {
            name: value
            for name, value in entry.items()
            if (name.endswith("loss") and name != "train_loss") or name.startswith("good_ratio/")
        }
    ratios = {name.removeprefix("good_ratio/"): value for name, value in last.items() if name.startswith("good_ratio/")}
    losses = {name: value for name, value in last.items() if not name.startswith("good_ratio/")}
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {
        **losses,
        "good_ratio": ratios,
        "samples": len(dataset),
        "left_out": dataset.left_out,
        "tokens": dataset.tokens,
        "steps": trainer.state.global_step,
        "trained_parameters": trained,
    }
