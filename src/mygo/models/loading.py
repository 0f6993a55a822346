"""Selectors: made from a base, or loaded as convert and warm-up wrote them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig
from transformers.utils import logging

from mygo.errors import UserError
from mygo.models.base import BASE_KEY, load_with, read_config
from mygo.models.families import FAMILIES, classes_of, why_not_made
from mygo.models.families.classes import Classes
from mygo.models.trash import renew_trash_experts
from mygo.params.choices import Family
from mygo.params.families import MARK

GATE_PARTS = (".quality_gate.", ".trash_expert.", ".trash_router.")  # what a selector has beyond its base


def check_family(family: Family, base: str, revision: str | None = None) -> dict[str, Any]:
    """The raw config of a base, before anything else is read. Raises `UserError` if `family` is not made from such a
    model.
    """
    config = read_config(base, revision)
    if (reason := why_not_made(family, config)) is not None:
        raise UserError(f"{BASE_KEY}: got {reason}")
    return config


def from_base(
    family: Family, base: str, revision: str | None = None, dtype: str = "auto", seed: int = 0, **settings: Any
) -> Any:
    """A selector with the base's weights, and gates or trash rows drawn from `seed`. `settings` are keys of its config;
    a family leaves out those that it has no use for.

    Raises `UserError` if the base does not fit, or its tensors are not all there, or some are left over.
    """
    raw = check_family(family, base, revision)
    classes = FAMILIES[family].classes(raw["model_type"])
    config = _config(family, classes, raw, settings)
    with torch.random.fork_rng(devices=[]), _only_errors():  # the library would warn that the gates are not in the base
        torch.manual_seed(seed)
        model, info = load_with(
            classes.causal_lm, base, revision, dtype, BASE_KEY, config=config, output_loading_info=True
        )
        renew_trash_experts(model, config, model.dtype)  # after the gates, whose draws are the same for every mode
    missing = {key for key in info["missing_keys"] if not any(part in key for part in GATE_PARTS)}
    if missing or info["unexpected_keys"]:
        raise UserError(
            f"{BASE_KEY}: {base} is not a complete {raw['model_type']} causal language model: "
            f"it lacks {sorted(missing)[:3]} and has the unknown {sorted(info['unexpected_keys'])[:3]}"
        )
    return model


def _config(family: Family, classes: Classes, raw: dict[str, Any], settings: dict[str, Any]) -> Any:
    inherited = {key: value for key, value in raw.items() if key not in ("model_type", "architectures", "auto_map")}
    if family == "stock_moe":
        return classes.config.from_dict(inherited | {MARK: family, "enable_load_balancing": False})
    known = {key: value for key, value in settings.items() if hasattr(classes.config, key)}
    return classes.config.from_dict(inherited | known)


def load_selector(path: str | Path, dtype: str | torch.dtype = "auto", **kwargs: Any) -> Any:
    """A selector that convert or warm-up wrote. Raises `UserError` if there is none at `path`."""
    classes = classes_of(read_selector_config(path))
    assert classes is not None
    return load_with(classes.causal_lm, str(path), None, dtype, str(path), **kwargs)


def selector_type(path: str | Path) -> str:
    """The `model_type` of the selector at `path`. Raises `UserError` if there is none."""
    return read_selector_config(path)["model_type"]


def read_selector_config(path: str | Path) -> dict[str, Any]:
    """The raw config of the selector at `path`. Raises `UserError` if there is none."""
    if not (Path(path) / "config.json").is_file():
        raise UserError(f"{path}: no selector is here; run the convert and warmup stages first")
    config = PreTrainedConfig.get_config_dict(path)[0]
    if classes_of(config) is None:
        raise UserError(
            f"{path}: got a model of type {config.get('model_type')}, which is no selector; takes one that the "
            "convert or warmup stage wrote"
        )
    return config


@contextmanager
def _only_errors() -> Iterator[None]:
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
