"""Statistics over seeds, against numbers worked by hand and against scipy's own tests."""

import math

import numpy as np
import pytest
from scipy import stats

from mygo.comparison.pairing import paired_difference, spread


def test_spread_by_hand():
    # 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, sd sqrt(14 / 2)
    found = spread([1, 2, 6])
    assert (found.mean, found.sd, found.n) == (3, pytest.approx(math.sqrt(7)), 3)
    assert math.isnan(spread([4.0]).sd)


def test_paired_interval_by_hand():
    # d = (1, 2, 6): mean 3, sd sqrt(7), t(2, .975) = 4.302653, half = 4.302653 sqrt(7 / 3) = 6.572414
    found = paired_difference({0: 11.0, 1: 22.0, 2: 36.0}, {0: 10.0, 1: 20.0, 2: 30.0})
    assert (found.mean, found.n) == (3, 3)
    assert (found.low, found.high) == pytest.approx((3 - 6.572414, 3 + 6.572414), abs=1e-5)


def test_seeds_are_paired_by_their_number_and_only_where_both_ran():
    found = paired_difference({3: 1.0, 1: 0.0, 7: 100.0}, {1: 0.5, 3: 0.0})
    assert (found.mean, found.n) == (0.25, 2)  # d = (-0.5, 1)
    with pytest.raises(ValueError, match="no seed in common"):
        paired_difference({0: 1.0}, {1: 1.0})


def test_one_seed_has_no_interval():
    found = paired_difference({0: 0.75}, {0: 0.5})
    assert found.mean == 0.25
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_the_interval_is_that_of_scipys_paired_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.6, 0.03, 5), rng.normal(0.58, 0.03, 5)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    found = paired_difference(dict(enumerate(a)), dict(enumerate(b)))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    drawn = rng.normal(0.02, 0.05, (2000, 5))
    inside = [
        found.low <= 0.02 <= found.high
        for found in (paired_difference(dict(enumerate(row)), dict.fromkeys(range(5), 0.0)) for row in drawn)
    ]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
