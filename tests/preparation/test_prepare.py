"""The prepare stage on files: what it writes, says and counts. The mini world's own are tested where it is made."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from mygo.metrics import write_metrics
from mygo.params import load_params
from mygo.preparation.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pool(tmp_path):
    """Three hundred good files and seven that are not."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(300):
        (folder / f"good_{number:03}.jsonl").write_text('{"text": "a"}\n{"text": ""}\n')
    (folder / "dataset_infos.json").write_text(json.dumps({"default": {"features": {}}}, indent=2))
    (folder / "empty.jsonl").write_text("")
    (folder / "pointer.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (folder / "damaged.jsonl.xz").write_bytes(b"nonsense")
    (folder / "0\x1b[2J\nerror: forged.txt").write_text("")
    (folder / "README.md").write_text("")
    (folder / "binary.bin").write_bytes(b"")
    return folder


def params_for(pool, **changes):
    params = load_params(ROOT / "params.yaml").prepare
    small = params.mini_world.model_copy(update={"facts": 64, "samples": 100})
    return params.model_copy(
        update={"source": "local", "path": str(pool), "base_models": False, "mini_world": small, **changes}
    )


def test_metrics_are_few_and_everything_by_name_lies_beside_the_pool(pool, tmp_path, capsys):
    metrics = prepare(params_for(pool), 0, tmp_path / "data")
    assert metrics["pool"] == {
        "samples": 300,
        "rejected": 301,
        "left_out": 0,
        "sources": 300,
        "passed_over": 7,
        "passed_over_first": [
            "damaged.jsonl.xz",
            "dataset_infos.json",
            "empty.jsonl",
            "pointer.parquet",
            r"0\x1b[2J\nerror: forged.txt",
        ],
    }
    files = {
        row["file"]: row["reason"] for row in pq.read_table(tmp_path / "data/pool/passed_over.parquet").to_pylist()
    }
    assert len(files) == 7
    assert files["empty.jsonl"] == "is empty; takes at least one row"
    assert files["pointer.parquet"].startswith("cannot be read (it is a Git LFS pointer")
    assert files["dataset_infos.json"].startswith("none of its rows can be read; the first is line 1: its columns (def")
    sources = pq.read_table(tmp_path / "data/pool/sources.parquet").to_pylist()
    assert {"source_dataset": "good_007", "samples": 1, "rejected": 1, "left_out": 0} in sources
    assert len(sources) == 301
    log = capsys.readouterr().err.splitlines()
    said = [line for line in log if line.startswith(("pool: ", "passed over: "))]
    assert said[0] == "pool: 300 samples of 300 sources, 301 rows rejected, 0 left out, 7 files passed over"
    assert said[5] == r"passed over: 0\x1b[2J\nerror: forged.txt: its ending is not one of those that are read"
    assert said[-1].startswith("passed over: 2 more, all in ")
    assert len(said) == 7
    write_metrics(tmp_path / "prepare.json", metrics)
    assert len((tmp_path / "prepare.json").read_text()) < 800


def test_a_pool_without_anything_odd_says_so_in_one_line(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("instruction,output\nAdd,3\n")
    metrics = prepare(params_for(tmp_path / "a.csv"), 0, tmp_path / "data")
    assert metrics["pool"] == {"samples": 1, "rejected": 0, "left_out": 0, "sources": 1, "passed_over": 0}
    assert "pool: 1 samples of 1 sources, 0 rows rejected, 0 left out, 0 files passed over" in capsys.readouterr().err


def test_the_stage_ends_with_one_safe_sentence_where_nothing_is_usable(tmp_path):
    names = {f"\x1b[31m\nerror: forged {number}": number for number in range(20_000)}
    (tmp_path / "a\x1b[2J.jsonl").write_text(json.dumps(names) + "\n")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["prepare"] |= {"source": "local", "path": str(tmp_path), "base_models": False}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    command = [sys.executable, "-m", "stages.prepare"]
    env = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        r"error: a\x1b[2J.jsonl: none of its rows can be read; the first is line 1: its columns"
    )
    assert len(done.stderr) < 700
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())
