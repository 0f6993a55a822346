"""Whether the trash expert that `convert.trash_expert_mode` asks for can be made of the base model."""

import json
from pathlib import Path
from typing import Any

from mygo.errors import UserError
from mygo.launch.base_models import of_the_mini_world
from mygo.launch.named import check_named
from mygo.params import ConvertParams
from mygo.params.inputs import is_folder

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")  # how configs of transformers call their number


def check_trash_expert(params: ConvertParams, root: Path) -> None:
    """Raise `UserError` for a custom module that is not there, and for the mean of experts of a dense base. Hub models
    are not looked at.
    """
    if params.trash_expert_mode == "custom":
        check_named("convert.trash_expert_module", params.trash_expert_module, root)
    if params.trash_expert_mode == "expert_mean" and _has_experts(params.base_model, root) is False:
        raise UserError(
            f"convert.trash_expert_mode: got expert_mean, but convert.base_model={params.base_model} is dense: it has "
            "no experts to take the mean of; takes zero, noise, batch_noise, low_rank or custom"
        )


def _has_experts(model: str, root: Path) -> bool | None:
    """`None` where it cannot be known before the model is loaded."""
    if not is_folder(model, root):
        return None
    path = (root / model).resolve()
    if of_the_mini_world(path, root):
        return path.name == "olmoe"
    try:
        config: Any = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return any(name in config for name in EXPERTS) if isinstance(config, dict) else None
