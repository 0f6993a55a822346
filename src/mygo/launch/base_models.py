"""Base models that parameters name: folders that are there, or that a stage makes, and what kind of model they hold."""

import json
from pathlib import Path
from typing import Any, Literal

from mygo.errors import UserError, shown
from mygo.params import Params
from mygo.params.choices import MINI_BASE_MODELS, Family
from mygo.params.families import EXPERTS, ROUTED, all_dense, family_of, why_not
from mygo.params.inputs import BASE_FOLDER, MADE, is_folder

WARMED = "data/warmed"  # holds a model for each epoch of the warm-up


def check_base_models(params: Params, root: Path) -> None:
    """Raise `UserError` for a folder without a model, one that no stage makes, and a base of another family. Hub models
    are not looked at.
    """
    for key, model in (
        ("convert.base_model", params.convert.base_model),
        ("collect.base_model", params.collect.base_model),
        ("finetune.base_model", params.finetune.base_model),
    ):
        if model is not None and is_folder(model, root):
            _check_folder(key, model, root, params)
    _check_family(params, root)


def what_grades(params: Params, root: Path) -> Family | Literal["plain"] | None:
    """The family of the selector that grades the pool, or that a plain model does; `None` where that cannot be known
    before it is loaded.
    """
    model = params.collect.base_model
    if model is None:
        return params.convert.family
    if not is_folder(model, root):
        return None
    if _is_made((root / model).resolve(), root):
        return params.convert.family
    config = _config_of(model, root)
    return None if config is None else family_of(config) or "plain"


def has_routers(model: str, root: Path) -> bool | None:
    """Whether a base model is a mixture of experts; `None` where that cannot be known before it is loaded."""
    config = _config_of(model, root) if is_folder(model, root) else None
    if config is None:
        return None
    sparse = config["model_type"] in ROUTED or "moe" in config["model_type"] or any(map(config.get, EXPERTS))
    return sparse and not all_dense(config)


def of_the_mini_world(path: Path, root: Path) -> bool:
    """Whether a model lies where prepare puts the mini world's, there or not."""
    return path.is_relative_to((root / BASE_FOLDER).resolve())


def _check_folder(key: str, model: str, root: Path, params: Params) -> None:
    path = (root / model).resolve()
    if of_the_mini_world(path, root):
        _check_mini_base_model(key, model, path.name, params.prepare.base_models)
    elif _is_made(path, root):
        _check_epoch(key, model, path, root, params.warmup.epochs)
    elif not path.is_dir():
        raise UserError(f"{key}: got {model!r}; takes a folder that is there, or a hub id (owner/name)")
    elif not (path / "config.json").is_file():
        raise UserError(f"{key}: got {model!r}, a folder without config.json; takes a folder with a model, or a hub id")


def _check_mini_base_model(key: str, model: str, name: str, made: bool) -> None:
    if name not in MINI_BASE_MODELS:
        made_ones = " and ".join(f"{BASE_FOLDER}/{known}" for known in MINI_BASE_MODELS)
        raise UserError(f"{key}: got {model!r}; prepare makes {made_ones}")
    if not made:
        raise UserError(f"{key}: got {model!r}, which prepare makes only with prepare.base_models=true")


def _check_epoch(key: str, model: str, path: Path, root: Path, epochs: int) -> None:
    """Of the models below data/warmed, whether the warm-up will have made this one."""
    warmed = (root / WARMED).resolve()
    if path.is_relative_to(warmed) and path not in [warmed / f"epoch_{number + 1}" for number in range(epochs)]:
        holds = "epoch_1" if epochs == 1 else f"epoch_1 to epoch_{epochs}"
        raise UserError(f"{key}: got {model!r}; with warmup.epochs={epochs}, {WARMED} holds {holds}")


def _check_family(params: Params, root: Path) -> None:
    family, model = params.convert.family, params.convert.base_model
    if not is_folder(model, root) or _is_made((root / model).resolve(), root):
        return
    config = _config_of(model, root)
    if config is not None and (reason := why_not(family, config)) is not None:
        raise UserError(f"convert.base_model: got {shown(model)}, {reason}")


def _config_of(model: str, root: Path) -> dict[str, Any] | None:
    """The raw config of a folder's model; `None` where there is none that names a `model_type`."""
    path = (root / model).resolve()
    if of_the_mini_world(path, root):
        return {"model_type": path.name}
    try:
        config: Any = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) and isinstance(config.get("model_type"), str) else None


def _is_made(path: Path, root: Path) -> bool:
    return any(path.is_relative_to((root / made).resolve()) for made in MADE)
