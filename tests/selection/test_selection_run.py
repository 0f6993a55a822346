"""The whole of select: what is kept, why each sample is where it is, determinism, what is refused."""

import hashlib
import logging

import numpy as np
import pyarrow.parquet as pq
import pytest

from mygo.errors import UserError
from mygo.metrics import write_metrics, write_plot


def test_selected_and_scores_by_hand(scored, made):
    _, out = made.run(scored, made.params(score="raw", ratio=0.25))  # ceil(2.5) = 3
    kept = made.read_jsonl(out / "selected.jsonl")
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


@pytest.mark.parametrize("strategy", ["top", "random", "full"])
def test_labels_never_leak(write, made, strategy):
    samples = made.random_samples(60, labels=["clean", "wrong", None])
    kept = []
    for name in ("as they are", "shuffled"):
        _, out = made.run(write(samples, name=name), made.params(strategy=strategy))
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
    result, out = made.run(write(samples), made.params(strategy=strategy, score=score, ratio=0.1))
    scores = pq.read_table(out / "scores.parquet").to_pandas()
    assert scores["id"].tolist() == [sample.key for sample in samples]
    assert (
        scores["selected"].sum()
        == len(made.read_jsonl(out / "selected.jsonl"))
        == result.metrics["selected"]
        == (gradable if strategy == "full" else 11)
    )
    dropped = {"top": {"below_budget"}, "random": {"not_drawn"}, "full": set()}[strategy]
    assert set(scores["reason"]) == {"kept", "too_short"} | dropped
    assert sorted(scores["rank"].dropna()) == list(range(1, gradable + 1))
    assert scores["score"].isna().tolist() == [not sample.nll for sample in samples]
    ranks = [row["rank"] for row in made.read_jsonl(out / "selected.jsonl")]
    assert ranks == sorted(ranks)


def test_a_budget_beyond_what_can_be_graded_takes_all_of_it(scored, made):
    metrics = made.run(scored, made.params(score="raw", ratio=1.0))[0].metrics
    assert (metrics["budget"], metrics["selected"]) == (10, 9)


def test_a_statistic_that_is_not_finite_drops_its_sample(write, made):
    samples = [made.Sample("a", i, [1.0, 2.0], np.full((2, 3), float(i))) for i in range(4)]
    samples[3].logits[1, 2] = np.nan
    _, out = made.run(write(samples), made.params(ratio=1.0))
    assert pq.read_table(out / "scores.parquet")["reason"].to_pylist() == ["kept", "kept", "kept", "not_finite"]


@pytest.mark.parametrize(
    "changes",
    [{"strategy": "random"}, {"strategy": "full"}, {"score": "perplexity", "order": "lowest"}, {"score": "length"}],
)
def test_without_gates(write, made, changes):
    samples = made.random_samples(40, labels=["clean", "wrong"])
    result, out = made.run(write(samples, gated=False), made.params(**changes))
    assert len(made.read_jsonl(out / "selected.jsonl")) == result.metrics["selected"] > 0
    assert "precision_at_budget" in result.metrics
    if "score" not in changes:
        assert ("auc" in result.metrics, made.read_jsonl(out / "selected.jsonl")[0]["quality_score"]) == (False, None)
    for name, rows in result.plots.items():
        write_plot(out / f"{name}.csv", rows)
    write_metrics(out / "metrics.json", result.metrics)


def test_a_gate_score_without_gates_is_refused(write, made):
    with pytest.raises(UserError, match=r"quality gates, and .*statistics holds none; take .*perplexity"):
        made.run(write(made.random_samples(10), gated=False), made.params())


def test_nothing_to_grade_is_refused(write, made):
    folders = write([made.Sample("a", i, [], np.zeros((2, 1))) for i in range(3)])
    with pytest.raises(UserError, match="none of the 3 samples can be graded"):
        made.run(folders, made.params())
    assert not (folders.pool.parent / "selected").exists()


def test_statistics_of_another_pool_are_refused(write, made):
    samples = made.random_samples(10)
    statistics = write(samples, name="one").statistics
    folders = write(samples[::-1], name="other")
    folders.statistics = statistics
    with pytest.raises(UserError, match="of another pool; run collect again"):
        made.run(folders, made.params())
    assert not (folders.pool.parent / "selected").exists()


def test_random_does_not_repeat_the_warmup_draw(write, made):
    """The warm-up pool is drawn by `default_rng(seed)`: a random selection of the same size must be other rows."""
    samples = made.random_samples(401)[1:]
    samples = [sample for sample in samples if sample.nll]
    _, out = made.run(write(samples, shard_rows=100), made.params(strategy="random", ratio=0.5), seed=3)
    selected = pq.read_table(out / "scores.parquet")["selected"].to_numpy()
    warmup = np.random.default_rng(3).choice(len(samples), int(selected.sum()), replace=False)
    assert 0.35 < selected[warmup].mean() < 0.65


def test_same_bytes_again(write, made):
    samples = made.random_samples(80, labels=["clean", "wrong"])
    digests = []
    for name in ("first", "second"):
        result, out = made.run(write(samples, name=name), made.params(alpha=0.5))
        files = [(out / file).read_bytes() for file in ("selected.jsonl", "scores.parquet")]
        digests.append([hashlib.sha256(file).hexdigest() for file in files] + [result.metrics, result.plots])
    assert digests[0] == digests[1]


def test_a_rejected_sample_says_so_and_is_counted(write, made, caplog):
    samples = [made.Sample("a", i, [1.0] * (i > 0), np.full((2, 1 + (i > 0)), float(i))) for i in range(4)]
    samples[2] = made.Sample("a", 2, [], np.empty((2, 0)))
    with caplog.at_level(logging.INFO):
        result, out = made.run(write(samples), made.params(ratio=0.5))
    scores = pq.read_table(out / "scores.parquet")
    assert scores["reason"].to_pylist() == ["too_short", "kept", "rejected", "kept"]
    assert scores["score"].to_pylist()[2] is None
    assert (result.metrics["rejected"], result.metrics["graded"]) == (1, 2)
    assert result.metrics["tokens"] == {"mean_pool": 5 / 3, "mean_selected": 2}  # of 1, 2 and 2
    assert "1 samples were rejected by collect; " in caplog.text
    assert "statistics/rejected.parquet says why" in caplog.text


@pytest.mark.parametrize("strategy", ["random", "full"])
@pytest.mark.parametrize("gated", [True, False])
def test_a_rejected_sample_is_never_drawn(write, made, strategy, gated):
    samples = [made.Sample("a", i, [1.0], np.full((2, 2), float(i))) for i in range(6)]
    samples[4] = made.Sample("a", 4, [], np.empty((2, 0)))
    _, out = made.run(write(samples, gated=gated), made.params(strategy=strategy, ratio=1.0))
    assert pq.read_table(out / "scores.parquet")["reason"].to_pylist() == ["kept"] * 4 + ["rejected", "kept"]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_where_answers_count_a_sample_without_one_is_not_graded(write, made, alpha):
    answers = [[True, True, True], [True, False, False], [False, False, True], [False, True, True]]
    samples = [
        made.Sample("a", i, [1.0, 2.0], np.full((2, 3), float(i)), answer=answer) for i, answer in enumerate(answers)
    ]
    samples[3].logits[1, 2] = np.nan
    folders = write(samples)
    _, out = made.run(folders, made.params(tokens="answer", alpha=alpha, ratio=1.0))
    assert pq.read_table(out / "scores.parquet")["reason"].to_pylist() == ["kept", "no_answer", "kept", "not_finite"]
    _, out = made.run(folders, made.params(alpha=alpha, ratio=1.0))
    assert pq.read_table(out / "scores.parquet")["reason"].to_pylist() == ["kept", "kept", "kept", "not_finite"]


def test_scores_that_are_of_no_gates_know_no_answers(write, made):
    samples = [made.Sample("a", i, [1.0], np.zeros((2, 2)), answer=[True, i > 0]) for i in range(2)]
    _, out = made.run(write(samples), made.params(score="length", tokens="answer", ratio=1.0))
    assert pq.read_table(out / "scores.parquet")["reason"].to_pylist() == ["kept", "kept"]
