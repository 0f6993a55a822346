"""The LoRA adapter that the stage finetune wrote, put on its base."""

import json
import warnings
from pathlib import Path
from typing import cast

from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import PreTrainedModel

from mygo.errors import UserError

WEIGHTS = "adapter_model.safetensors"


def check_adapter(adapter: Path) -> None:
    """Raises `UserError` if the folder holds no PEFT adapter in safetensors."""
    for name in ("adapter_config.json", WEIGHTS):
        if not (adapter / name).is_file():
            raise UserError(
                f"{adapter}: there is no {name}; takes a PEFT adapter in safetensors, such as the stage finetune writes"
            )


def check_commit(adapter: Path, commit: str | None) -> None:
    """Raises `UserError` if the adapter was trained on another commit of its base than `commit`, where both are
    known.
    """
    trained = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")).get("revision")
    if trained and commit and trained != commit:
        raise UserError(
            f"{adapter}: was trained on commit {trained} of finetune.base_model, eval would use {commit}; run the "
            f"stage finetune again, or set finetune.revision={trained}"
        )


def attach_adapter(model: PreTrainedModel, adapter: Path, merge: bool) -> PreTrainedModel:
    """Put the LoRA adapter on the model (in place), or add it into the weights if `merge`. Raises `UserError` if it is
    one of another base.
    """
    try:
        with warnings.catch_warnings():  # PEFT 0.21 asks for a name that transformers 5 is about to drop
            warnings.filterwarnings("ignore", r"`is_gradient_checkpointing` is deprecated", FutureWarning)
            adapted = PeftModel.from_pretrained(model, str(adapter))
    except (RuntimeError, ValueError) as error:
        raise _does_not_fit(
            model, adapter, next(line.strip() for line in reversed(str(error).splitlines()) if line.strip())
        ) from None
    with safe_open(adapter / WEIGHTS, framework="pt") as file:
        stored = {key for key in file.keys() if "lora_" in key}  # noqa: SIM118 (not a dict)
    wanted = {key for key in get_peft_model_state_dict(adapted, save_embedding_layers=False) if "lora_" in key}
    if stored != wanted:  # PEFT only warns
        raise _does_not_fit(model, adapter, f"tensors such as {min(stored ^ wanted)} are in one of the two only")
    return cast(PreTrainedModel, adapted.merge_and_unload() if merge else adapted)


def _does_not_fit(model: PreTrainedModel, adapter: Path, reason: str) -> UserError:
    return UserError(
        f"{adapter}: the adapter does not fit finetune.base_model {model.name_or_path!r}; takes one that was "
        f"trained on this base ({reason})"
    )
