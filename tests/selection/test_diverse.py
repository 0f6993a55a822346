"""Strategies that spread over the features: by hand, against plain loops, blind to the order of rows."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from mygo.errors import UserError
from mygo.selection.clustering.kmeans import normalise
from mygo.selection.strategies import STRATEGIES, diverse
from tests.selection.test_strategies import candidates


def angles(*degrees):
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def over(x_RD, ranked=None, most=3, seed=0):
    rows = np.arange(len(x_RD)) if ranked is None else np.array(ranked)
    return candidates(rows, most=most, features=lambda wanted: x_RD[wanted], seed=seed)


def test_k_center_by_hand():
    x_RD = angles(0, 10, 90, 45, 91)
    # first the best-ranked, then the farthest, then the farthest from both (45); the rest: 10 is farther than 90
    assert STRATEGIES["k_center"](over(x_RD)).tolist() == [0, 4, 3, 1, 2]
    assert STRATEGIES["k_center"](over(x_RD, ranked=[2, 4, 1, 0, 3], most=2)).tolist()[:2] == [2, 0]


def test_facility_location_by_hand():
    x_RD = np.zeros((6, 4), dtype=np.float32)
    x_RD[:3, :2], x_RD[3:5, 2], x_RD[5, 3] = angles(-9, 0, 9), 1, 1
    # the middle of the crowd, then of the pair (the best-ranked of two alike), then who stands alone
    assert STRATEGIES["facility_location"](over(x_RD)).tolist()[:3] == [1, 3, 5]


def test_of_equals_the_best_ranked_comes_first():
    x_RD = angles(0, 0, 0, 90, 90)
    for name in ("k_center", "facility_location"):
        assert STRATEGIES[name](over(x_RD, ranked=[2, 1, 4, 0, 3], most=2)).tolist()[:2] == [2, 4]
        assert sorted(STRATEGIES[name](over(np.tile(x_RD[:1], (5, 1)), most=4))) == [0, 1, 2, 3, 4]
        assert STRATEGIES[name](over(x_RD[:1], most=1)).tolist() == [0]


def test_equal_rows_stay_equal_in_a_matrix_product():
    """Where they stand decides how their cosines are rounded; of ten directions the ten best-ranked rows are taken."""
    for seed, features in ((0, 3), (1, 7), (2, 64), (3, 1024)):
        rng = np.random.default_rng(seed)
        direction = rng.integers(0, 10, 1003)
        x_RD = normalise(rng.normal(size=(10, features)).astype(np.float32))[direction]
        ranked = rng.permutation(1003)
        best = ranked[np.unique(direction[ranked], return_index=True)[1]]
        assert set(STRATEGIES["k_center"](over(x_RD, ranked, most=10))[:10].tolist()) == set(best.tolist())


def greedy(x_RD, most):
    """Facility location as its definition says it, without draws and blocks."""
    similarity, best, taken = 1 + x_RD.astype(np.float64) @ x_RD.T.astype(np.float64), np.zeros(len(x_RD)), []
    for _ in range(most):
        gains = np.maximum(similarity - best, 0).sum(axis=1)
        gains[taken] = -1
        taken.append(int(np.argmax(gains)))
        best = np.maximum(best, similarity[taken[-1]])
    return taken


def test_where_every_row_is_looked_at_it_is_greedy(monkeypatch):
    monkeypatch.setattr(diverse, "MISSED", 1e-99)
    x_RD = normalise(np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32))
    assert STRATEGIES["facility_location"](over(x_RD, most=40))[:40].tolist() == greedy(x_RD, 40)


def test_a_large_pool_is_covered_by_a_draw_of_it(monkeypatch):
    monkeypatch.setattr(diverse, "COVERED_ROWS", 200)
    rng = np.random.default_rng(0)
    x_RD = normalise(rng.normal(size=(1000, 8)).astype(np.float32))
    first = STRATEGIES["facility_location"](over(x_RD, most=20))
    assert first.tolist() == STRATEGIES["facility_location"](over(x_RD, most=20)).tolist()
    assert sorted(first.tolist()) == list(range(1000))

    def covered(rows):
        return (1 + x_RD @ x_RD[rows].T).max(axis=1).sum()

    chance = [covered(rng.choice(1000, 20, replace=False)) for _ in range(30)]
    assert covered(first[:20]) > max(chance)
    assert covered(first[:20]) > 0.97 * covered(np.array(greedy(x_RD, 20)))


@pytest.mark.parametrize("strategy", ["k_center", "facility_location"])
def test_a_run(write, made, strategy):
    samples = made.random_samples(30)
    for i, sample in enumerate(samples):
        sample.features = angles(120.0 * (i % 3) + i / 50)[0].tolist() if sample.n_tokens > 1 else None
    folders = write(samples, features="router_probs", shard_rows=30)
    result, out = made.run(folders, made.params(strategy=strategy, count=3))
    rows = pq.read_table(out / "scores.parquet").to_pylist()
    assert {i % 3 for i, row in enumerate(rows) if row["selected"]} == {0, 1, 2}
    assert {row["reason"] for row in rows} == {"kept", "below_budget", "too_short"}
    assert result.metrics["selected"] == 3
    with pytest.raises(
        UserError,
        match=r"^select\.clustering\.features: .*statistics holds no features of samples .*; takes gate_profile, text$",
    ):
        made.run(write(samples, name="other"), made.params(strategy=strategy))
