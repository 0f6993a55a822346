"""Pools and statistics made by hand, and what the tests of this folder share."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mygo.params import SelectParams
from mygo.params.choices import ScoreName
from mygo.selection.reading.material import Material
from mygo.selection.reading.statistics import Statistics
from mygo.selection.run import Selection, select
from mygo.selection.scores import SCORES
from tests.selection.by_hand import Folders, Sample, logit, make_params, naive_gates, random_samples, write_folders

DIRECTIONS = {"x": [1.0, 0.0, 0.1], "y": [0.0, 2.0, 0.2], "z": [0.3, 0.0, 3.0]}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Folders]:
    """Write samples as a pool with statistics: `write(samples, shard_rows=3, tokens=True, gated=True,
    features="router_probs", name="a")`.
    """

    def write_here(samples: Sequence[Sample], name: str = "made", **options: Any) -> Folders:
        return write_folders(tmp_path / name, samples, **options)

    return write_here


@pytest.fixture
def scored(write: Callable[..., Folders]) -> Folders:
    """Ten samples in two sources; `raw` is 0.1 * its number; numbers 5 to 9 are labelled clean, 6 wrongly so; number 0
    has one token.
    """
    samples = []
    for i in range(10):
        gate = 0.1 * i if i else 0.5
        label = None if i == 1 else "Clean" if i in (2, 5, 7, 8, 9) else "wrong answer"
        n_tokens = 1 if i == 0 else 2 + i
        samples.append(Sample("ab"[i % 2], i, [1.0 + i] * (n_tokens - 1), np.full((2, n_tokens), logit(gate)), label))
    samples[9].messages = [
        {"role": "user", "content": " Wie heißt “das”?\n"},
        {"role": "assistant", "content": "Größe 🙂"},
    ]
    return write(samples)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(folders: Folders, params: SelectParams, seed: int = 0) -> tuple[Selection, Path]:
    out = folders.pool.parent / "selected"
    return select(params, seed, folders.statistics, folders.pool, out), out


def score(name: ScoreName, statistics: Statistics, **changes: Any) -> np.ndarray:
    return SCORES[name](Material(statistics, make_params(**changes), statistics.folder.parent / "pool"))


class Made:
    """What the tests of this folder share."""

    Sample = Sample
    params = staticmethod(make_params)
    run = staticmethod(run)
    score = staticmethod(score)
    read_jsonl = staticmethod(read_jsonl)
    random_samples = staticmethod(random_samples)
    naive_gates = staticmethod(naive_gates)
    logit = staticmethod(logit)


@pytest.fixture(scope="session")
def made() -> type[Made]:
    return Made


@pytest.fixture
def samples(made: type[Made]) -> list[Sample]:
    """`raw` is 0.1 * the number; number 0 cannot be graded; directions: x of 1 2 9, y of 3 4 8, z of 5 6 7."""
    directions = "-xxyyzzzyx"
    rows = [
        made.Sample("a", i, [1.0] * (i > 0), np.full((2, 1 + (i > 0)), made.logit(0.1 * i or 0.5))) for i in range(10)
    ]
    for row, direction in zip(rows[1:], directions[1:], strict=True):
        row.features = [value * row.index for value in DIRECTIONS[direction]]  # the length must not matter
    return rows
