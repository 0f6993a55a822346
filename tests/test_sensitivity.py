"""The mini world is sensitive to the data: with the truth known, clean samples must visibly beat random ones and the
base model.
"""

from pathlib import Path

import pytest

from mygo.params import load_params

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clean_samples_beat_random_ones_and_the_base_model(seed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.sensitivity import accuracies

    monkeypatch.chdir(tmp_path)
    measured = accuracies(load_params(ROOT / "params.yaml"), seed, tmp_path)
    assert measured["clean"] >= measured["random"] + 0.08
    assert measured["clean"] >= measured["base"] + 0.10
    assert measured["corrupted"] < measured["random"]
