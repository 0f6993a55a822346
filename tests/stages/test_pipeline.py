"""The pipeline end to end through DVC: it runs, re-runs only what changed, repeats itself byte for byte."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

pytestmark = pytest.mark.slow
STAGES = ["prepare", "convert", "warmup", "collect", "select", "finetune", "eval"]
SMALL = [
    "prepare.mini_world.facts=64",
    "prepare.mini_world.samples=200",
    "prepare.mini_world.pretrain_steps=10",
    "warmup.epochs=1",
    "finetune.epochs=1",
]


def stages_run(output: str) -> list[str]:
    """All but `check`, which runs whenever a parameter has changed."""
    return [stage for stage in re.findall(r"Running stage '(\w+)'", output) if stage != "check"]


def hashes(copy) -> dict[str, str]:
    lock = yaml.safe_load((copy.folder / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def leaves(value: object) -> int:
    return sum(map(leaves, value.values())) if isinstance(value, dict) else 1


@pytest.fixture(scope="module")
def small(copy):
    """The whole pipeline once, on a small world."""
    assert stages_run(copy.experiment(*SMALL)) == [*STAGES[:-1], "baseline", "eval"]
    copy.run("git", "add", "-A")
    copy.run("git", "commit", "-qm", "small")
    return copy


def test_every_stage_leaves_its_outputs_and_metrics(small):
    data = small.folder / "data"
    assert (data / "adapter/adapter_model.safetensors").exists()
    kept = [json.loads(line) for line in (data / "selected/selected.jsonl").read_text().splitlines()]
    assert [row["rank"] for row in kept] == sorted(row["rank"] for row in kept)
    scores = pq.read_table(data / "selected/scores.parquet")
    assert (len(scores), len(kept)) == (200, sum(scores["selected"].to_pylist()))
    assert sorted(path.stem for path in (small.folder / "metrics").glob("*.json")) == sorted(STAGES)
    evaluated = json.loads((small.folder / "metrics/eval.json").read_text())
    assert set(evaluated) == {"mmlu", "mmlu_stem", "mmlu_humanities", "mmlu_social_sciences", "mmlu_other"}
    assert json.loads((small.folder / "metrics/convert.json").read_text())["parity"] is True
    assert "auc" in json.loads((small.folder / "metrics/select.json").read_text())


def test_a_diff_of_all_metrics_stays_readable(small):
    """However many layers, files and sources there are."""
    files = [json.loads(path.read_text()) for path in (small.folder / "metrics").glob("*.json")]
    assert sum(map(leaves, files)) < 72


def test_nothing_runs_again(small):
    assert stages_run(small.run("dvc", "repro").stdout) == []


def test_plots_are_drawn(small):
    small.run("dvc", "plots", "show")
    page = (small.folder / "dvc_plots/index.html").read_text()
    for title in (
        "Warm-up, quality loss",
        "mean good_ratio of each layer",
        "Scores, kept and dropped",
        "Fine-tuning, loss",
        "accuracy by subject",
    ):
        assert title in page


def test_two_forced_runs_give_the_same_hashes(small):
    before = hashes(small)
    small.run("dvc", "repro", "--force")
    assert hashes(small) == before


def test_two_launched_processes_collect_the_same(small):
    """One thread each instead of two in one process: the order of sums differs, so the last digits may."""
    statistics = small.folder / "data/statistics"
    one = pq.ParquetDataset(sorted(statistics.glob("shard-*"))).read()
    shutil.rmtree(statistics)  # else both would find it done
    params = small.folder / "params.yaml"
    one_process = params.read_text()
    params.write_text(one_process.replace("cpu.yaml\n  num_processes: 1", "ddp_cpu.yaml\n  num_processes: 2"))
    assert ", 2 processes" in small.run("python", "-m", "mygo.launch", "collect").stderr
    params.write_text(one_process)
    two = pq.ParquetDataset(sorted(statistics.glob("shard-*"))).read()
    assert two["id"].equals(one["id"])
    for column in ("nll", "nll_answer", "gate_mean", "gate_weighted", "router_probs", "router_logits"):
        np.testing.assert_allclose(
            *(np.array(table[column].to_pylist(), dtype=float) for table in (two, one)), atol=1e-5, rtol=1e-5
        )
    kept = (small.folder / "data/selected/selected.jsonl").read_text()
    small.run("python", "-m", "stages.select")
    assert [
        json.loads(line)["id"] for line in (small.folder / "data/selected/selected.jsonl").read_text().splitlines()
    ] == [json.loads(line)["id"] for line in kept.splitlines()]
    small.run("dvc", "checkout", "--force")


def test_a_dry_run_says_the_cost_and_writes_nothing(small):
    status = small.run("git", "status", "--short").stdout
    said = small.run("python", "-m", "stages.collect", "--dry-run").stdout
    words = "samples rejected tokens reference rows passes padding on speed time"
    assert [line.split()[0] for line in said.splitlines()] == words.split()
    assert "200, of which" in said
    assert small.run("git", "status", "--short").stdout == status


def test_another_budget_runs_select_finetune_and_eval_only(small):
    assert stages_run(small.experiment(*SMALL, "select.ratio=0.1")) == ["select", "finetune", "eval"]


def test_strategies_are_compared_side_by_side(small):
    assert stages_run(small.experiment(*SMALL, "select=random")) == ["select", "finetune", "eval"]
    table = small.run("dvc", "metrics", "diff", "--md", "HEAD").stdout
    assert "mmlu.acc" in table
    assert "mmlu.gain" in table


def test_named_experiments_are_compared_as_the_readme_says(small):
    small.run("git", "stash", "-q")
    for name, setting in (("small", "select.ratio=0.1"), ("chance", "select=random")):
        settings = [word for value in (*SMALL, setting) for word in ("-S", value)]
        said = small.run("dvc", "exp", "run", "--temp", "-n", name, *settings).stdout
        assert stages_run(said) == []  # the two tests before have left them in the run cache
    compared = small.run("dvc", "metrics", "diff", "small", "chance").stdout
    assert "metrics/select.json" in compared
    assert not re.search(r"\s-\s", compared.partition("\n")[2])  # a value that one of the two lacks
    shown = small.run("dvc", "exp", "show", "--only-changed", "--csv").stdout
    assert {"small", "chance"} <= {line.partition(",")[0] for line in shown.splitlines()}
    assert small.run("git", "status", "--short").stdout == ""
    small.run("dvc", "checkout", "--force")


def test_a_wrong_value_stops_with_one_sentence_and_keeps_the_outputs(small):
    params = small.folder / "params.yaml"
    good = params.read_text()
    params.write_text(good.replace("\n  ratio: 0.", "\n  ratio: 10."))
    done = small.run("python", "-m", "stages.select", check=False)
    params.write_text(good)
    assert done.returncode == 1
    assert re.fullmatch(r"error: select\.ratio: got 10\.\d+; takes less than or equal to 1\n", done.stderr)
    assert (small.folder / "data/selected/selected.jsonl").exists()


def test_the_dense_family_runs_too(small):
    assert stages_run(small.experiment(*SMALL, "selector=mini_quality_gate")) == STAGES[1:]
    assert "quality_gate" in json.loads((small.folder / "data/selector/config.json").read_text())["model_type"]
