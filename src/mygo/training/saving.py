"""What the warm-up leaves: a checkpoint for every epoch, and their digests."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from mygo.models.checkpoints import checkpoint_digest, save_checkpoint, save_trained_only
from mygo.params import WarmupParams
from mygo.training.trainable import merged_state, trained_names


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
        folder = self.folder / f"epoch_{round(state.epoch or 0)}"
        save_epoch(kwargs["model"], self.tokenizer, folder, self.params, self.dtype)


def save_epoch(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, params: WarmupParams, dtype: torch.dtype
) -> None:
    """A checkpoint as `warmup.save` asks for: complete, or with what has a gradient (and what trash experts record)
    alone.
    """
    tensors = merged_state(model, dtype)
    if params.save == "complete":
        save_checkpoint(model, tensors, tokenizer, folder)
    else:
        trained = set(trained_names(model))
        kept = {name: tensor for name, tensor in tensors.items() if name in trained}
        save_trained_only(model, kept, tokenizer, folder, "../../selector")


def write_digests(folder: Path) -> None:
    """What each checkpoint is, so that `select` can tell statistics of another model."""
    digests = {epoch.name: checkpoint_digest(epoch) for epoch in sorted(folder.glob("epoch_*"))}
    (folder / "digests.json").write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
