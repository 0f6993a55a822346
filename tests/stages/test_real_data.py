"""Real data through the whole pipeline with the mini selector and target."""

import json

import pyarrow.parquet as pq
import pytest

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
    assert "auc" not in json.loads((metrics / "select.json").read_text())  # these sources carry no labels
    assert json.loads((metrics / "eval.json").read_text())["mmlu"]["n"] == 2 * 57
