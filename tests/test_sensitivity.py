"""The mini world is sensitive to the data: with the truth known, clean samples must visibly beat random ones and the
base model.
"""

from pathlib import Path

import pytest

from benchmarks.sensitivity import accuracies
from mygo.params import Params, load_params

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"facts": 96, "samples": 600, "pretrain_steps": 250}
SMALL_BATCH = {"batch_size": 8, "micro_batch_size": 8}  # as many steps as the default world has


@pytest.mark.slow
def test_clean_samples_beat_random_ones_in_a_small_world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measured = accuracies(with_world(SMALL, SMALL_BATCH), 0, tmp_path)
    assert measured["clean"] >= measured["random"] + 0.08
    assert measured["clean"] >= measured["base"] + 0.10
    assert measured["corrupted"] < measured["random"]


@pytest.mark.evidence
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clean_samples_beat_random_ones_and_the_base_model(seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measured = accuracies(with_world({}, {}), seed, tmp_path)
    assert measured["clean"] >= measured["random"] + 0.08
    assert measured["clean"] >= measured["base"] + 0.10
    assert measured["corrupted"] < measured["random"]


def with_world(size: dict[str, int], batch: dict[str, int]) -> Params:
    """The default parameters with a mini world of this size, and fine-tuning in batches of this one."""
    params = load_params(ROOT / "params.yaml")
    world = params.prepare.mini_world.model_copy(update=size)
    prepare = params.prepare.model_copy(update={"mini_world": world})
    return params.model_copy(update={"prepare": prepare, "finetune": params.finetune.model_copy(update=batch)})
