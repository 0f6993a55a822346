"""What an objective of the warm-up is given, and what it reports."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mygo.params import WarmupParams
from mygo.runtime import Runtime
from mygo.training.dataset import ConversationDataset


@dataclass(frozen=True)
class Task:
    """A loaded selector and what it may learn from: `dataset`, encoded, is what `pool` holds.

    The main process leaves a checkpoint for each epoch in `folder` (`mygo.training.saving.save_epoch`), and curves for
    DVC in `curves`; both are empty folders that appear if the objective succeeds.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    dataset: ConversationDataset
    params: WarmupParams
    runtime: Runtime
    seed: int
    pool: Path
    folder: Path
    curves: Path


@dataclass(frozen=True)
class Outcome:
    """Metrics, whichever an objective has, and the mean good_ratio of layers as rows of a plot: step, layer,
    good_ratio. There are none of a model without gates.
    """

    metrics: dict[str, Any]
    good_ratio: list[dict[str, float]]


Objective = Callable[[Task], Outcome]
