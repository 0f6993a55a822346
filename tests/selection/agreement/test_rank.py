"""Spearman's correlation against numbers worked by hand and scipy."""

import math

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from mygo.selection.agreement.bootstrap import draws
from mygo.selection.agreement.rank import Ranks, spearman


def test_spearman_by_hand():
    # ranks 1 2 3 4 5 against 2 1 4 3 5: sum of squared differences 4, r = 1 - 6 * 4 / (5 * 24) = 0.8
    result = spearman(np.array([1.0, 5, 6, 8, 90]), np.array([20.0, 10, 40, 30, 50]), np.arange(5), 0)
    assert result.value == pytest.approx(0.8)
    # Bonett & Wright: sqrt((1 + .64 / 2) / 2) on atanh(0.8)
    error = math.sqrt(1.32 / 2)
    assert result.low == pytest.approx(math.tanh(math.atanh(0.8) - 1.959964 * error))
    assert result.high == pytest.approx(math.tanh(math.atanh(0.8) + 1.959964 * error))
    assert result.p == pytest.approx(math.erfc(math.atanh(0.8) / error / math.sqrt(2)))


@pytest.mark.parametrize("repeat", [1, 3])
def test_spearman_against_scipy(repeat):
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(0, 1, 300), 1)
    y = np.round(x + rng.normal(0, 2, 300))
    expected = spearmanr(x, y)
    result = spearman(x, y, np.arange(300) // repeat, 0)
    assert result.value == pytest.approx(expected.statistic)
    assert result.low < result.value < result.high
    assert math.log(result.p) == pytest.approx(math.log(expected.pvalue), rel=0.35)


def test_ranks_of_rows_that_are_there_several_times():
    rng = np.random.default_rng(0)
    x_NK = rng.integers(0, 6, (30, 3)).astype(float)
    times = rng.integers(0, 4, 30)
    ranks = Ranks(x_NK)(times.astype(float))
    for column, ours in zip(x_NK.T, ranks.T, strict=True):
        assert np.repeat(ours, times).tolist() == rankdata(np.repeat(column, times)).tolist()


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_few_rows_have_no_interval(rows):
    result = spearman(np.arange(rows, dtype=float), np.arange(rows, dtype=float), np.arange(rows), 0)
    assert result is None if rows == 1 else (result.low, result.high, result.p) == (-1, 1, 1)


def test_what_does_not_vary_has_no_correlation():
    assert spearman(np.zeros(9), np.arange(9.0), np.arange(9), 0) is None
    assert spearman(np.arange(9.0), np.zeros(9), np.arange(9) // 2, 0) is None


def test_prompts_widen_the_interval_and_the_seed_decides_it():
    """Each prompt's answers are the same row five times: 40 independent ones, not 200."""
    rng = np.random.default_rng(2)
    x, y = np.repeat(rng.normal(0, 1, 40), 5), np.repeat(rng.normal(0, 1, 40), 5)
    prompt = np.repeat(np.arange(40), 5)
    rows, prompts = spearman(x, y, np.arange(200), 0), spearman(x, y, prompt, 0)
    assert (prompts.high - prompts.low) / (rows.high - rows.low) == pytest.approx(math.sqrt(5), rel=0.25)
    assert spearman(x, y, prompt, 0) == prompts
    assert spearman(x, y, prompt, 1) != prompts


def test_prompts_are_drawn_whole():
    prompt = np.array([4, 4, 9, 2, 2, 2])
    for weight in list(draws(prompt, 0))[:50]:
        assert weight[0] == weight[1]
        assert weight[3] == weight[4] == weight[5]
        assert weight[0] + weight[2] + weight[3] == 3


def test_one_prompt_says_nothing():
    """Every draw of it is the same: no spread is no certainty."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(0, 1, (2, 40))
    result = spearman(x, y, np.zeros(40, dtype=int), 0)
    assert (result.low, result.high, result.p) == (-1, 1, 1)
