"""Checkpoints of a selector in warm-up: a folder per epoch, complete or with the trained tensors alone."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mygo.errors import UserError
from mygo.models.loading import load_selector
from mygo.workdir import hash_folder

TRAINED_FILE = "trained.safetensors"
BASE_FILE = "selector.json"  # beside TRAINED_FILE: where the rest of the tensors lies, relative to the checkpoint


def checkpoint_folder(warmed: Path, which: int | Literal["last"]) -> Path:
    """`warmed/epoch_N`. Raises `UserError` naming the epochs there are."""
    epochs = sorted(int(folder.name.removeprefix("epoch_")) for folder in warmed.glob("epoch_*"))
    if not epochs:
        raise UserError(f"{warmed}: holds no epoch_N folder; run the warmup stage first")
    epoch = epochs[-1] if which == "last" else which
    if epoch not in epochs:
        raise UserError(f"collect.checkpoint: got {which}; {warmed} holds epochs {', '.join(map(str, epochs))}")
    return warmed / f"epoch_{epoch}"


def checkpoint_digest(folder: Path) -> str:
    """Digest of everything that decides what the checkpoint computes, the tensors it leaves in the selector's folder
    included.
    """
    own = hash_folder(folder, ignore=("README.md",))
    return own if not (folder / BASE_FILE).exists() else f"{own}:{hash_folder(selector_folder(folder))}"


def save_checkpoint(
    model: PreTrainedModel, state: dict[str, torch.Tensor], tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    """A complete checkpoint that `AutoModelForCausalLM.from_pretrained` reads."""
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)


def save_trained_only(
    model: PreTrainedModel,
    state: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    selector: str,
) -> None:
    """The tensors in `state` alone, with the config and the tokenizer; the rest stays in `selector` (a path relative to
    `folder`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in sorted(state.items())},
        folder / TRAINED_FILE,
        metadata={"format": "pt"},
    )
    (folder / BASE_FILE).write_text(json.dumps({"selector": selector}) + "\n")
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_checkpoint(folder: Path, dtype: torch.dtype, **kwargs: Any) -> PreTrainedModel:
    """The selector of an epoch. `kwargs` go to `from_pretrained`. Raises `UserError` if its tensors are not those of
    the model.
    """
    overlay = (folder / TRAINED_FILE).exists()
    model, info = load_selector(
        selector_folder(folder) if overlay else folder, dtype, output_loading_info=True, **kwargs
    )
    strangers = sorted({*info["missing_keys"], *info["unexpected_keys"]})
    if strangers:
        raise UserError(
            f"{folder}: not a checkpoint of {type(model).__name__}, in which {strangers[0]} is missing or unknown"
        )
    if overlay:
        unknown = model.load_state_dict(load_file(folder / TRAINED_FILE), strict=False).unexpected_keys
        if unknown:
            raise UserError(f"{folder / TRAINED_FILE}: holds {unknown[0]}, which {type(model).__name__} does not have")
    return model


def selector_folder(folder: Path) -> Path:
    """Where the tensors lie that a checkpoint with the trained ones alone leaves out."""
    return (folder / json.loads((folder / BASE_FILE).read_text())["selector"]).resolve()
