"""Strategies: budgets, orders, ties, randomness."""

from typing import get_args

import numpy as np
import pyarrow as pa
import pytest

from mygo.params import SelectParams
from mygo.selection.strategies import ORDERS, STRATEGIES, budget_of, number_clusters, places_in_cluster, rank_rows


def keys(*pairs):
    return pa.table(
        {
            "source_dataset": [name for name, _ in pairs],
            "source_index": pa.array([index for _, index in pairs], pa.int64()),
        }
    )


def test_registry_walks():
    assert set(STRATEGIES) == set(get_args(SelectParams.model_fields["strategy"].annotation))
    ranked = np.array([4, 2, 0, 7])
    for name, strategy in STRATEGIES.items():
        rows = strategy(ranked, np.array([0, 0, 1, 0]), 3, np.random.default_rng(0))
        assert len(rows) == len(set(rows.tolist())) == (4 if name == "full" else 3)
        assert set(rows.tolist()) <= set(ranked.tolist())


@pytest.mark.parametrize(
    ("ratio", "rows", "expected"),
    [
        (0.1, 30, 3),
        (0.2, 7, 2),
        (0.7, 10, 7),
        (0.07, 100, 7),
        (0.29, 100, 29),
        (1e-5, 200_000, 2),
        (1.0, 9, 9),
        (1, 9, 9),
        (0.05, 20, 1),
        (0.05, 21, 2),
    ],
)
def test_budget_is_exact(ratio, rows, expected):
    assert budget_of(ratio, rows) == expected


def test_top_takes_the_best():
    assert STRATEGIES["top"](np.array([5, 1, 3]), np.zeros(3), 2, np.random.default_rng(0)).tolist() == [5, 1]


@pytest.mark.parametrize(
    ("budget", "expected"),
    # best first: 8 (cluster 2), 3 (2), 5 (0), 1 (2), 7 (1), 2 (0); clusters by their best: 2, 0, 1
    # rounds: 8 5 7 | 3 2 | 1
    [(1, [8]), (2, [8, 5]), (4, [8, 5, 7, 3]), (5, [8, 5, 7, 3, 2]), (6, [8, 5, 7, 3, 2, 1])],
)
def test_round_robin_by_hand(budget, expected):
    ranked, cluster = np.array([8, 3, 5, 1, 7, 2]), np.array([2, 2, 0, 2, 1, 0])
    assert STRATEGIES["cluster_round_robin"](ranked, cluster, budget, np.random.default_rng(0)).tolist() == expected


def test_noise_is_drawn_when_all_else_is():
    ranked, cluster = np.array([8, 3, 5, 1, 7, 2]), np.array([-1, 2, -1, 2, 1, 0])
    rows = STRATEGIES["cluster_round_robin"](ranked, cluster, 6, np.random.default_rng(0))
    assert rows.tolist() == [3, 7, 2, 1, 8, 5]
    assert number_clusters(cluster).tolist() == [-1, 0, -1, 0, 1, 2]


def test_round_robin_over_one_cluster_is_top():
    ranked = np.random.default_rng(0).permutation(50)
    rows = STRATEGIES["cluster_round_robin"](ranked, np.full(50, 7), 20, np.random.default_rng(0))
    assert rows.tolist() == ranked[:20].tolist()


def test_clusters_are_numbered_by_their_first():
    assert number_clusters(np.array([4, 4, 0, 9, 0, 4])).tolist() == [0, 0, 1, 2, 1, 0]
    assert places_in_cluster(np.array([4, 4, 0, 9, 0, 4])).tolist() == [0, 1, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("order", "expected"),
    # scores 1 4 9 6 -, median 5: distances 4 1 4 1; ties by source: row 1 before row 3, row 0 before row 2
    [("highest", [2, 3, 1, 0]), ("lowest", [0, 1, 3, 2]), ("middle", [1, 3, 0, 2])],
)
def test_orders(order, expected):
    score = np.array([1.0, 4.0, 9.0, 6.0, np.nan])
    rows = keys(("a", 0), ("a", 1), ("a", 2), ("a", 3), ("a", 4))
    assert rank_rows(ORDERS[order](score), rows).tolist() == expected


def test_ties_go_by_dataset_then_index():
    # by text: "B" < "a" < "é"; by number: 9 < 10
    rows = keys(("é", 0), ("a", 10), ("a", 9), ("B", 99), ("a", 11))
    assert rank_rows(np.array([1.0, 1.0, 1.0, 1.0, 2.0]), rows).tolist() == [4, 3, 2, 1, 0]


def test_ranks_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    pairs = [(f"set_{i % 7}", i // 7) for i in range(500)]
    score = rng.integers(0, 5, 500).astype(float)  # a hundred ties for each score
    expected = [pairs[row] for row in rank_rows(score, keys(*pairs))]
    shuffled = rng.permutation(500)
    other = [pairs[i] for i in shuffled]
    assert [other[row] for row in rank_rows(score[shuffled], keys(*other))] == expected


def test_random_is_seeded_and_blind_to_the_score():
    rows, cluster = np.arange(1000), np.zeros(1000)
    draw = STRATEGIES["random"]
    first = set(draw(rows, cluster, 100, np.random.default_rng(1)).tolist())
    assert set(draw(rows[::-1], cluster, 100, np.random.default_rng(1)).tolist()) == first  # ranked the other way round
    assert set(draw(rows, cluster, 100, np.random.default_rng(2)).tolist()) != first
    assert abs(np.mean(list(first)) - 499.5) < 4 * 288.7 / 10  # uniform: within four standard errors
