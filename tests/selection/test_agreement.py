"""AUC and Wilson's interval against numbers worked by hand and reference libraries."""

import numpy as np
import pytest
from scipy.stats import binomtest, rankdata
from sklearn.metrics import roc_auc_score

from mygo.selection.agreement import auc, midranks, wilson


def test_auc_by_hand():
    # good 3, 2, 1; others 2, 0: pairs won 3>2 3>0 2>0 1>0 = 4, tied 2=2 = 0.5, of 6
    result = auc(np.array([3.0, 2.0, 0.0, 2.0, 1.0]), np.array([True, True, False, False, True]))
    assert result.value == pytest.approx(4.5 / 6)
    # each good sample beats 1, 0.75, 0.5 of the others: variance 0.0625; the others are beaten by 0.5, 1: variance
    # 0.125
    margin = 1.959964 * np.sqrt(0.0625 / 3 + 0.125 / 2)
    assert (result.low, result.high) == (pytest.approx(0.75 - margin), 1.0)  # cut at 1


def test_the_interval_is_cut_to_0_and_1():
    # the same turned round: 1.5 / 6, and the interval's low end is below 0
    result = auc(-np.array([3.0, 2.0, 0.0, 2.0, 1.0]), np.array([True, True, False, False, True]))
    margin = 1.959964 * np.sqrt(0.0625 / 3 + 0.125 / 2)
    assert (result.value, result.low, result.high) == (pytest.approx(0.25), 0.0, pytest.approx(0.25 + margin))


def test_two_of_each_have_an_interval():
    # good 4, 1; others 3, 2: each good sample beats 1, 0 of the others: variance 0.5; so do the others' shares 0.5, 0.5
    result = auc(np.array([4.0, 1.0, 3.0, 2.0]), np.array([True, True, False, False]))
    assert (result.value, result.low, result.high) == (0.5, 0.0, 1.0)  # 0.5 +- 1.96 * sqrt(0.5 / 2), cut
    # good 4, 3, 2, 1 (variance 0 of the shares 1 1 1 1): no width at all
    result = auc(np.array([4.0, 3.0, 0.0, -1.0]), np.array([True, True, False, False]))
    assert (result.value, result.low, result.high) == (1.0, 1.0, 1.0)


def test_auc_against_scikit_learn():
    rng = np.random.default_rng(0)
    good = rng.random(2000) < 0.3
    score = np.round(rng.normal(0, 1, 2000) + good, 1)  # with ties
    result = auc(score, good)
    assert result.value == pytest.approx(roc_auc_score(good, score))
    assert auc(-score, good).value == pytest.approx(1 - result.value)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    good = np.arange(300) < 150
    truth = 0.76025  # Phi(1 / sqrt 2): two normals one standard deviation apart
    hits = [truth_in(auc(rng.normal(0, 1, 300) + good, good), truth) for _ in range(400)]
    assert 0.92 < np.mean(hits) < 0.98


def truth_in(estimate, truth):
    return estimate.low < truth < estimate.high


def test_a_class_of_one_has_no_interval():
    score, first = np.array([3.0, 1.0, 2.0]), np.array([False, False, True])
    for good in (first, ~first):
        result = auc(score, good)
        assert (result.value, result.low, result.high) == (0.5, 0.0, 1.0)


def test_midranks_against_scipy():
    values = np.random.default_rng(0).integers(0, 9, 50)
    assert midranks(values).tolist() == rankdata(values).tolist()


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (3, 4), (50, 100), (7, 7), (1, 1)])
def test_wilson_against_scipy(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    result = wilson(successes, trials)
    assert result.value == successes / trials
    assert (result.low, result.high) == (pytest.approx(expected.low, abs=1e-6), pytest.approx(expected.high, abs=1e-6))
