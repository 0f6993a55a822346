"""Select with every method of clustering: what is written, what noise is, what a pool cannot give.

`samples`: x of 1 2 9, y of 3 4 8, z of 5 6 7 by direction, by number the better the higher.
"""

import numpy as np
import pytest

from mygo.errors import UserError
from tests.selection.by_hand import run_select as run


@pytest.mark.parametrize(
    ("clusters", "clustering", "message"),
    [
        ("auto", {"k_range": [10, 20]}, r"select\.clustering\.k_range: got \[10, 20\], but 9 .*; takes a first number"),
        ("auto", {"method": "hdbscan", "min_cluster_size": 10}, r"clustering\.min_cluster_size: got 10, but 9 samples"),
        ("auto", {"method": "hdbscan", "min_samples": 10}, r"select\.clustering\.min_samples: got 10, but 9 samples"),
        (10, {"method": "spectral"}, r"select\.clusters: got 10, but 9 samples can be graded"),
        (2, {"pca": 4}, r"select\.clustering\.pca: got 4, with 9 samples of 3 features; takes 3 at most, or null"),
        (
            2,
            {"features": "router_logits"},
            r"holds no features .*\(router_logits\); takes router_probs, gate_profile, text$",
        ),
        ("auto", {"method": "hdbscan", "backend": "cuml"}, r"backend: got cuml, and cuml is not installed here"),
    ],
)
def test_what_a_pool_cannot_give_is_one_sentence(write, made, samples, clusters, clustering, message):
    folders = write(samples, features="router_probs")
    with pytest.raises(UserError, match=message):
        run(folders, made.params(score="raw", clusters=clusters, clustering=clustering))


def test_a_range_that_ends_beyond_the_rows_ends_there(write, made, samples):
    params = made.params(score="raw", clusters="auto", clustering={"k_range": [2, 50]})
    result, _, _ = run(write(samples, features="router_probs"), params)
    assert [row["clusters"] for row in result.plots["elbow"]] == list(range(2, 10))
    chosen = [row["clusters"] for row in result.plots["elbow"] if row["chosen"]]
    assert chosen == [3] == [result.metrics["clusters"]["count"]]  # x, y, z


def test_noise_is_a_cluster_that_is_drawn_last(write, made, samples):
    """Number 9 is best and points nowhere: it comes when x (1 2), y (3 4 8) and z (5 6 7) are empty."""
    samples[9].features = [-0.5, -0.5, -0.7]
    params = {
        "score": "raw",
        "strategy": "cluster_round_robin",
        "clusters": "auto",
        "clustering": {"method": "hdbscan"},
    }
    folders = write(samples, features="router_probs")
    result, rows, kept = run(folders, made.params(**params, ratio=0.8))
    assert kept == [8, 7, 6, 5, 4, 3, 2, 1]
    assert [row["cluster"] for row in rows] == [None, 2, 2, 0, 0, 1, 1, 1, 0, -1]
    assert [row["cluster"] for row in result.plots["clusters"]] == ["0", "1", "2", "(noise)", "(none)"]
    assert result.metrics["clusters"]["noise"] == pytest.approx(1 / 9)
    assert run(folders, made.params(**params, ratio=0.9))[2] == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_all_noise_is_drawn_by_score(write, made):
    pool = made.random_samples(30)
    for sample, angle in zip(pool, np.geomspace(0.01, 3, 30), strict=True):
        sample.features = [np.cos(angle), np.sin(angle)]
    params = {"score": "length", "clusters": "auto", "clustering": {"method": "hdbscan", "min_cluster_size": 20}}
    folders = write(pool, features="router_probs")
    result, rows, kept = run(folders, made.params(**params, strategy="cluster_round_robin"))
    assert {row["cluster"] for row in rows} == {None, -1}
    assert result.metrics["clusters"] == {"count": 0, "noise": 1.0}
    assert kept == run(folders, made.params(score="length"))[2]


@pytest.mark.parametrize("method", ["kmeans", "hdbscan", "spectral", "gaussian_mixture"])
def test_a_clustering_writes_the_same_twice(write, made, method):
    pool = made.random_samples(80)
    rng = np.random.default_rng(0)
    for sample in pool:
        sample.features = (np.eye(6)[sample.index % 3] + 0.1 * rng.random(6)).tolist()
    folders = write(pool, features="router_probs", shard_rows=9)
    written = []
    for _ in range(2):
        params = made.params(
            score="length",
            strategy="cluster_round_robin",
            clusters="auto",
            clustering={"method": method, "pca": 3, "min_cluster_size": 10},
        )
        result, _, _ = run(folders, params)
        selected = folders.pool.parent / "selected"
        written.append(([(selected / name).read_bytes() for name in ("selected.jsonl", "scores.parquet")], result))
    assert written[0] == written[1]
    assert written[0][1].metrics["clusters"]["count"] == 3


def test_the_projection_says_what_became_of_samples(write, made, samples):
    folders = write(samples, features="router_probs")
    result, rows, _ = run(folders, made.params(score="raw", clusters=3, ratio=0.3))
    drawn = result.plots["projection"]
    assert [row["cluster"] for row in drawn] == [row["cluster"] for row in rows[1:]]
    assert [row["kept"] for row in drawn] == [False] * 6 + [True] * 3
    assert [row["score"] for row in drawn] == [row["score"] for row in rows[1:]]
    near, far = (
        np.hypot(drawn[0]["x"] - drawn[i]["x"], drawn[0]["y"] - drawn[i]["y"]) for i in (1, 2)
    )  # 2 points as 1 does, 3 elsewhere
    assert near < 1e-3 < far


def test_without_clusters_elbow_and_projection_are_one_empty_row(write, made, samples):
    plots = run(write(samples), made.params(score="raw"))[0].plots
    assert plots["elbow"] == [{"clusters": None, "gap": None, "chosen": None}]
    assert plots["projection"] == [dict.fromkeys(("x", "y", "cluster", "kept", "score"))]
    clustering = {"projection": "none"}
    plots = run(write(samples, "b", features="router_probs"), made.params(clusters=2, clustering=clustering))[0].plots
    assert plots["projection"] == [dict.fromkeys(("x", "y", "cluster", "kept", "score"))]
    assert [row["clusters"] for row in plots["elbow"]] == [2]
