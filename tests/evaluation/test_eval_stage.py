"""The stage as DVC runs it, in one process and shared between two."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def run_stage(folder, world, params, *launcher):
    shutil.copytree(world, folder / "data")
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump()))
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-m", *launcher, *(["-m"] if launcher else []), "stages.eval"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_two_processes_report_what_one_does(world, make_params, tmp_path):
    launches = {"one": (), "two": ("torch.distributed.run", "--nproc_per_node", "2")}
    written = {}
    for name, launcher in launches.items():
        (tmp_path / name).mkdir()
        done = run_stage(tmp_path / name, world, make_params(), *launcher)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
        assert done.stderr.count("base + adapter: ") == 1  # the processes know of each other: one speaks for both
        written[name] = {
            file: (tmp_path / name / file).read_text() for file in ("metrics/eval.json", "plots/eval/subjects.csv")
        }
    assert written["one"] == written["two"]
    assert '"base_acc"' in written["one"]["metrics/eval.json"]


@pytest.mark.slow
def test_a_user_error_is_one_line_and_writes_nothing(world, make_params, tmp_path):
    done = run_stage(tmp_path, world, make_params("eval.tasks=[arc_easi]"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: eval.tasks: got 'arc_easi'; takes mmlu or the name of an lm-eval task"
    )
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "params.yaml"]
    assert not (tmp_path / "data" / "eval").exists()
