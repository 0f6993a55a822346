"""Partial rank correlation by the formula for one variable, by the inverse of the correlations for more."""

import math

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from mygo.selection.agreement.partial import partial


def one(score, label, held, prompt=None, seed=0):
    prompt = np.arange(len(label)) if prompt is None else prompt
    return partial(np.column_stack([score]), label, np.column_stack(held), prompt, seed)[0]


def test_one_variable_by_hand():
    # ranks x 1 2 3 4 5, y 2 1 4 3 5, z 1 3 2 5 4: r_xy = 1 - 6*4/120 = .8, r_xz = .8, r_yz: d 1 -2 2 -2 1 = 14 -> .3
    x, y, z = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5]), np.array([1.0, 3, 2, 5, 4])
    assert one(x, y, [z]).value == pytest.approx((0.8 - 0.8 * 0.3) / math.sqrt((1 - 0.64) * (1 - 0.09)))


def made(rows=400, seed=0):
    rng = np.random.default_rng(seed)
    held = [np.round(rng.normal(0, 1, rows), 1) for _ in range(3)]
    score = held[0] + rng.normal(0, 1, rows)
    label = (held[0] + 0.3 * score + rng.normal(0, 1, rows) > 0).astype(float)
    return score, label, held


def test_more_variables_are_the_inverse_of_the_rank_correlations():
    score, label, held = made()
    precision = np.linalg.inv(np.corrcoef([rankdata(column) for column in (score, label, *held)]))
    result = one(score, label, held)
    assert result.value == pytest.approx(0.237608, abs=1e-6)  # pingouin 0.7.0, partial_corr(method="spearman")
    assert result.value == pytest.approx(-precision[0, 1] / math.sqrt(precision[0, 0] * precision[1, 1]))
    error = math.sqrt((1 + result.value**2 / 2) / (400 - 3 - 3))
    assert result.low == pytest.approx(math.tanh(math.atanh(result.value) - 1.959964 * error))


def test_nothing_held_is_spearman():
    score, label, _ = made()
    assert one(score, label, [np.zeros(400)]).value == pytest.approx(spearmanr(score, label).statistic)


def test_a_score_that_is_held_itself_knows_nothing_more():
    score, label, held = made()
    assert one(held[1] * 3 + 1, label, held) is None
    assert one(score, held[0], held) is None


def test_scores_side_by_side_are_scores_one_by_one():
    score, label, held = made()
    prompt = np.arange(400) // 2
    both = partial(np.column_stack([score, -held[2], score**3]), label, np.column_stack(held), prompt, 5)
    alone = one(score, label, held, prompt, 5)
    for result in (both[0], both[2]):
        assert (result.value, result.low, result.p) == pytest.approx((alone.value, alone.low, alone.p))
    assert both[1] is None


def test_what_length_explains_is_gone():
    """Score and label both follow length: they agree, and beyond length they do not."""
    rng = np.random.default_rng(4)
    length = rng.normal(0, 1, 500)
    score, label = length + rng.normal(0, 0.5, 500), length + rng.normal(0, 0.5, 500)
    assert spearmanr(score, label).statistic > 0.7
    result = one(score, label, [length])
    assert result.low < 0 < result.high
    assert result.p > 0.05


@pytest.mark.parametrize("repeat", [1, 4])
def test_intervals_cover_nothing_as_often_as_they_say(repeat, monkeypatch):
    monkeypatch.setattr("mygo.selection.agreement.bootstrap.RESAMPLES", 100)
    hits, prompts = [], 60
    for seed in range(80):
        rng = np.random.default_rng(seed)
        prompt = np.repeat(np.arange(prompts), repeat)
        of_prompt = rng.normal(0, 1, (3, prompts))[:, prompt]
        length, score, label = of_prompt + 0.5 * rng.normal(0, 1, of_prompt.shape)
        result = one(score + length, label + length, [length], prompt)
        hits.append(result.low < 0 < result.high)
    assert 0.86 < np.mean(hits) <= 0.99


def test_too_few_rows_say_nothing():
    result = one(np.array([1.0, 3, 2, 4]), np.array([1.0, 2, 3, 4]), [np.array([2.0, 1, 4, 3])])
    assert (result.low, result.high, result.p) == (-1, 1, 1)


def test_one_prompt_says_nothing():
    score, label, held = np.random.default_rng(5).normal(0, 1, (3, 40))
    result = one(score, label, [held], np.zeros(40, dtype=int))
    assert (result.low, result.high, result.p) == (-1, 1, 1)
