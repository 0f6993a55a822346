"""Select with clusters: what is written, what the metrics say, what is refused."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from mygo.errors import UserError
from mygo.selection.reading.statistics import open_statistics
from tests.selection.by_hand import run_select as run


@pytest.mark.parametrize("features", ["router_probs", "hidden_mean"])
@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.2, [9, 8]), (0.3, [9, 8, 7]), (0.5, [9, 8, 7, 4, 2]), (0.6, [9, 8, 7, 6, 4, 2])]
)
def test_round_robin_by_hand(write, made, samples, features, ratio, expected):
    # rounds: x 9, y 8, z 7, then x 2, y 4, z 6; what is kept is written by rank
    folders = write(samples, features=features)
    _, rows, kept = run(folders, made.params(score="raw", strategy="cluster_round_robin", clusters=3, ratio=ratio))
    assert kept == expected
    assert [row["cluster"] for row in rows] == [None, 0, 0, 1, 1, 2, 2, 2, 1, 0]
    assert {row["reason"] for row in rows} == {"too_short", "kept", "below_budget"}


def test_sizes_of_clusters(write, made, samples):
    result, rows, _ = run(write(samples[:9], features="router_probs"), made.params(score="raw", clusters=3, ratio=0.3))
    # x 1 2, y 3 4 8, z 5 6 7; kept are 8 7 6; number 0 cannot be graded
    assert result.plots["clusters"] == [
        {"cluster": "0", "pool": 3, "selected": 1, "share": 1 / 3},
        {"cluster": "1", "pool": 3, "selected": 2, "share": 2 / 3},
        {"cluster": "2", "pool": 2, "selected": 0, "share": 0.0},
        {"cluster": "(none)", "pool": 1, "selected": 0, "share": 0.0},
    ]
    assert [row["cluster"] for row in rows[1:]] == [2, 2, 0, 0, 1, 1, 1, 0]  # by the best: y 8, z 7, x 2


def test_ties_go_by_dataset_then_index(write, made, samples):
    for sample in samples[1:]:
        sample.logits = np.zeros((2, 2))
    _, rows, kept = run(
        write(samples, features="router_probs"),
        made.params(score="raw", strategy="cluster_round_robin", clusters=3, ratio=0.4),
    )
    assert [row["cluster"] for row in rows] == [None, 0, 0, 1, 1, 2, 2, 2, 1, 0]
    assert kept == [1, 2, 3, 5]  # the first of each, then the second of x


def test_clusters_are_listed_by_number_not_by_text(write, made):
    pool = made.random_samples(60)[1:]
    rng = np.random.default_rng(0)
    for sample in pool:
        sample.features = rng.random(6).tolist()
    result, rows, _ = run(write(pool, features="router_probs"), made.params(score="length", clusters=12))
    assert [row["cluster"] for row in result.plots["clusters"] if row["cluster"] != "(none)"] == list(
        map(str, range(12))
    )
    assert sum(row["pool"] for row in result.plots["clusters"]) == len(rows)


def test_without_clusters_there_are_none(write, made, samples):
    result, rows, _ = run(write(samples, features="router_probs"), made.params(score="raw", ratio=0.2))
    assert result.plots["clusters"] == [{"cluster": "(none)", "pool": 10, "selected": 2, "share": 0.2}]
    assert {row["cluster"] for row in rows} == {None}


@pytest.mark.parametrize("strategy", ["top", "random", "full"])
def test_clusters_do_not_touch_other_strategies(write, made, samples, strategy):
    folders = write(samples, features="router_probs")
    _, rows, kept = run(folders, made.params(score="raw", strategy=strategy, clusters=3, ratio=0.4))
    assert kept == run(folders, made.params(score="raw", strategy=strategy, ratio=0.4))[2]
    assert {row["cluster"] for row in rows} == {None, 0, 1, 2}


def test_who_is_together_does_not_depend_on_the_score(write, made):
    pool = made.random_samples(80)
    rng = np.random.default_rng(0)
    for sample in pool:
        sample.features = rng.random(6).tolist()
    folders = write(pool, features="router_probs", shard_rows=9)
    clusters = []
    for score in ("quality", "perplexity", "perplexity"):
        _, rows, _ = run(folders, made.params(score=score, strategy="cluster_round_robin", clusters=7))
        clusters.append([row["cluster"] for row in rows])
    together = [
        {frozenset(i for i, other in enumerate(labels) if other == label) for label in set(labels)}
        for labels in clusters
    ]
    assert together[0] == together[1]
    assert clusters[0] != clusters[1] == clusters[2]


def test_features_of_some_rows_keep_their_order(write, made, samples):
    samples[4].features = None
    recorded = open_statistics(write(samples, features="router_probs").statistics)  # shards of three
    rows = np.array([1, 2, 6, 9])
    np.testing.assert_allclose(recorded.features(rows), [samples[row].features for row in rows], rtol=1e-6)
    with pytest.raises(UserError, match="router_probs of sample 4 is not finite; run collect again"):
        recorded.features(np.arange(1, 10))


def test_router_features_come_first(write, made, samples):
    folders = write(samples, features="router_probs")
    for path in folders.statistics.glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.append_column("hidden_mean", table["gate_mean"]), path)
    assert open_statistics(folders.statistics).features(np.array([1])).shape == (1, 3)


def test_more_clusters_than_samples_are_refused(write, made, samples):
    folders = write(samples, features="router_probs")
    with pytest.raises(
        UserError, match=r"^select\.clusters: got 10, but 9 samples can be graded; takes no more than that$"
    ):
        run(folders, made.params(score="raw", strategy="cluster_round_robin", clusters=10))
    assert run(folders, made.params(score="raw", strategy="cluster_round_robin", clusters=9, ratio=0.3))[2] == [9, 8, 7]


def test_statistics_without_features_are_refused(write, made, samples):
    with pytest.raises(
        UserError, match=r"^select\.clustering\.features: .*statistics holds no features .*; takes gate_profile, text$"
    ):
        run(write(samples), made.params(score="raw", clusters=2))


def test_features_of_two_widths_are_refused(write, made, samples):
    folders = write(samples, features="router_probs")
    path = folders.statistics / "shard-00001.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("router_probs")
    pq.write_table(table.set_column(place, "router_probs", table["gate_mean"]), path)
    with pytest.raises(
        UserError, match=r"shard-00001\.parquet: router_probs is .*, the first shard has lists of 3; run collect again"
    ):
        open_statistics(folders.statistics).features(np.arange(1, 10))


def test_round_robin_needs_a_score(write, made, samples):
    with pytest.raises(UserError, match=r"select\.score: got quality, which is made of quality gates"):
        run(
            write(samples, gated=False, features="router_probs"),
            made.params(strategy="cluster_round_robin", clusters=3),
        )
    _, _, kept = run(
        write(samples, gated=False, features="hidden_mean", name="other"), made.params(strategy="random", clusters=3)
    )
    assert len(kept) == 2
