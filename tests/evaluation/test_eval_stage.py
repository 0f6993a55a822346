"""The stages as DVC runs them, in one process and shared between two."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mygo.evaluation import harness, lm
from mygo.evaluation.report import headline, subject_rows
from mygo.evaluation.target import evaluate_target
from mygo.metrics import write_metrics, write_plot
from mygo.runtime import start_runtime

ROOT = Path(__file__).resolve().parents[2]


def prepare(folder, world, params):
    shutil.copytree(world, folder / "data")
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump()))


def run_stage(stage, folder, *launcher):
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-m", *launcher, *(["-m"] if launcher else []), f"stages.{stage}"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_two_processes_report_what_one_does(world, make_params, tmp_path):
    prepare(tmp_path, world, make_params())
    done = run_stage("baseline", tmp_path)
    assert (done.returncode, done.stderr) == (
        0,
        "base: 27 questions of 3 tasks on cpu, float32\n",
    )  # no bar, no warning
    done = run_stage("eval", tmp_path, "torch.distributed.run", "--nproc_per_node", "2")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert done.stderr.count("base + adapter: 27 questions") == 1  # the processes know of each other: one speaks
    alone = evaluate_target(
        make_params(), start_runtime(0), world / "adapter", world / "benchmark", tmp_path / "data" / "baseline"
    )
    write_metrics(tmp_path / "one.json", headline(alone))
    write_plot(tmp_path / "one.csv", subject_rows(alone))
    assert (tmp_path / "metrics/eval.json").read_text() == (tmp_path / "one.json").read_text()
    assert (tmp_path / "plots/eval/subjects.csv").read_text() == (tmp_path / "one.csv").read_text()


def test_bars_are_for_terminals(world, make_params, capsys, monkeypatch):
    def evaluate():
        harness.evaluate_base(make_params("eval.tasks=[mmlu_alloys]"), start_runtime(0), world / "benchmark")
        return capsys.readouterr().err

    assert evaluate().splitlines() == ["base: 6 questions of 1 tasks on cpu, float32"]
    monkeypatch.setattr(lm, "on_terminal", lambda: True)
    told = evaluate()
    assert "Running loglikelihood requests: 100%" in told
    assert "\r  0%" not in told  # lm-eval's bar without a name, one for every task


@pytest.mark.slow
def test_a_user_error_is_one_line_and_writes_nothing(world, make_params, tmp_path):
    prepare(tmp_path, world, make_params("eval.tasks=[arc_easi]"))
    done = run_stage("baseline", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: eval.tasks: got 'arc_easi'; takes mmlu or the name of an lm-eval task"
    )
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "params.yaml"]
    assert not (tmp_path / "data" / "baseline").exists()
