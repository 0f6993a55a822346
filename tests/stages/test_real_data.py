"""Real data through the whole pipeline with the mini selector and target."""

import csv
import json
import math
from collections import Counter

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

pytestmark = pytest.mark.slow


def test_less_layout_and_mmlu_run_to_the_end(copy, shared_data):
    copy.experiment(
        "data=local",
        f"prepare.path={shared_data / 'less_like/train/processed'}",
        "prepare.benchmark.source=csv",
        f"prepare.benchmark.path={shared_data / 'mmlu/data'}",
        "prepare.mini_world.pretrain_steps=10",
        "warmup.epochs=1",
        "finetune.epochs=1",
        "eval.limit=2",
    )
    data, metrics = copy.folder / "data", copy.folder / "metrics"
    scored, rejected = (pq.read_table(data / name) for name in ("selected/scores.parquet", "pool/rejected.parquet"))
    rows = {(row["source_dataset"], row["source_index"]) for table in (scored, rejected) for row in table.to_pylist()}
    assert len(rows) == len(scored) + len(rejected) == 1929
    assert {name: sum(key[0] == name for key in rows) for name in ("flan_v2", "cot", "dolly", "oasst1")} == {
        "flan_v2": 283,
        "cot": 420,
        "dolly": 300,
        "oasst1": 926,
    }
    selected = json.loads((metrics / "select.json").read_text())
    assert "auc" not in selected  # these sources carry no labels
    with (copy.folder / "plots/select/sources.csv").open(newline="") as file:
        sources = {row["source"]: (int(row["pool"]), int(row["selected"])) for row in csv.DictReader(file)}
    assert sum(pool for pool, _ in sources.values()) == selected["pool"] == len(scored)
    assert sum(kept for _, kept in sources.values()) == selected["selected"]
    reasons = Counter(scored["reason"].to_pylist())
    assert set(reasons) <= {"kept", "below_budget", "too_short", "rejected"}
    assert reasons["kept"] == selected["budget"] == math.ceil(0.25 * len(scored))
    loaded = load_dataset(str(data / "selected"), cache_dir=str(copy.folder / "work/datasets"))["train"]
    assert loaded["rank"] == list(range(1, len(loaded) + 1))
    assert len(loaded) == reasons["kept"]
    assert json.loads((metrics / "eval.json").read_text())["mmlu"]["n"] == 2 * 57
