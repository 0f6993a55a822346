"""Overlap with a published selection, by hand and against scipy's hypergeometric distribution."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from mygo.selection.agreement.overlap import overlap


def selection(rows, kept):
    return np.isin(np.arange(rows), kept)


def test_overlap_by_hand():
    # of 20 rows 4 are kept, 5 published, 3 common: by chance 4 * 5 / 20 = 1; together 6
    result = overlap(selection(20, [0, 1, 2, 3]), selection(20, [1, 2, 3, 8, 9]), np.arange(20), 0)
    assert (result.size, result.published, result.common, result.expected) == (4, 5, 3, 1.0)
    assert result.lift.value == pytest.approx(3.0)
    assert result.jaccard == pytest.approx(3 / 6)
    # ways for 3 or 4 common: (10 * 15 + 5) of 4845, twice
    assert result.lift.p == pytest.approx(2 * 155 / 4845)
    # Wilson for 3 of 4, as in test_report, over 5 / 20
    assert result.lift.low == pytest.approx(0.300642 * 4, abs=1e-4)
    assert result.lift.high == pytest.approx(0.954413 * 4, abs=1e-4)


def test_the_range_of_chance_against_scipy():
    rng = np.random.default_rng(0)
    kept, published = rng.permutation(5000) < 600, rng.permutation(5000) < 1000
    result = overlap(kept, published, np.arange(5000), 0)
    chance = hypergeom(5000, 1000, 600)
    assert (result.low, result.high) == tuple(chance.ppf([0.025, 0.975]))
    assert result.low <= result.expected <= result.high


def test_less_than_chance_is_as_far_as_more():
    # 2 of 4 kept, 2 published, none common: 1 of 6 ways, twice; the other tail is whole
    assert overlap(selection(4, [0, 1]), selection(4, [2, 3]), np.arange(4), 0).lift.p == pytest.approx(2 / 6)
    assert overlap(selection(4, [0, 1]), selection(4, [0, 2]), np.arange(4), 0).lift.p == 1.0


def test_prompts_widen_the_interval():
    """Thirty prompts of ten rows that are kept and published together or not at all."""
    rng = np.random.default_rng(1)
    prompt = np.repeat(np.arange(30), 10)
    kept, published = rng.random(30)[prompt] < 0.4, rng.random(30)[prompt] < 0.4
    rows, prompts = (overlap(kept, published, of, 0).lift for of in (np.arange(300), prompt))
    assert rows.value == prompts.value
    assert prompts.high - prompts.low > 2 * (rows.high - rows.low)


def test_of_one_prompt_everything_is_possible():
    # 2 of 4 kept, 1 published: at most that one is common, 1 * 4 / (2 * 1) = 2 times chance
    lift = overlap(selection(4, [0, 1]), selection(4, [0]), np.zeros(4, dtype=int), 0).lift
    assert (lift.value, lift.low, lift.high) == (2.0, 0.0, 2.0)
