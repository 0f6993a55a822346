"""Is a selector its base plus gates or trash rows? Tensors are compared in memory or straight from the files; with the
gates held open, logits too.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from mygo.errors import UserError
from mygo.models.gate import QualityGate
from mygo.models.loading import GATE_PARTS
from mygo.models.routers import TrashRouter

OPEN = 40.0  # sigmoid(40) is 1 in float32
LOGITS_TOLERANCE = 1e-5  # in float32: the same operations in the same order
LOGITS_TOLERANCE_HALF = 1e-2  # in bfloat16 and float16

Read = Callable[[], Tensor]


@dataclass(frozen=True)
class Parity:
    """What a comparison found; `logits_max_abs_difference` is None where logits were not compared."""

    tensors: int
    max_abs_difference: float
    logits_max_abs_difference: float | None = None


def compare_models(base: PreTrainedModel, selector: PreTrainedModel, tolerance: float) -> Parity:
    """Compare every tensor, then the logits. Raises `UserError` naming the first tensor that is missing, unexpected or
    too different.
    """
    found = _compare(tensors_in_memory(base), tensors_in_memory(selector), selector.dtype, tolerance)
    difference = logits_difference(base, selector)
    allowed = logits_tolerance(selector.dtype)
    if (
        found.max_abs_difference == 0 and not difference <= allowed
    ):  # tensors that may differ let the logits differ by more
        raise _failure(f"with the gates held open the logits differ by {difference:.3g}; {allowed:.3g} is allowed")
    return Parity(found.tensors, found.max_abs_difference, difference)


def logits_tolerance(dtype: torch.dtype) -> float:
    """How far logits may be apart where all tensors are equal."""
    return LOGITS_TOLERANCE if dtype == torch.float32 else LOGITS_TOLERANCE_HALF


def compare_files(base: Path, selector: Path, dtype: torch.dtype, tied: bool, tolerance: float) -> Parity:
    """`compare_models` without the logits, reading one tensor of each at a time. `tied`: the output layer is the
    embedding, and need not be stored.
    """
    return _compare(tensors_in_files(base, tied), tensors_in_files(selector, tied), dtype, tolerance)


def tensors_in_files(folder: Path, tied: bool) -> dict[str, Read]:
    """A reader for each tensor of a checkpoint's files; of a tied model without the output layer."""
    return {name: read for name, read in _file_readers(folder).items() if not (tied and name == "lm_head.weight")}


def tensors_in_memory(model: nn.Module) -> dict[str, Read]:
    return {name: partial(_itself, tensor) for name, tensor in model.state_dict().items()}


def logits_difference(base: PreTrainedModel, selector: PreTrainedModel) -> float:
    """Largest difference of the two models' logits on a fixed random batch, the selector's gates held open."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, base.config.vocab_size, (2, 16), generator=generator).to(base.device)
    with torch.no_grad(), gates_held_open(selector):
        return _difference(base.eval()(ids).logits, selector.eval()(ids).logits)


@contextmanager
def gates_held_open(model: nn.Module) -> Iterator[None]:
    """Within this context every good_ratio is 1, and no token chooses a trash-can expert."""
    shut = {QualityGate: OPEN, TrashRouter: -torch.inf}
    hooks = [
        module.register_forward_hook(partial(_says, shut[kind]))
        for module in model.modules()
        for kind in shut
        if isinstance(module, kind)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _says(value: float, _module: nn.Module, _args: object, out: Tensor) -> Tensor:
    return torch.full_like(out, value)


def base_folder(base: str, revision: str | None) -> Path:
    """Where the files of a base lie; those of a hub model are in the cache once it has been loaded."""
    if Path(base).is_dir():
        return Path(base)
    return Path(
        snapshot_download(
            base, revision=revision, allow_patterns=["model*.safetensors", "model.safetensors.index.json"]
        )
    )


def _compare(base: Mapping[str, Read], selector: Mapping[str, Read], dtype: torch.dtype, tolerance: float) -> Parity:
    """Raise `UserError` at the first difference."""
    if strays := strays_of(base, selector):
        raise _failure(f"{strays[0]} is in one of the two models only ({len(strays)} such tensors)")
    largest = 0.0
    for name, difference in differences(base, selector, dtype):
        if not difference <= tolerance:  # NaN fails too
            raise _failure(f"{name} differs by {difference:.3g}; convert.tolerance allows {tolerance:.3g}")
        largest = max(largest, difference)
    return Parity(len(base), largest)


def strays_of(base: Mapping[str, Read], selector: Mapping[str, Read]) -> list[str]:
    """Tensors that one of the two models alone has, but for what a selector has beyond its base."""
    return sorted({name for name in selector if not any(part in name for part in GATE_PARTS)} ^ set(base))


def differences(
    base: Mapping[str, Read], selector: Mapping[str, Read], dtype: torch.dtype
) -> Iterator[tuple[str, float]]:
    """The largest difference of each tensor that both models have, by name.

    Both sides in the selector's `dtype`, so that a number format that was asked for is not a difference. A difference
    of shapes is infinite.
    """
    for name in tqdm(sorted(base.keys() & selector.keys()), desc="parity", unit=" tensors", disable=None):
        yield name, _difference(base[name]().to(dtype), selector[name]().to(dtype))


def _difference(a: Tensor, b: Tensor) -> float:
    return (a.float() - b.float()).abs().max().item() if a.shape == b.shape else float("inf")


def _failure(what: str) -> UserError:
    return UserError(f"convert: the selector is not its base plus what its family adds: {what}")


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def _file_readers(folder: Path) -> dict[str, Read]:
    """A reader for each tensor of a checkpoint. Fused experts are split, so that files with one tensor per expert have
    the same names.
    """
    index = folder / "model.safetensors.index.json"
    names = (
        sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.is_file() else ["model.safetensors"]
    )
    readers: dict[str, Read] = {}
    for name in names:
        readers |= readers_of(folder / name)
    return readers


def readers_of(path: Path) -> dict[str, Read]:
    """A reader for each tensor of one file."""
    readers: dict[str, Read] = {}
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (the file is no dict)
            readers |= _tensor_readers(path, name, file.get_slice(name).get_shape())
    return readers


def _tensor_readers(path: Path, name: str, shape: list[int]) -> dict[str, Read]:
    """gate_up_proj [E, 2I, D] holds gate_proj above up_proj, each [E, I, D]; down_proj is [E, D, I]."""
    prefix, _, fused = name.rpartition(".")
    if not prefix.endswith(".experts") or fused not in ("gate_up_proj", "down_proj"):
        return {name: partial(_read, path, name, ...)}
    parts = {"down_proj": slice(None)}
    if fused == "gate_up_proj":
        parts = {"gate_proj": slice(0, shape[1] // 2), "up_proj": slice(shape[1] // 2, None)}
    return {
        f"{prefix}.{expert}.{part}.weight": partial(_read, path, name, (expert, rows))
        for expert in range(shape[0])
        for part, rows in parts.items()
    }


def _read(path: Path, name: str, where: object) -> Tensor:
    with safe_open(path, framework="pt") as file:
        return file.get_tensor(name) if where is ... else file.get_slice(name)[where]
