"""Number formats in an accelerate config: refused, for they are parameters of the stages."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mygo.errors import UserError, shown

OF_STAGES = (
    "for the number format is a parameter of each stage (warmup.dtype, collect.dtype, finetune.dtype, eval.dtype)"
)
SWITCHES = ("fp16", "bf16", "bfloat16", "amp", "torch_autocast")  # DeepSpeed's sections, each with the key `enabled`
FILE = "deepspeed_config_file"


def check_number_formats(path: str, raw: Mapping[str, Any]) -> None:
    """Raise `UserError` for a number format that is set, at the top, in DeepSpeed's section or in the file that it
    names, and for such a file that cannot be read.
    """
    if raw.get("mixed_precision") not in (None, False, "no"):
        raise UserError(f"{path}: mixed_precision: got {raw['mixed_precision']!r}; takes 'no', {OF_STAGES}")
    if raw.get("fp16"):  # how accelerate was told once
        raise UserError(f"{path}: fp16: got {raw['fp16']!r}; takes false, {OF_STAGES}")
    section = raw.get("deepspeed_config") or {}
    if not isinstance(section, dict):
        raise UserError(f"{path}: deepspeed_config: got {shown(section)}; takes the keys of a section")
    _check_switches(f"{path}: deepspeed_config", section)
    if (named := section.get(FILE)) is not None:
        _check_switches(shown(named), _read(f"{path}: deepspeed_config.{FILE}", str(named)))


def _check_switches(place: str, settings: Mapping[str, Any]) -> None:
    for name in SWITCHES:
        switch = settings.get(name)
        enabled = switch.get("enabled") if isinstance(switch, dict) else switch
        if enabled not in (None, False, "auto"):  # auto: as the stage has it
            raise UserError(f"{place}: {name}.enabled: got {shown(enabled)}; takes false or auto, {OF_STAGES}")


def _read(key: str, named: str) -> dict[str, Any]:
    """DeepSpeed's own config: a file, or its text, as it is or in base64, as accelerate takes it."""
    try:
        is_file = len(named) < 4096 and Path(named).exists()
        settings = json.loads(Path(named).read_text(encoding="utf-8") if is_file else _text(named))
    except (OSError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise UserError(f"{key}: got {shown(named)}, which is not to be read as JSON; takes DeepSpeed's config")
    return settings


def _text(named: str) -> str:
    return named if named.lstrip().startswith("{") else base64.urlsafe_b64decode(named).decode()
