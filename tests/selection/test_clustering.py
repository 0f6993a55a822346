"""Spherical k-means against numbers worked by hand and scikit-learn."""

import tracemalloc

import numpy as np
import pytest
from sklearn.cluster import KMeans

from mygo.selection import clustering
from mygo.selection.clustering import normalise, spherical_kmeans


def unit_rows(*degrees):
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def around_topics(rows, topics, width, noise, seed=0):
    """Rows of length 1 around random directions, and which direction each one is from."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, topics, rows)
    x = rng.normal(0, 1, (topics, width))[topic] + noise * rng.normal(0, 1, (rows, width))
    return normalise(x.astype(np.float32)), topic


def inertia(x, label):
    """Squared distances to the means, as scikit-learn's `inertia_`."""
    return sum(((x[label == cluster] - x[label == cluster].mean(axis=0)) ** 2).sum() for cluster in np.unique(label))


def together(label):
    """The clusters as sets of rows, whatever their numbers."""
    return {frozenset(np.flatnonzero(label == cluster).tolist()) for cluster in np.unique(label)}


def test_normalise_by_hand():
    x = np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(normalise(x), [[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_angles_by_hand(seed):
    # around 10, 100 and 200 degrees; the mean direction of unit vectors at a - d, a, a + d is a
    found = spherical_kmeans(unit_rows(5, 10, 15, 90, 100, 110, 199, 201), 3, np.random.default_rng(seed))
    assert together(found.label_R) == {frozenset({0, 1, 2}), frozenset({3, 4, 5}), frozenset({6, 7})}
    middle = {0: 10, 3: 100, 6: 200}
    np.testing.assert_allclose(found.centre_KD, unit_rows(*(middle[first] for first in first_rows(found))), atol=1e-6)
    assert found.label_R.dtype == np.int32


def first_rows(found):
    return [int(np.flatnonzero(found.label_R == cluster)[0]) for cluster in range(len(found.centre_KD))]


def test_length_does_not_matter_direction_does():
    x = np.array(
        [[1.0, 0.0], [9.0, 0.1], [0.0, 1.0], [0.1, 9.0]], dtype=np.float32
    )  # Euclidean k-means puts 0 and 2 together
    assert together(spherical_kmeans(normalise(x), 2, np.random.default_rng(0)).label_R) == {
        frozenset({0, 1}),
        frozenset({2, 3}),
    }


@pytest.mark.parametrize("seed", range(3))
def test_clear_topics_are_found(seed):
    x, topic = around_topics(2000, 12, 32, 0.2, seed)
    assert together(spherical_kmeans(x, 12, np.random.default_rng(seed)).label_R) == together(topic)


def test_inertia_against_scikit_learn():
    """Both find local optima: over a few seeds the best of ours is within 1 % of the best of theirs, either way."""
    x, _ = around_topics(3000, 40, 24, 1.0)
    ours = min(inertia(x, spherical_kmeans(x, 25, np.random.default_rng(seed)).label_R) for seed in range(4))
    theirs = min(KMeans(25, n_init=1, random_state=seed).fit(x).inertia_ for seed in range(4))
    assert ours == pytest.approx(theirs, rel=0.01)


def test_the_result_is_a_fixed_point():
    """Every row is in the cluster whose centre is closest, every centre is the mean direction of its rows, kept up to
    date while rows move.
    """
    x, _ = around_topics(2000, 30, 16, 1.0)
    found = spherical_kmeans(x, 20, np.random.default_rng(0))
    assert 3 < found.iterations < clustering.MAX_ITERATIONS
    assert (x @ found.centre_KD.T).argmax(axis=1).tolist() == found.label_R.tolist()
    means = np.stack([x[found.label_R == cluster].mean(axis=0) for cluster in range(20)])
    np.testing.assert_allclose(found.centre_KD, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-5)


def test_the_same_seed_gives_the_same_clusters():
    x, _ = around_topics(1000, 20, 16, 1.0)
    first, again, other = (spherical_kmeans(x, 10, np.random.default_rng(seed)).label_R.tolist() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("rows", [1, 7, 10**6])
def test_chunks_do_not_change_the_result(monkeypatch, rows):
    x, _ = around_topics(500, 20, 16, 0.6)
    expected = spherical_kmeans(x, 10, np.random.default_rng(0)).label_R.tolist()
    monkeypatch.setattr(clustering, "CHUNK_VALUES", 10 * rows)
    monkeypatch.setattr(clustering, "CHUNK_ROWS", rows)
    assert spherical_kmeans(x, 10, np.random.default_rng(0)).label_R.tolist() == expected


def test_iterations_end(caplog):
    x, _ = around_topics(2000, 30, 16, 1.0)
    with caplog.at_level("INFO"):
        assert spherical_kmeans(x, 20, np.random.default_rng(0), max_iterations=2).iterations == 2
    assert "samples still changed their cluster in iteration 2, the last one" in caplog.text


@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_no_cluster_is_empty_even_if_rows_are_equal(k):
    # two directions only, so that k-means++ must take equal rows
    found = spherical_kmeans(unit_rows(0, 0, 0, 90, 90, 0), k, np.random.default_rng(0))
    assert sorted(set(found.label_R.tolist())) == list(range(k))
    assert found.iterations < clustering.MAX_ITERATIONS


def test_an_empty_cluster_gets_the_worst_row_that_may_leave():
    # row 3 fits worst, but it is alone in cluster 1; row 1 is next
    closest, similarity = np.array([0, 0, 0, 1]), np.array([0.9, 0.3, 0.8, 0.1])
    clustering._fill_empty(closest, similarity, 4)
    assert closest.tolist() == [0, 2, 3, 1]


def test_memory_does_not_grow_with_rows_times_clusters():
    x, _ = around_topics(20_000, 20, 8, 1.0)
    tracemalloc.start()
    spherical_kmeans(x, 400, np.random.default_rng(0), max_iterations=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 400 * 4  # what all similarities would take at once
