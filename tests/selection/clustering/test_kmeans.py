"""Spherical k-means against numbers worked by hand and scikit-learn."""

import tracemalloc

import numpy as np
import pytest
from sklearn.cluster import KMeans

from mygo.selection.clustering import kmeans
from mygo.selection.clustering.kmeans import normalise, objective, spherical_kmeans
from mygo.selection.clustering.on_gpu import RowsOnDevice, device_of
from tests.selection.clustering.rows import around_topics, together, unit_rows


def inertia(x, label):
    """Squared distances to the means, as scikit-learn's `inertia_`."""
    return sum(((x[label == cluster] - x[label == cluster].mean(axis=0)) ** 2).sum() for cluster in np.unique(label))


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
    found = spherical_kmeans(x, 20, np.random.default_rng(0), gain=0)
    assert 3 < found.iterations < kmeans.MAX_ITERATIONS
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
    monkeypatch.setattr(kmeans, "CHUNK_VALUES", 10 * rows)
    monkeypatch.setattr(kmeans, "CHUNK_ROWS", rows)
    assert spherical_kmeans(x, 10, np.random.default_rng(0)).label_R.tolist() == expected


def test_an_iteration_that_gains_too_little_is_the_last():
    x, _ = around_topics(2000, 30, 16, 1.0)
    runs = [spherical_kmeans(x, 20, np.random.default_rng(0), n, gain=0) for n in range(1, 40)]
    gains = np.diff([found.objective for found in runs]) / [found.objective for found in runs[1:]]
    stopped = spherical_kmeans(x, 20, np.random.default_rng(0), gain=1e-3)
    assert stopped.iterations == 2 + int(np.argmax(gains < 1e-3)) > 2
    assert stopped.objective == runs[stopped.iterations - 1].objective


def test_the_objective_by_hand():
    # mean directions are at 10 and 90 degrees, the rows 10, 10 and 0 degrees away
    x = unit_rows(0, 20, 90)
    assert objective(x, np.array([0, 0, 1])) == pytest.approx((2 * np.cos(np.radians(10)) + 1) / 3)
    assert spherical_kmeans(x, 3, np.random.default_rng(0)).objective == pytest.approx(1)


def test_torch_finds_the_clusters_of_numpy(monkeypatch):
    """The same loop over another library's products: on the CPU as its device, which stands in for a GPU."""
    monkeypatch.setattr("mygo.selection.clustering.on_gpu.CHUNK_VALUES", 7_000)
    x, _ = around_topics(3000, 40, 24, 1.0)
    here = spherical_kmeans(x, 25, np.random.default_rng(0))
    there = spherical_kmeans(x, 25, np.random.default_rng(0), on=RowsOnDevice(x, "cpu"))
    assert there.objective == pytest.approx(here.objective, rel=1e-6)
    assert (there.label_R == here.label_R).mean() > 0.999
    np.testing.assert_allclose(there.centre_KD, here.centre_KD, atol=1e-3)


def test_without_a_gpu_torch_computes_on_the_cpu_and_auto_takes_numpy(monkeypatch):
    monkeypatch.setattr("mygo.selection.clustering.on_gpu.DRIVERS", ())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert (device_of("torch"), device_of("auto")) == ("cpu", None)


def test_iterations_end(caplog):
    x, _ = around_topics(2000, 30, 16, 1.0)
    with caplog.at_level("INFO"):
        assert spherical_kmeans(x, 20, np.random.default_rng(0), max_iterations=2).iterations == 2
    assert "k-means still gained in iteration 2, the last one" in caplog.text


@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_no_cluster_is_empty_even_if_rows_are_equal(k):
    # two directions only, so that k-means++ must take equal rows
    found = spherical_kmeans(unit_rows(0, 0, 0, 90, 90, 0), k, np.random.default_rng(0))
    assert sorted(set(found.label_R.tolist())) == list(range(k))
    assert found.iterations < kmeans.MAX_ITERATIONS


def test_an_empty_cluster_gets_the_worst_row_that_may_leave():
    # row 3 fits worst, but it is alone in cluster 1; row 1 is next
    closest, similarity = np.array([0, 0, 0, 1]), np.array([0.9, 0.3, 0.8, 0.1])
    kmeans._fill_empty(closest, similarity, 4)
    assert closest.tolist() == [0, 2, 3, 1]


def test_memory_does_not_grow_with_rows_times_clusters():
    x, _ = around_topics(20_000, 20, 8, 1.0)
    tracemalloc.start()
    spherical_kmeans(x, 400, np.random.default_rng(0), max_iterations=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 400 * 4  # what all similarities would take at once
