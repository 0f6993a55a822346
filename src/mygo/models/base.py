"""Load plain base models: safetensors only, no remote code, one sentence for what a user can mend."""

import os
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from mygo.errors import UserError

os.environ.setdefault(
    "DISABLE_SAFETENSORS_CONVERSION", "1"
)  # else the library asks a hub service to convert pickled weights

BASE_KEY = "convert.base_model"


def read_config(base: str, revision: str | None, key: str = BASE_KEY) -> dict[str, Any]:
    """The raw config of a folder or hub model. Raises `UserError` if there is none, or it does not say of what type the
    model is.
    """
    _check_name(base, key)
    try:
        config, _ = PreTrainedConfig.get_config_dict(base, revision=revision)
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise _not_to_be_had(base, revision, key, error) from None
    if "model_type" not in config:
        raise UserError(
            f"{key}: got {base}, whose config.json names no model_type; takes a folder with a model, or a hub id"
        )
    return config


def resolve_revision(base: str, revision: str | None, key: str = BASE_KEY) -> str | None:
    """The commit (40 hex digits) that a revision of a hub model stands for now; None of a folder.

    Without a network it is the commit that the cache holds under that name, which is what would be loaded. Raises
    `UserError` if there is none.
    """
    _check_name(base, key)
    if Path(base).is_dir():
        return None
    try:
        config = hf_hub_download(base, "config.json", revision=revision or "main")
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise _not_to_be_had(base, revision, key, error) from None
    return Path(config).parent.name  # .../snapshots/<commit>/config.json


def load_base(
    base: str, revision: str | None = None, dtype: str | torch.dtype = "auto", key: str = BASE_KEY
) -> PreTrainedModel:
    """Any causal language model. `key` is the parameter that names it, for the error."""
    read_config(base, revision, key)
    return load_with(AutoModelForCausalLM, base, revision, dtype, key)


def load_tokenizer(base: str, revision: str | None = None, key: str = BASE_KEY) -> PreTrainedTokenizerBase:
    """The tokenizer beside a model. `key` is the parameter that names it, for the error."""
    refusal = UserError(f"{key}: {base} has no tokenizer that can be loaded; takes a model with its tokenizer files")
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, revision=revision or "main", trust_remote_code=False)
    except (OSError, ValueError):
        raise refusal from None
    if not tokenizer(
        "a", add_special_tokens=False
    ).input_ids:  # where there are no files, the library makes an empty tokenizer
        raise refusal
    return tokenizer


def load_with(cls: Any, base: str, revision: str | None, dtype: str | torch.dtype, key: str, **kwargs: Any) -> Any:
    if Path(base).is_dir() and not list(Path(base).glob("*.safetensors")):
        raise UserError(
            f"{key}: {base} holds no weights as .safetensors, the only format that is read (pickled .bin or .pt "
            "files can run code)"
        )
    try:
        return cls.from_pretrained(
            base, revision=revision or "main", dtype=dtype, use_safetensors=True, trust_remote_code=False, **kwargs
        )
    except (OSError, ValueError, SafetensorError, HfHubHTTPError) as error:
        raise UserError(f"{key}: {base} cannot be loaded ({_first_line(error)})") from None


def _check_name(base: str, key: str) -> None:
    """Raise `UserError` for a folder without a model, and for a path that is not there and cannot be a hub id."""
    if Path(base).is_dir():
        if not (Path(base) / "config.json").is_file():
            raise UserError(
                f"{key}: got {base}, a folder without config.json; takes a folder with a model, or a hub id"
            )
    elif Path(base).is_absolute() or base.startswith((".", "~")) or base.count("/") > 1:
        raise UserError(f"{key}: got {base}, which does not exist; takes a folder with a model, or a hub id")


def _not_to_be_had(base: str, revision: str | None, key: str, error: Exception) -> UserError:
    reason = f"no folder here, and not to be had from the hub at revision {revision or 'main'}: {_first_line(error)}"
    return UserError(f"{key}: got {base} ({reason}); takes a folder with a model, or a hub id")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
