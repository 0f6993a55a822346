"""HDBSCAN, spectral, mixture and elbow against scikit-learn, numbers worked by hand, and pools that hold too little."""

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from mygo.selection.clustering import elbow, gaussian_mixture, hdbscan, samples, spectral
from mygo.selection.clustering.clusters import METHODS, describe, without_gaps
from tests.selection.by_hand import make_params
from tests.selection.clustering.rows import around_topics, together, unit_rows


def clustering(**changes):
    return make_params(clustering=changes).clustering


def labels(method, x, k, seed=0, **changes):
    return METHODS[method](x, k, clustering(method=method, **changes), seed)


@pytest.mark.parametrize("method", METHODS)
def test_clear_topics_are_found_and_found_again(method):
    x, topic = around_topics(600, 6, 16, 0.15)
    found = labels(method, x, 6, min_cluster_size=20)
    assert together(found) == together(topic)
    assert found.dtype == np.int32
    assert found.tobytes() == labels(method, x, 6, min_cluster_size=20).tobytes()


@pytest.mark.parametrize(("method", "room"), [("spectral", spectral), ("gaussian_mixture", gaussian_mixture)])
def test_a_large_pool_is_drawn_from_and_the_rest_follows(monkeypatch, method, room):
    monkeypatch.setattr(room, "MOST_ROWS", 200)
    x, topic = around_topics(1500, 6, 16, 0.15)
    assert together(labels(method, x, 6)) == together(topic)


def test_spectral_looks_at_its_draw_alone(monkeypatch):
    fit, seen = spectral._fit, []
    monkeypatch.setattr(spectral, "_fit", lambda x_SD, k, seed: seen.append(len(x_SD)) or fit(x_SD, k, seed))
    monkeypatch.setattr(spectral, "MOST_ROWS", 50)
    x, _ = around_topics(300, 6, 16, 0.15)
    labels("spectral", x, 6)
    labels("spectral", x, 80)  # as many rows as clusters at least
    assert seen == [50, 80]


def test_clusters_without_a_row_are_none():
    assert without_gaps(np.array([5, -1, 2, 5])).tolist() == [1, -1, 0, 1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_equal_rows_are_one_cluster_or_some(method, k):
    found = labels(method, unit_rows(*[30] * 5), k)
    assert len(found) == 5
    assert set(found.tolist()) <= set(range(-1, k))


@pytest.mark.parametrize("method", ["kmeans", "spectral", "gaussian_mixture"])
def test_one_row_is_one_cluster(method):
    assert labels(method, unit_rows(30), 1).tolist() == [0]


@pytest.mark.parametrize("method", ["kmeans", "spectral", "gaussian_mixture"])
@pytest.mark.parametrize("k", [1, 5, 6])
def test_as_many_clusters_as_rows(method, k):
    found = labels(method, unit_rows(0, 30, 60, 90, 120, 150), k)
    assert len(set(found.tolist())) == k


def test_hdbscan_is_scikit_learns():
    x, _ = around_topics(800, 8, 8, 0.6)
    ours = labels("hdbscan", x, 0, min_cluster_size=15, min_samples=5, metric="manhattan")
    theirs = HDBSCAN(min_cluster_size=15, min_samples=5, metric="manhattan", copy=True).fit(x.astype(float)).labels_
    assert ours.tolist() == theirs.tolist()
    assert 0 < (ours == -1).mean() < 1


def test_hdbscan_leaves_what_is_alone_as_noise():
    found = labels("hdbscan", unit_rows(0, 1, 2, 3, 90, 91, 92, 93, 200), 0, min_cluster_size=3, min_samples=2)
    assert together(found) == {frozenset({0, 1, 2, 3}), frozenset({4, 5, 6, 7}), frozenset({8})}
    assert found[8] == -1


def test_hdbscan_of_a_large_pool(monkeypatch):
    """A draw of a quarter is clustered with a quarter of min_cluster_size; the others take the closest one's label."""
    monkeypatch.setattr(hdbscan, "MOST_ROWS", 400)
    x, topic = around_topics(1600, 6, 16, 0.15)
    found = labels("hdbscan", x, 0, min_cluster_size=80)
    assert together(found) == together(topic)
    assert hdbscan.scaled(clustering(min_cluster_size=80), 0.25) == (20, 20)
    assert hdbscan.scaled(clustering(min_cluster_size=80, min_samples=10), 0.25, size=2, samples=0.2) == (40, 1)


def test_the_cost_of_hdbscan_is_bounded():
    assert [hdbscan.most_rows(width, "euclidean") for width in (8, 32, 1024)] == [20_000, 20_000, 4_096]
    assert hdbscan.most_rows(32, "cosine") == 8_192  # all distances at once


def test_the_grid_takes_what_is_most_valid():
    # two cones of 40 rows: at 100 rows a cluster there is none, at half of that two; the elements of the grid in order
    x, topic = around_topics(80, 2, 8, 0.1)
    params = {"min_cluster_size": 45, "min_samples": 5}
    assert set(labels("hdbscan", x, 0, **params).tolist()) == {-1}
    assert together(labels("hdbscan", x, 0, **params, auto_tune=True)) == together(topic)
    assert hdbscan.tuned(x, clustering(**params), 0) == (0.5, 1.0)


def test_validity_by_hand():
    x, label = unit_rows(0, 10, 90, 100, 45), np.array([0, 0, 1, 1, -1])
    silhouette = silhouette_samples(x[:4], label[:4], metric="cosine").mean()
    assert hdbscan.validity(x, label) == pytest.approx(silhouette * 4 / 5)
    assert hdbscan.validity(x, np.array([0, 0, 0, 0, -1])) == -1


def test_others_follow_the_closest_row_or_the_closest_centre():
    x = unit_rows(0, 40, 100, 2, 65, 98)  # drawn: the first three; the mean of 0 and 40 is at 20
    drawn, label = np.array([0, 1, 2]), np.array([0, 0, 1], dtype=np.int32)
    assert samples.follow_centres(x, drawn, label).tolist() == [0, 0, 1, 0, 1, 1]  # 65: 45 from 20
    assert samples.follow_rows(x, drawn, np.array([-1, 3, 1], dtype=np.int32)).tolist() == [-1, 3, 1, -1, 3, 1]


def test_a_draw_is_seeded_and_whole_where_it_can_be():
    assert samples.draw(5, 9, np.random.default_rng(0)).tolist() == [0, 1, 2, 3, 4]
    drawn = samples.draw(1000, 10, np.random.default_rng(1)).tolist()
    assert drawn == sorted(set(drawn)) == samples.draw(1000, 10, np.random.default_rng(1)).tolist()


@pytest.mark.parametrize(
    ("gap", "expected"),
    # the normalised curve is farthest below the chord at the bend
    [([1.0, 0.6, 0.2, 0.15, 0.1, 0.05], 3), ([1.0, 0.2, 0.15, 0.1, 0.05, 0.0], 2), ([0.5] * 6, 1)],
)
def test_the_knee_by_hand(gap, expected):
    assert elbow.knee([1, 2, 3, 4, 5, 6], gap) == expected


def test_a_curve_without_a_bend_gives_the_smallest_number(caplog):
    with caplog.at_level("INFO"):
        assert elbow.knee([2, 3, 4, 5], [0.4, 0.3, 0.2, 0.1]) == 2
    assert elbow.knee([7, 9], [0.4, 0.1]) == 7
    assert "no bend from 2 to 5" in caplog.text


def test_numbers_that_are_tried():
    assert elbow.numbers(2, 6) == [2, 3, 4, 5, 6]
    assert elbow.numbers(9, 9) == [9]
    tried = elbow.numbers(5, 200)
    assert (tried[0], tried[-1], len(tried)) == (5, 200, 12)


def test_the_elbow_is_where_the_topics_are():
    x, _ = around_topics(1500, 9, 32, 0.3)
    found = elbow.find_elbow(x, clustering(k_range=[2, 20]), 0)
    assert found.clusters in (8, 9, 10, 11)
    assert [row["clusters"] for row in found.rows() if row["chosen"]] == [found.clusters]
    assert found == elbow.find_elbow(x, clustering(k_range=[2, 20]), 0)
    assert found.gap[0] > found.gap[-1] > 0
    assert elbow.find_elbow(x[:6], clustering(k_range=[2, 20]), 0).tried[-1] == 6  # no more than there are rows


def test_the_elbow_draws_as_many_rows_as_the_fewest_clusters(monkeypatch):
    monkeypatch.setattr(elbow, "ELBOW_ROWS", 10)
    x, _ = around_topics(60, 9, 32, 0.3)
    assert elbow.find_elbow(x, clustering(k_range=[20, 30]), 0).tried == [20]


def test_sizes_noise_and_silhouette_by_hand():
    x, label = unit_rows(0, 10, 90, 100, 110, 45), np.array([0, 0, 1, 1, 1, -1])
    silhouette = silhouette_samples(x[:5], label[:5], metric="cosine").mean()
    assert describe(x, label, 0) == {
        "count": 2,
        "smallest": 2,
        "median": 2.5,
        "largest": 3,
        "noise": pytest.approx(1 / 6),
        "silhouette": pytest.approx(silhouette, rel=1e-4),
    }
    assert describe(x, np.full(6, -1), 0) == {"count": 0, "noise": 1.0}
    assert describe(x, np.zeros(6, dtype=int), 0) == {"count": 1, "smallest": 6, "median": 6.0, "largest": 6}


def test_a_mixture_sees_what_is_wide_and_what_is_narrow():
    """One Gaussian lies in the midst of another one that is eight times as wide, which k-means cannot part."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 2, 2000)
    x = (rng.normal(0, 1, (2000, 8)) * np.where(wide, 0.4, 0.05)[:, None]).astype(np.float32)
    assert adjusted_rand_score(wide, labels("gaussian_mixture", x, 2)) > 0.95
    assert adjusted_rand_score(wide, labels("kmeans", x / np.linalg.norm(x, axis=1)[:, None], 2)) < 0.1
