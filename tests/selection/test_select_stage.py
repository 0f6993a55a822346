"""The stage select: the files that it leaves, what reads them, what an error leaves."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mygo.errors import UserError


def test_an_error_leaves_the_old_selection_alone(scored, made):
    _, out = made.run(scored, made.params(score="raw"))
    before = (out / "selected.jsonl").read_bytes()
    (scored.statistics / "shard-00003.parquet").unlink()
    with pytest.raises(UserError):
        made.run(scored, made.params(score="raw", ratio=0.5))
    assert (out / "selected.jsonl").read_bytes() == before
    assert sorted(path.name for path in out.parent.iterdir()) == ["pool", "selected", "statistics"]


def test_the_stage_writes_its_files(scored, made, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    stage = importlib.import_module("stages.select")
    collected = SimpleNamespace(base_model=None, revision=None, checkpoint="last")
    monkeypatch.setattr(
        stage, "load_params", lambda: SimpleNamespace(select=made.params(score="raw"), seed=0, collect=collected)
    )
    scored.pool.parent.rename(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    stage.main()
    written = {
        folder: sorted(path.name for path in (tmp_path / folder).iterdir())
        for folder in ("data/selected", "metrics", "plots/select")
    }
    assert written == {
        "data/selected": ["README.md", "scores.parquet", "selected.jsonl"],
        "metrics": ["select.json"],
        "plots/select": [
            "clusters.csv",
            "elbow.csv",
            "labels.csv",
            "projection.csv",
            "score_histogram.csv",
            "sources.csv",
        ],
    }
    assert json.loads((tmp_path / "metrics/select.json").read_text())["selected"] == 2


def test_load_dataset_gives_the_selection(scored, made, tmp_path):
    datasets = importlib.import_module("datasets")
    for ratio, kept in ((0.25, 3), (0.5, 5), (0.25, 3)):  # its cache must not give another selection's
        _, out = made.run(scored, made.params(score="raw", ratio=ratio))
        loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
        assert list(loaded) == ["train"]
        assert loaded["train"].to_list() == made.read_jsonl(out / "selected.jsonl")
        assert len(loaded["train"]) == kept


def test_import_is_light():
    code = (
        "import sys, mygo.selection.run; print([m for m in ('torch', 'transformers', 'datasets', 'sklearn', 'scipy') "
        "if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
