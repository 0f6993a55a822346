"""Accuracy over pairs of answers to one prompt, by hand and over explicit preferences."""

import itertools

import numpy as np
import pytest

from mygo.selection.agreement.pairs import pairwise


def test_pairs_by_hand():
    # prompt 3: labels 1 2 2, scores 5 6 5: 1<2 right, 2=2 left out, 1<2 tied: 1.5 of 2
    # prompt 1: labels 0 1, scores 2 1: wrong, 0 of 1. Prompt 8: alone. Prompt 2: equal labels, no pair
    prompt = np.array([3, 1, 3, 8, 3, 1, 2, 2])
    label = np.array([1.0, 0, 2, 1, 2, 1, 1, 1])
    score = np.array([5.0, 2, 6, 9, 5, 1, 3, 4])
    result = pairwise(score, label, prompt, 0)
    assert (result.right.value, result.pairs, result.prompts) == (pytest.approx(0.5), 3, 2)
    # drawn twice each: 3/4 and 0/1, or both: the middle 95 % of 0, 1/2, 3/4
    assert (result.right.low, result.right.high) == (0.0, 0.75)


def test_against_every_pair():
    rng = np.random.default_rng(0)
    prompt, label, score = rng.integers(0, 15, 80), rng.integers(0, 3, 80), rng.integers(0, 5, 80)
    wins = [
        0.5 if score[i] == score[j] else float((score[i] > score[j]) == (label[i] > label[j]))
        for i, j in itertools.combinations(range(80), 2)
        if prompt[i] == prompt[j] and label[i] != label[j]
    ]
    result = pairwise(score.astype(float), label.astype(float), prompt, 0)
    assert (result.right.value, result.pairs) == (pytest.approx(np.mean(wins)), len(wins))
    assert result.right.low < result.right.value < result.right.high
    assert result == pairwise(score.astype(float), label.astype(float), prompt, 0)


def test_explicit_preferences_are_labels_of_two_answers():
    # each prompt's preferred answer has 1, the other 0; the score is right in 3 of 4
    prompt, label = np.repeat(np.arange(4), 2), np.tile([1.0, 0.0], 4)
    score = np.array([2.0, 1, 2, 1, 2, 1, 1, 2])
    assert pairwise(score, label, prompt, 0).right.value == 0.75


def test_without_pairs_there_is_nothing():
    assert pairwise(np.arange(4.0), np.arange(4.0), np.arange(4), 0) is None
    assert pairwise(np.arange(4.0), np.ones(4), np.zeros(4, int), 0) is None


def test_one_prompt_has_no_interval():
    result = pairwise(np.array([1.0, 2]), np.array([1.0, 2]), np.zeros(2, int), 0)
    assert (result.right.value, result.right.low, result.right.high) == (1.0, 0.0, 1.0)
