"""A converted model beside its base at any time: every difference, where parity stops at the first."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig

from mygo.conversion.parity import (
    Read,
    base_folder,
    differences,
    logits_difference,
    logits_tolerance,
    readers_of,
    strays_of,
    tensors_in_files,
    tensors_in_memory,
)
from mygo.errors import UserError, listed
from mygo.models.base import load_base, resolve_revision
from mygo.models.checkpoints import TRAINED_FILE, load_checkpoint, selector_folder
from mygo.models.families import classes_of
from mygo.models.families.classes import name_in_memory
from mygo.models.loading import read_selector_config, selector_type

BASE = "BASE"  # how the command calls it
SHOWN = 5  # differences, largest first


@dataclass(frozen=True)
class Survey:
    """`difference_of`: of each tensor that both have. `strays`: tensors that one of the two alone has. `logits`: with
    the gates held open; None where they were not compared.
    """

    kind: str  # `model_type` of the converted model
    dtype: torch.dtype
    difference_of: Mapping[str, float]
    strays: list[str]
    logits: float | None
    tolerance: float

    @property
    def too_far(self) -> list[str]:
        """Tensors whose difference is not within the tolerance, the furthest first."""
        return [name for name, difference in self.largest() if not difference <= self.tolerance]

    def largest(self) -> list[tuple[str, float]]:
        """Differences that are not 0, largest first; NaN before all."""
        found = [(name, difference) for name, difference in self.difference_of.items() if difference != 0]
        return sorted(found, key=lambda pair: (-math.inf if math.isnan(pair[1]) else -pair[1], pair[0]))

    def refusal(self) -> str | None:
        """Why the converted model is not its base and what was added; None if it is."""
        if self.strays:
            return f"{len(self.strays)} tensors are in one of the two models only ({listed(self.strays, 3)})"
        if self.too_far:
            names = ", ".join(self.too_far[:3]) + (", ..." if len(self.too_far) > 3 else "")
            return f"{len(self.too_far)} of {len(self.difference_of)} tensors differ ({names})"
        allowed = logits_tolerance(self.dtype)
        if not self.largest() and self.logits is not None and not self.logits <= allowed:
            return f"all tensors agree, and the logits differ by {self.logits:.3g}; {allowed:.3g} is allowed"
        return None

    def lines(self) -> Iterator[str]:
        """What was compared, and the largest differences."""
        format_of = str(self.dtype).removeprefix("torch.")
        yield f"converted: a model of type {self.kind}, compared in {format_of}"
        yield (
            f"tensors: {len(self.difference_of):,} compared, {len(self.largest()):,} not equal, {len(self.too_far):,} "
            f"beyond the tolerance of {self.tolerance:g}"
        )
        yield from (f"  {name} differs by {difference:.3g}" for name, difference in self.largest()[:SHOWN])
        if self.logits is None:
            yield "logits: not compared"
        else:
            yield f"logits: differ by {self.logits:.3g} at most, with nothing going to trash"


def survey_models(
    base: str, revision: str | None, converted: Path, dtype: str, device: torch.device, tolerance: float
) -> Survey:
    """Both models in memory, on `device`; their logits too, unless their tensors do not fit together."""
    commit, kind, asked = resolve_revision(base, revision, BASE), selector_type(converted), _dtype_of(converted, dtype)
    original, selector = load_base(base, commit, asked, key=BASE), load_checkpoint(converted, asked)
    for model in (original, selector):
        nn.Module.to(model, device)
    before, after = tensors_in_memory(original), tensors_in_memory(selector)
    strays, difference_of = strays_of(before, after), dict(differences(before, after, asked))
    fits = not strays and math.inf not in difference_of.values()
    logits = logits_difference(original, selector) if fits else None
    return Survey(kind, asked, difference_of, strays, logits, tolerance)


def survey_files(base: str, revision: str | None, converted: Path, dtype: str, tolerance: float) -> Survey:
    """Tensor by tensor from the files, without a model in memory."""
    commit, kind, asked = resolve_revision(base, revision, BASE), selector_type(converted), _dtype_of(converted, dtype)
    tied = AutoConfig.from_pretrained(converted).tie_word_embeddings
    before, after = _tensors(base_folder(base, commit), tied), _tensors(converted, tied)
    return Survey(kind, asked, dict(differences(before, after, asked)), strays_of(before, after), None, tolerance)


def _tensors(folder: Path, tied: bool) -> dict[str, Read]:
    """Of a model, or of a checkpoint with the trained tensors alone, over those of the selector that they belong to."""
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder}: holds no weights as .safetensors, the only format that is read")
    if not (folder / TRAINED_FILE).exists():
        return tensors_in_files(folder, tied)
    return _laid_over(tensors_in_files(selector_folder(folder), tied), folder)


def _laid_over(selector: dict[str, Read], folder: Path) -> dict[str, Read]:
    """A selector's tensors with the trained ones in place of their own, which are named as they are in memory: in the
    files of a Mixtral they are called otherwise.
    """
    classes = classes_of(read_selector_config(folder))
    assert classes is not None
    in_file = {name_in_memory(classes.causal_lm, name): name for name in selector}
    return selector | {in_file.get(name, name): read for name, read in readers_of(folder / TRAINED_FILE).items()}


def _dtype_of(converted: Path, asked: str) -> torch.dtype:
    """What `asked` says; `auto`: the number format that the converted model's config names, else float32."""
    if asked != "auto":
        return getattr(torch, asked)
    named = AutoConfig.from_pretrained(converted).dtype
    return named if isinstance(named, torch.dtype) else torch.float32
