"""Holm's correction and intervals on Fisher's scale, by hand."""

import math

import pytest
from scipy.stats import norm

from mygo.selection.agreement.estimate import from_fisher, holm, two_sided


def test_holm_by_hand():
    # sorted .01 .02 .03 .5 times 4 3 2 1: .04, .06, .06 and not .05 below it would be less than .06 -> .06, .5
    assert holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])


def test_holm_never_falls_and_stays_below_one():
    # .02 * 3 = .06; .025 * 2 = .05 -> .06; .9 * 1; and .6 * 2 is cut to 1
    assert holm([0.02, 0.025, 0.9]) == pytest.approx([0.06, 0.06, 0.9])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_what_was_not_tested_does_not_count():
    assert holm([None, 0.02, None, 0.04]) == [None, 0.04, None, 0.04]
    assert holm([]) == []
    assert holm([0.0, 0.5]) == [0.0, 0.5]


def test_fishers_interval_by_hand():
    # r = tanh(1), error 0.5: tanh(1 -+ 0.979982), p of 2 standard errors
    result = from_fisher(math.tanh(1), 0.5)
    assert (result.low, result.high) == (pytest.approx(math.tanh(0.020018)), pytest.approx(math.tanh(1.979982)))
    assert result.p == pytest.approx(2 * norm.sf(2))


@pytest.mark.parametrize("error", [math.inf, math.nan])
def test_no_error_says_nothing(error):
    result = from_fisher(0.4, error)
    assert (result.low, result.high, result.p) == (-1.0, 1.0, 1.0)


def test_two_sided_against_scipy():
    assert two_sided(-1.3) == pytest.approx(2 * norm.sf(1.3))
