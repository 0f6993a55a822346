"""Strategies: orders, ties, randomness."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest

from mygo.params import SelectParams
from mygo.selection.ranking import ORDERS, rank_rows
from mygo.selection.strategies import STRATEGIES, Candidates
from mygo.selection.strategies.clustered import number_clusters, places_in_group
from tests.selection.by_hand import make_params


def candidates(ranked, cluster=None, source=None, score=None, most=3, features=None, seed=0, **params):
    size, rows = len(ranked), np.array(ranked)
    spread = np.zeros((size, 2), dtype=np.float32)
    return Candidates(
        ranked=rows,
        score_R=-np.arange(size, dtype=float) if score is None else np.array(score, dtype=float),
        cluster_R=np.zeros(size, dtype=int) if cluster is None else np.array(cluster),
        source_R=np.zeros(size, dtype=int) if source is None else np.array(source),
        most=most,
        features=features or (lambda _rows: spread),
        params=make_params(**params),
        rng=np.random.default_rng(seed),
    )


def keys(*pairs):
    return pa.table(
        {
            "source_dataset": [name for name, _ in pairs],
            "source_index": pa.array([index for _, index in pairs], pa.int64()),
        }
    )


def test_registry_walks():
    assert set(STRATEGIES) == set(get_args(SelectParams.model_fields["strategy"].annotation))
    seen = candidates([4, 2, 0, 7], cluster=[0, 0, 1, 0], source=[0, 1, 0, 0])
    seen = replace(seen, params=make_params(strategy="threshold", threshold=-1.0))
    for name, strategy in STRATEGIES.items():
        rows = strategy(seen).tolist()
        assert sorted(rows) == ([2, 4] if name == "threshold" else [0, 2, 4, 7])


def test_top_and_full_go_by_rank():
    for name in ("top", "full"):
        assert STRATEGIES[name](candidates([5, 1, 3])).tolist() == [5, 1, 3]


@pytest.mark.parametrize(
    ("order", "score", "expected"),
    [("highest", [0.9, 0.5, 0.5, 0.4], [8, 3, 5]), ("lowest", [0.1, 0.5, 0.6, 0.7], [8, 3])],
)
def test_a_threshold_keeps_what_meets_it(order, score, expected):
    seen = candidates([8, 3, 5, 1], score=score, strategy="threshold", threshold=0.5, order=order)
    assert STRATEGIES["threshold"](seen).tolist() == expected


def test_round_robin_by_hand():
    # best first: 8 (cluster 2), 3 (2), 5 (0), 1 (2), 7 (1), 2 (0); clusters by their best: 2, 0, 1
    # rounds: 8 5 7 | 3 2 | 1
    seen = candidates([8, 3, 5, 1, 7, 2], cluster=[2, 2, 0, 2, 1, 0])
    assert STRATEGIES["cluster_round_robin"](seen).tolist() == [8, 5, 7, 3, 2, 1]


def test_round_robin_draws_noise_last():
    seen = candidates([8, 3, 5, 1, 7, 2], cluster=[-1, 2, 0, 2, -1, 0])
    assert STRATEGIES["cluster_round_robin"](seen).tolist() == [3, 5, 1, 2, 8, 7]


def test_noise_is_no_cluster_of_a_number():
    assert number_clusters(np.array([-1, 2, -1, 2, 1, 0])).tolist() == [-1, 0, -1, 0, 1, 2]


def test_round_robin_over_one_cluster_is_top():
    ranked = np.random.default_rng(0).permutation(50)
    seen = candidates(ranked, cluster=np.full(50, 7))
    assert STRATEGIES["cluster_round_robin"](seen).tolist() == ranked.tolist()


def test_clusters_are_numbered_by_their_first():
    assert number_clusters(np.array([4, 4, 0, 9, 0, 4])).tolist() == [0, 0, 1, 2, 1, 0]
    assert places_in_group(np.array([4, 4, 0, 9, 0, 4])).tolist() == [0, 1, 0, 0, 1, 2]


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


@pytest.mark.parametrize("name", ["random", "random_balanced"])
def test_chance_is_seeded_and_blind_to_the_score(name):
    rows, source = np.arange(1000), np.arange(1000) % 2

    def first(rows, source, seed):
        return STRATEGIES[name](candidates(rows, source=source, most=100, seed=seed))[:100].tolist()

    drawn = first(rows, source, 1)
    assert first(rows[::-1], source[::-1], 1) == drawn  # ranked the other way round
    assert first(rows, source, 2) != drawn
    assert abs(np.mean(drawn) - 499.5) < 4 * 288.7 / 10  # uniform: within four standard errors
    assert sorted(STRATEGIES[name](candidates(rows, source=source, most=100))) == rows.tolist()


def test_a_plain_draw_is_the_one_that_published_numbers_stand_on():
    rows = np.arange(40)
    expected = np.random.default_rng(3).choice(rows, 10, replace=False)
    assert STRATEGIES["random"](candidates(rows[::-1], most=10, seed=3))[:10].tolist() == expected.tolist()


def test_a_balanced_draw_takes_equal_numbers_while_a_source_lasts():
    source = np.array([0] * 90 + [1] * 6 + [2] * 4)
    order = STRATEGIES["random_balanced"](candidates(np.arange(100), source=source))
    assert np.bincount(source[order[:12]]).tolist() == [4, 4, 4]
    assert np.bincount(source[order[:20]]).tolist() == [10, 6, 4]
