"""The whole of select: files, metrics, plots, determinism, labels."""

import hashlib
import importlib
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from mygo.errors import UserError
from mygo.metrics import write_metrics, write_plot
from mygo.selection.run import select


@pytest.fixture
def scored(write, made):
    """Ten samples in two sources; `raw` is 0.1 * its number; numbers 5 to 9 are labelled clean, 6 wrongly so; number 0
    has one token.
    """
    samples = []
    for i in range(10):
        gate = 0.1 * i if i else 0.5
        label = None if i == 1 else "Clean" if i in (2, 5, 7, 8, 9) else "wrong answer"
        n_tokens = 1 if i == 0 else 2 + i
        samples.append(
            made.Sample("ab"[i % 2], i, [1.0 + i] * (n_tokens - 1), np.full((2, n_tokens), made.logit(gate)), label)
        )
    samples[9].messages = [
        {"role": "user", "content": " Wie heißt “das”?\n"},
        {"role": "assistant", "content": "Größe 🙂"},
    ]
    return write(samples)


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(folders, params, seed=0):
    out = folders.pool.parent / "selected"
    return select(params, seed, folders.statistics, folders.pool, out), out


def test_selected_and_scores_by_hand(scored, made):
    _, out = run(scored, made.params(score="raw", ratio=0.25))  # ceil(2.5) = 3
    kept = read_jsonl(out / "selected.jsonl")
    assert list(kept[0]) == ["source_dataset", "source_index", "id", "messages", "text", "quality_score", "rank"]
    assert [(row["id"], row["rank"]) for row in kept] == [("b-9", 1), ("a-8", 2), ("b-7", 3)]
    assert [row["quality_score"] for row in kept] == pytest.approx([0.9, 0.8, 0.7])
    assert kept[0]["messages"][1] == {"role": "assistant", "content": "Größe 🙂"}
    assert kept[0]["text"] == "<|user|>\nWie heißt “das”?\n<|assistant|>\nGröße 🙂\n"
    assert "Größe 🙂".encode() in (out / "selected.jsonl").read_bytes()

    scores = pq.read_table(out / "scores.parquet")
    types = {
        "n_tokens": "int32",
        "score": "double",
        "rank": "int64",
        "selected": "bool",
        "cluster": "int32",
        "reason": "string",
        "source_index": "int64",
    }
    assert {name: str(scores.schema.field(name).type) for name in types} == types
    rows = scores.to_pylist()
    assert [row["id"] for row in rows] == ["a-0", "b-1", "a-2", "b-3", "a-4", "b-5", "a-6", "b-7", "a-8", "b-9"]
    assert [row["rank"] for row in rows] == [None, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert [row["reason"] for row in rows] == ["too_short"] + ["below_budget"] * 6 + ["kept"] * 3
    assert [row["selected"] for row in rows] == [False] * 7 + [True] * 3
    assert rows[0]["score"] is None
    assert rows[0]["n_tokens"] == 1
    assert rows[2]["label"] == "Clean"


def test_metrics_by_hand(scored, made):
    result, _ = run(scored, made.params(score="raw", ratio=0.4))
    metrics = result.metrics
    assert (metrics["pool"], metrics["gradable"], metrics["budget"], metrics["selected"]) == (10, 9, 4, 4)
    assert metrics["share_of_source"] == {"a": 0.4, "b": 0.4}
    # tokens 1, 3, 4, ..., 11; kept 8, 9, 10, 11
    assert metrics["tokens"] == {"mean_pool": 6.4, "mean_selected": 9.5}
    assert metrics["score"]["p50"] == pytest.approx(0.5)
    assert metrics["score"]["mean_selected"] == pytest.approx(0.75)
    # of the samples that can be graded, good are 2 5 7 8 9, others 3 4 6: pairs won 0 + 2 + 3 + 3 + 3 of 15
    assert metrics["auc"] == pytest.approx(11 / 15)
    assert metrics["base_rate"] == 5 / 8
    assert metrics["precision_at_budget"] == 3 / 4
    # Wilson for 3 of 4: centre (0.75 + z2/8) / (1 + z2/4), z2 = 3.841459
    assert metrics["precision_low"] == pytest.approx(0.300642, abs=1e-5)
    assert metrics["precision_high"] == pytest.approx(0.954413, abs=1e-5)


def test_auc_has_the_sign_of_the_order(scored, made):
    auc = {
        order: run(scored, made.params(score="raw", order=order))[0].metrics["auc"]
        for order in ("highest", "lowest", "middle")
    }
    assert auc["lowest"] == pytest.approx(1 - auc["highest"])
    # distances from the median 0.5 (0.1 a number): good 3 0 2 3 4, others 2 1 1; pairs won 0 + 3 + 0.5 + 0 + 0
    assert auc["middle"] == pytest.approx(3.5 / 15)


def test_plots_by_hand(scored, made):
    plots = run(scored, made.params(score="raw", ratio=0.3))[0].plots
    histogram = plots["score_histogram"]
    totals = {
        group: sum(row[group] for row in histogram) for group in ("kept", "dropped", "good", "other", "unlabelled")
    }
    assert totals == {"kept": 3, "dropped": 6, "good": 5, "other": 3, "unlabelled": 1}  # nine samples have a score
    assert all(row["bin_left"] < row["score"] < row["bin_right"] for row in histogram)
    assert [row["kept"] > 0 for row in histogram].index(True) > len(histogram) // 2
    assert plots["labels"] == [
        {"label": "(none)", "pool": 1, "selected": 0, "share": 0.0},
        {"label": "Clean", "pool": 5, "selected": 3, "share": 0.6},
        {"label": "wrong answer", "pool": 4, "selected": 0, "share": 0.0},
    ]


@pytest.mark.parametrize("good_label", ["CLEAN", "clean"])
def test_labels_are_compared_as_lower_case_texts(scored, made, good_label):
    assert run(scored, made.params(score="raw", good_label=good_label))[0].metrics["base_rate"] == 5 / 8


def test_a_boolean_good_label(write, made):
    samples = made.random_samples(20, labels=["True", "false"])
    assert "auc" in run(write(samples), made.params(good_label=True))[0].metrics


@pytest.mark.parametrize("labels", [[None], ["clean"], ["wrong", "worse"]])
def test_without_both_classes_the_log_says_so(write, made, caplog, labels):
    with caplog.at_level(logging.INFO):
        metrics = run(write(made.random_samples(20, labels=labels)), made.params())[0].metrics
    assert not {"auc", "precision_at_budget", "base_rate"} & set(metrics)
    assert sum("no agreement with labels" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("strategy", ["top", "random", "full"])
def test_labels_never_leak(write, made, strategy):
    samples = made.random_samples(60, labels=["clean", "wrong", None])
    kept = []
    for name in ("as they are", "shuffled"):
        _, out = run(write(samples, name=name), made.params(strategy=strategy))
        kept.append((out / "selected.jsonl").read_bytes())
        labels = np.random.default_rng(0).permutation([sample.label for sample in samples])
        for sample, label in zip(samples, labels, strict=True):
            sample.label = label
    assert kept[0] == kept[1]
    assert len(kept[0]) > 0


@pytest.mark.parametrize("strategy", ["top", "random", "full"])
@pytest.mark.parametrize("score", ["quality", "perplexity"])
def test_every_row_is_accounted_for(write, made, strategy, score):
    samples = made.random_samples(101)
    gradable = sum(bool(sample.nll) for sample in samples)
    result, out = run(write(samples), made.params(strategy=strategy, score=score, ratio=0.1))
    scores = pq.read_table(out / "scores.parquet").to_pandas()
    assert scores["id"].tolist() == [sample.key for sample in samples]
    assert (
        scores["selected"].sum()
        == len(read_jsonl(out / "selected.jsonl"))
        == result.metrics["selected"]
        == (gradable if strategy == "full" else 11)
    )
    dropped = {"top": {"below_budget"}, "random": {"not_drawn"}, "full": set()}[strategy]
    assert set(scores["reason"]) == {"kept", "too_short"} | dropped
    assert sorted(scores["rank"].dropna()) == list(range(1, gradable + 1))
    assert scores["score"].isna().tolist() == [not sample.nll for sample in samples]
    ranks = [row["rank"] for row in read_jsonl(out / "selected.jsonl")]
    assert ranks == sorted(ranks)


def test_a_budget_beyond_what_can_be_graded_takes_all_of_it(scored, made):
    metrics = run(scored, made.params(score="raw", ratio=1.0))[0].metrics
    assert (metrics["budget"], metrics["selected"]) == (10, 9)


def test_a_statistic_that_is_not_finite_drops_its_sample(write, made):
    samples = [made.Sample("a", i, [1.0, 2.0], np.full((2, 3), float(i))) for i in range(4)]
    samples[3].logits[1, 2] = np.nan
    _, out = run(write(samples), made.params(ratio=1.0))
    assert pq.read_table(out / "scores.parquet")["reason"].to_pylist() == ["kept", "kept", "kept", "not_finite"]


@pytest.mark.parametrize(
    "changes",
    [{"strategy": "random"}, {"strategy": "full"}, {"score": "perplexity", "order": "lowest"}, {"score": "length"}],
)
def test_without_gates(write, made, changes):
    samples = made.random_samples(40, labels=["clean", "wrong"])
    result, out = run(write(samples, gated=False), made.params(**changes))
    assert len(read_jsonl(out / "selected.jsonl")) == result.metrics["selected"] > 0
    assert "precision_at_budget" in result.metrics
    if "score" not in changes:
        assert ("auc" in result.metrics, read_jsonl(out / "selected.jsonl")[0]["quality_score"]) == (False, None)
    for name, rows in result.plots.items():
        write_plot(out / f"{name}.csv", rows)
    write_metrics(out / "metrics.json", result.metrics)


def test_a_gate_score_without_gates_is_refused(write, made):
    with pytest.raises(UserError, match=r"select\.score: got quality, .* has no gates; takes length, perplexity"):
        run(write(made.random_samples(10), gated=False), made.params())


def test_nothing_to_grade_is_refused(write, made):
    folders = write([made.Sample("a", i, [], np.zeros((2, 1))) for i in range(3)])
    with pytest.raises(UserError, match="none of the 3 samples can be graded"):
        run(folders, made.params())
    assert not (folders.pool.parent / "selected").exists()


def test_statistics_of_another_pool_are_refused(write, made):
    samples = made.random_samples(10)
    statistics = write(samples, name="one").statistics
    folders = write(samples[::-1], name="other")
    folders.statistics = statistics
    with pytest.raises(UserError, match="of another pool; run collect again"):
        run(folders, made.params())
    assert not (folders.pool.parent / "selected").exists()


def test_random_does_not_repeat_the_warmup_draw(write, made):
    """The warm-up pool is drawn by `default_rng(seed)`: a random selection of the same size must be other rows."""
    samples = made.random_samples(401)[1:]
    samples = [sample for sample in samples if sample.nll]
    _, out = run(write(samples, shard_rows=100), made.params(strategy="random", ratio=0.5), seed=3)
    selected = pq.read_table(out / "scores.parquet")["selected"].to_numpy()
    warmup = np.random.default_rng(3).choice(len(samples), int(selected.sum()), replace=False)
    assert 0.35 < selected[warmup].mean() < 0.65


def test_same_bytes_again(write, made):
    samples = made.random_samples(80, labels=["clean", "wrong"])
    digests = []
    for name in ("first", "second"):
        result, out = run(write(samples, name=name), made.params(alpha=0.5))
        files = [(out / file).read_bytes() for file in ("selected.jsonl", "scores.parquet")]
        digests.append([hashlib.sha256(file).hexdigest() for file in files] + [result.metrics, result.plots])
    assert digests[0] == digests[1]


def test_an_error_leaves_the_old_selection_alone(scored, made):
    _, out = run(scored, made.params(score="raw"))
    before = (out / "selected.jsonl").read_bytes()
    (scored.statistics / "shard-00003.parquet").unlink()
    with pytest.raises(UserError):
        run(scored, made.params(score="raw", ratio=0.5))
    assert (out / "selected.jsonl").read_bytes() == before
    assert sorted(path.name for path in out.parent.iterdir()) == ["pool", "selected", "statistics"]


def test_the_stage_writes_its_files(scored, made, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    stage = importlib.import_module("stages.select")
    collected = SimpleNamespace(base_model=None, checkpoint="last")
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
        "data/selected": ["scores.parquet", "selected.jsonl"],
        "metrics": ["select.json"],
        "plots/select": ["labels.csv", "score_histogram.csv"],
    }
    assert json.loads((tmp_path / "metrics/select.json").read_text())["selected"] == 2


def test_import_is_light():
    code = (
        "import sys, mygo.selection.run; print([m for m in ('torch', 'transformers', 'datasets', 'sklearn', 'scipy') "
        "if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
