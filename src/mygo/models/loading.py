"""Selectors: made from a base, or loaded as convert and warm-up wrote them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.utils import logging

from mygo.errors import UserError
from mygo.models.base import BASE_KEY, load_with, read_config
from mygo.models.causal_lm import GatedCausalLM
from mygo.models.families import FAMILIES
from mygo.models.trash import renew_trash_experts

GATE_PARTS = (".quality_gate.", ".trash_expert.")  # what a selector has beyond its base


def check_family(family: str, base: str, revision: str | None = None) -> dict[str, Any]:
    """The raw config of a base, before anything else is read. Raises `UserError` if `family` is not made from such a
    model.
    """
    config = read_config(base, revision)
    if config["model_type"] != FAMILIES[family].base_type:
        takes = ", ".join(f"{other.takes} for {name}" for name, other in FAMILIES.items())
        raise UserError(f"{BASE_KEY}: got a model of type {config['model_type']}; takes {takes}")
    return config


def from_base(
    family: str, base: str, revision: str | None = None, dtype: str = "auto", seed: int = 0, **settings: Any
) -> GatedCausalLM:
    """A selector with the base's weights, and gates drawn from `seed`. `settings` are keys of `GatedConfig`.

    Raises `UserError` if the base is of another family, or its tensors are not all there, or some are left over.
    """
    inherited = {
        key: value
        for key, value in check_family(family, base, revision).items()
        if key not in ("model_type", "architectures", "auto_map")
    }
    config = FAMILIES[family].config.from_dict(inherited | settings)
    with torch.random.fork_rng(devices=[]), _only_errors():  # the library would warn that the gates are not in the base
        torch.manual_seed(seed)
        model, info = load_with(
            FAMILIES[family].causal_lm, base, revision, dtype, BASE_KEY, config=config, output_loading_info=True
        )
        renew_trash_experts(model, config, model.dtype)  # after the gates, whose draws are the same for every mode
    missing = {key for key in info["missing_keys"] if not any(part in key for part in GATE_PARTS)}
    if missing or info["unexpected_keys"]:
        raise UserError(
            f"{BASE_KEY}: {base} is not a complete {FAMILIES[family].base_type} causal language model: "
            f"it lacks {sorted(missing)[:3]} and has the unknown {sorted(info['unexpected_keys'])[:3]}"
        )
    return model


def load_selector(path: str | Path, dtype: str | torch.dtype = "auto", **kwargs: Any) -> Any:
    """A selector that convert or warm-up wrote. Raises `UserError` if there is none at `path`."""
    selector_type(path)
    return load_with(AutoModelForCausalLM, str(path), None, dtype, str(path), **kwargs)


def selector_type(path: str | Path) -> str:
    """The `model_type` of the selector at `path`. Raises `UserError` if there is none."""
    if not (Path(path) / "config.json").is_file():
        raise UserError(f"{path}: no selector is here; run the convert and warmup stages first")
    model_type = PreTrainedConfig.get_config_dict(path)[0].get("model_type")
    if model_type not in {family.config.model_type for family in FAMILIES.values()}:
        raise UserError(
            f"{path}: got a model of type {model_type}, which has no quality gates; takes a selector that the "
            "convert or warmup stage wrote"
        )
    return model_type


@contextmanager
def _only_errors() -> Iterator[None]:
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
