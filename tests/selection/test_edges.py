"""What happens at the edges of a selection: the obvious result or one sentence, never an empty file."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from mygo.errors import UserError
from mygo.metrics import write_metrics, write_plot
from mygo.params.choices import BY_SCORE, WITHOUT_BUDGET
from mygo.selection.strategies import STRATEGIES


def own(strategy):
    """What a strategy needs besides its name."""
    return {"cluster_round_robin": {"clusters": 1}, "threshold": {"threshold": 0.0}}.get(strategy, {})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equal_scores_are_kept_by_source_then_index(write, made, strategy):
    samples = [made.Sample("ba"[i % 2], i, [1.0], np.zeros((2, 2)), features=[1.0, 0.0]) for i in range(8)]
    folders = write(samples, features="router_probs")
    result, out = made.run(folders, made.params(score="raw", strategy=strategy, count=3, **own(strategy)))
    kept = [row["id"] for row in made.read_jsonl(out / "selected.jsonl")]
    assert len(kept) == result.metrics["selected"] == (8 if strategy in WITHOUT_BUDGET else 3)
    assert kept == sorted(kept)  # a before b: by rank
    if strategy in BY_SCORE - WITHOUT_BUDGET:
        assert kept == ["a-1", "a-3", "a-5"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pool_of_one_row(write, made, strategy):
    folders = write(
        [made.Sample("a", 0, [1.0], np.zeros((2, 2)), "clean", features=[1.0, 0.0])], features="router_probs"
    )
    for budget in ({"ratio": 0.01}, {"count": 5}, {"token_budget": 2}):
        result, out = made.run(folders, made.params(score="raw", strategy=strategy, **budget, **own(strategy)))
        assert len(made.read_jsonl(out / "selected.jsonl")) == 1
        write_metrics(out / "metrics.json", result.metrics)
        for name, rows in result.plots.items():
            write_plot(out / f"{name}.csv", rows)


def test_a_budget_beyond_what_can_be_kept_says_so(write, made, caplog):
    samples = made.random_samples(12)
    samples[5] = made.Sample("a", 5, [], np.empty((3, 0)))
    folders = write(samples)
    gradable = sum(len(sample.nll) > 0 for sample in samples)
    with caplog.at_level("INFO"):
        result, _ = made.run(folders, made.params(score="raw", count=50))
    assert (result.metrics["budget"], result.metrics["graded"], result.metrics["selected"]) == (50, gradable, gradable)
    assert "the budget is larger than what can be kept: all of that is" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO"):
        made.run(folders, made.params(score="raw", count=2))
    assert "larger" not in caplog.text


def test_a_threshold_that_nothing_reaches_is_refused(write, made):
    folders = write([made.Sample("a", i, [1.0], np.full((2, 2), float(i))) for i in range(3)])
    given = {"score": "length", "strategy": "threshold"}
    with pytest.raises(
        UserError, match=r"got 3\.0, and no sample's length reaches it with order highest; the best is 2$"
    ):
        made.run(folders, made.params(**given, threshold=3.0))
    assert not (folders.pool.parent / "selected").exists()
    _, out = made.run(folders, made.params(score="raw", strategy="threshold", threshold=0.7))
    reasons = pq.read_table(out / "scores.parquet")["reason"].to_pylist()
    assert reasons == ["below_threshold", "kept", "kept"]


def test_shares_of_sources_in_a_run(write, made):
    samples = [made.Sample("ab"[i > 5], i, [1.0], np.full((2, 2), float(i))) for i in range(8)]
    shares = {"b": {"max": 0.25}, "a": {"min": 0.5}}
    result, out = made.run(write(samples), made.params(score="raw", count=4, source_shares=shares))
    table = pq.read_table(out / "scores.parquet")
    assert table["reason"].to_pylist() == ["below_budget"] * 3 + ["kept"] * 3 + ["source_share", "kept"]
    assert {row["source"]: row["selected"] for row in result.plots["sources"]} == {"a": 3, "b": 1}


def test_a_token_budget_in_a_run(write, made):
    samples = [made.Sample("a", i, [1.0] * (i + 1), np.full((2, i + 2), float(i))) for i in range(6)]
    result, out = made.run(write(samples), made.params(score="raw", token_budget=13))
    kept = made.read_jsonl(out / "selected.jsonl")
    assert [row["id"] for row in kept] == ["a-5", "a-4"]  # 7 + 6 tokens
    assert (result.metrics["token_budget"], result.metrics["tokens"]["mean_selected"]) == (13, 6.5)


@pytest.mark.parametrize("strategy", ["random", "random_balanced"])
def test_duplicates_do_not_shrink_a_draw(write, made, strategy):
    samples = made.random_samples(60)
    result, _ = made.run(write(samples), made.params(strategy=strategy, count=1, deduplicate=0.9))
    assert (result.metrics["duplicates"], result.metrics["selected"]) == (result.metrics["graded"] - 1, 1)


def test_a_ceiling_leaves_out_what_reaches_it(write, made):
    """`raw` is 0.1 * the number: of 0.5 and above nothing is kept, by any strategy, and the scores stay."""
    samples = [made.Sample("a", i, [1.0], np.full((1, 2), made.logit(0.1 * i))) for i in range(1, 9)]
    for strategy in ("top", "random", "full"):
        _, out = made.run(
            write(samples, name=strategy), made.params(score="raw", strategy=strategy, ratio=0.5, ceiling=0.45)
        )
        table = pq.read_table(out / "scores.parquet")
        assert sorted(row["source_index"] for row in made.read_jsonl(out / "selected.jsonl")) == [1, 2, 3, 4]
        assert table["reason"].to_pylist()[4:] == ["above_ceiling"] * 4
        assert table["score"].null_count == 0
        assert table["rank"].null_count == 4
        assert table["rank"].to_pylist()[4:] == [None] * 4
    with pytest.raises(UserError, match=r"^select\.ceiling: got 0\.05, and every sample's raw reaches it"):
        made.run(write(samples, name="all"), made.params(score="raw", ceiling=0.05))
