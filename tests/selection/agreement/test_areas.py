"""AUC and Wilson's interval against numbers worked by hand and reference libraries."""

import numpy as np
import pytest
from scipy.stats import binomtest, mannwhitneyu, norm, rankdata
from sklearn.metrics import roc_auc_score

from mygo.selection.agreement.areas import auc, midranks, wilson


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


def test_prompts_of_one_row_each_are_delongs():
    rng = np.random.default_rng(1)
    good, score = rng.random(60) < 0.4, np.round(rng.normal(0, 1, 60), 1)
    plain, alone = auc(score, good), auc(score, good, rng.permutation(60))
    assert (alone.value, alone.low, alone.high) == (
        plain.value,
        pytest.approx(plain.low),
        pytest.approx(plain.high),
    )


def test_obuchowskis_variance_by_hand():
    # prompts a: good 3, other 1; b: good 2; c: other 0, other 2. AUC: 3 beats 1 0 2, 2 beats 1 0 and ties 2: 5.5 / 6
    score = np.array([3.0, 1.0, 2.0, 0.0, 2.0])
    good = np.array([True, False, True, False, False])
    prompt = np.array([7, 7, 5, 9, 9])
    result = auc(score, good, prompt)
    # shares 1, 2.5/3 of the good, minus 11/12: a 1/12, b -1/12
    # of the others (1: 1, 0: 1, 2: 0.75), minus 11/12: a 1/12, c 1/12 - 1/6
    of_good = 2 / 1 * (2 / 144) / 2**2
    of_others = 2 / 1 * (2 / 144) / 3**2
    both = 3 / 2 * (1 / 144) / (2 * 3)
    margin = 1.959964 * np.sqrt(of_good + of_others + 2 * both)
    assert result.value == pytest.approx(5.5 / 6)
    assert result.low == pytest.approx(5.5 / 6 - margin)


def test_a_class_within_one_prompt_has_no_interval():
    result = auc(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False]), np.array([0, 0, 1, 2]))
    assert (result.value, result.low, result.high, result.p) == (1.0, 0.0, 1.0, 1.0)


def test_clustered_intervals_cover_the_truth_where_delongs_do_not():
    """Forty prompts of ten answers, score and label both moved by the prompt, apart from it by chance: the area is 1/2
    over worlds.
    """
    rng, plain, clustered = np.random.default_rng(0), [], []
    prompt = np.repeat(np.arange(40), 10)
    for _ in range(300):
        good = (rng.normal(0, 1, 40)[prompt] + rng.normal(0, 1, 400)) > 0
        score = rng.normal(0, 1, 40)[prompt] + rng.normal(0, 1, 400)
        plain.append(truth_in(auc(score, good), 0.5))
        clustered.append(truth_in(auc(score, good, prompt), 0.5))
    assert np.mean(plain) < 0.85
    assert 0.90 < np.mean(clustered) < 0.98


def test_p_is_mann_whitneys_where_the_score_separates():
    # good 5, 4, 4, others 3, 1, 1: no variance of its own; ties 2 and 2 lose 2 * (8 - 2) / (6 * 5)
    score, good = np.array([5.0, 4.0, 4.0, 3.0, 1.0, 1.0]), np.array([True, True, True, False, False, False])
    result = auc(score, good)
    expected = mannwhitneyu(score[good], score[~good], use_continuity=False, method="asymptotic")
    assert (result.low, result.high) == (1.0, 1.0)
    assert result.p == pytest.approx(expected.pvalue)
    assert result.p == pytest.approx(2 * norm.sf(0.5 / np.sqrt((7 - 0.4) / 108)))


def test_p_of_many_rows_is_close_to_mann_whitneys():
    rng = np.random.default_rng(3)
    good = rng.random(1000) < 0.4
    score = rng.normal(0, 1, 1000) + 0.15 * good
    assert auc(score, good).p == pytest.approx(mannwhitneyu(score[good], score[~good]).pvalue, rel=0.1)


def test_equal_scores_say_nothing():
    result = auc(np.zeros(6), np.arange(6) < 3)
    assert (result.value, result.p) == (0.5, 1.0)
