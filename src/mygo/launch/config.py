"""The accelerate config that `launch.accelerate_config` names: what of it decides how processes are started."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mygo.errors import UserError

KEY = "launch.accelerate_config"
# What `accelerate config` writes and one machine without an engine needs no launcher for.
PLAIN = {
    "compute_environment",
    "distributed_type",
    "downcast_bf16",
    "main_training_function",
    "mixed_precision",
    "num_machines",
    "num_processes",
    "rdzv_backend",
    "same_network",
    "use_cpu",
}


@dataclass(frozen=True)
class LaunchConfig:
    """`distributed` says whether several processes may run; `plain` whether they need nothing of accelerate's launcher
    (FSDP, DeepSpeed, several machines and the like do).
    """

    path: str
    distributed: bool
    use_cpu: bool
    machines: int
    plain: bool


def read_launch_config(path: str) -> LaunchConfig:
    """Read an accelerate config. Raises `UserError` if it cannot be read or sets what a stage's parameters decide."""
    raw = _read(path)
    if raw.get("mixed_precision") not in (None, False, "no"):
        raise UserError(
            f"{path}: mixed_precision: got {raw['mixed_precision']!r}; takes 'no', for the number format is a "
            "parameter of each stage (warmup.dtype, collect.dtype, finetune.dtype, eval.dtype)"
        )
    kind = str(raw.get("distributed_type") or "NO")
    machines = raw.get("num_machines") or 1
    nothing = (None, False, "", "all", 0, [], {})
    more = {key for key, value in raw.items() if key not in PLAIN and value not in nothing}
    return LaunchConfig(
        path,
        distributed=kind != "NO",
        use_cpu=bool(raw.get("use_cpu")),
        machines=machines,
        plain=kind in ("NO", "MULTI_GPU", "MULTI_CPU") and machines == 1 and not more,
    )


def _read(path: str) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{KEY}: got {path!r}, which is not there") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{KEY}: {path} is not readable as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict):
        raise UserError(f"{KEY}: {path} is not an accelerate config, which is a mapping of keys to values")
    return raw
