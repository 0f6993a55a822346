"""The accelerate config that `launch.accelerate_config` names: what of it decides how processes are started."""

import difflib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from mygo.errors import UserError, shown
from mygo.launch.number_formats import check_number_formats

KEY = "launch.accelerate_config"
# What accelerate takes; a test holds it and KEYS against it, for importing it takes seconds.
TYPES = (
    "NO",
    "MULTI_CPU",
    "MULTI_GPU",
    "MULTI_HPU",
    "MULTI_MLU",
    "MULTI_MUSA",
    "MULTI_NEURON",
    "MULTI_NPU",
    "MULTI_SDAA",
    "MULTI_XPU",
    "DEEPSPEED",
    "FSDP",
    "MEGATRON_LM",
    "XLA",
)
PACKAGES = {"DEEPSPEED": "deepspeed", "MEGATRON_LM": "megatron", "XLA": "torch_xla"}
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
KEYS = PLAIN | {
    "command_file",
    "commands",
    "debug",
    "deepspeed_config",
    "dynamo_backend",
    "dynamo_config",
    "enable_cpu_affinity",
    "fp16",
    "fp8_config",
    "fsdp_config",
    "gpu_ids",
    "machine_rank",
    "main_process_ip",
    "main_process_port",
    "megatron_lm_config",
    "mpirun_config",
    "parallelism_config",
    "tpu_env",
    "tpu_name",
    "tpu_use_cluster",
    "tpu_use_sudo",
    "tpu_vm",
    "tpu_zone",
}  # what accelerate takes


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
    """Read an accelerate config. Raises `UserError` if it cannot be read, holds what accelerate does not take, needs a
    package that is not installed, or sets what a stage's parameters decide.
    """
    raw = _read(path)
    check_number_formats(path, raw)
    _check_keys(path, raw)
    kind, machines = _kind(path, raw), _machines(path, raw)
    nothing = (None, False, "", "all", 0, [], {})
    more = {key for key, value in raw.items() if key not in PLAIN and value not in nothing}
    return LaunchConfig(
        path,
        distributed=kind != "NO",
        use_cpu=bool(raw.get("use_cpu")),
        machines=machines,
        plain=kind in ("NO", "MULTI_GPU", "MULTI_CPU") and machines == 1 and not more,
    )


def _check_keys(path: str, raw: dict[Any, Any]) -> None:
    for key in raw:
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UserError(f"{path}: {shown(key)}: unknown key; {hint}accelerate takes {', '.join(sorted(KEYS))}")
    if raw.get("compute_environment") not in (None, "LOCAL_MACHINE"):
        got = shown(raw["compute_environment"])
        raise UserError(f"{path}: compute_environment: got {got}; takes LOCAL_MACHINE")


def _kind(path: str, raw: dict[str, Any]) -> str:
    kind = str(raw.get("distributed_type") or "NO")  # YAML reads NO as false
    if kind not in TYPES:
        raise UserError(f"{path}: distributed_type: got {shown(kind)}; takes {', '.join(TYPES)}")
    package = PACKAGES.get(kind)
    if package is not None and find_spec(package) is None:
        raise UserError(f"{path}: distributed_type: got {kind}, which needs the package {package}; it is not installed")
    return kind


def _machines(path: str, raw: dict[str, Any]) -> int:
    machines = raw.get("num_machines")
    if machines is None:
        return 1
    if not isinstance(machines, int) or isinstance(machines, bool) or machines < 1:
        raise UserError(f"{path}: num_machines: got {shown(machines)}; takes a number of 1 or more")
    return machines


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
