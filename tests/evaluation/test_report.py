"""Metrics from lm-eval's results, against numbers worked by hand."""

import math

import pytest

from mygo.evaluation.report import headline, paired_gain, subject_rows, summarise


def sample(index, correct, **more):
    return {"doc_id": index, "filter": "none", "acc": correct, **more}


def make_results(correct):
    """Results of a group `mmlu` with one subgroup of two subjects, and of a task with two metrics of which one is no
    mean.
    """
    a, b = correct
    perplexity = {"word_perplexity,none": 20.0 - a[0], "word_perplexity_stderr,none": "N/A"}
    task = {"alias": "perp", "sample_len": 2, **perplexity, "acc,none": 0.5, "acc_stderr,none": 0.5}
    group = {
        "acc,none": (sum(a) + sum(b)) / 6,
        "acc_stderr,none": 0.2,
        "sample_len": 6,
        "alias": "x",
        "sample_count": {"acc,none": 6},
    }
    return {
        "results": {
            "mmlu": group,
            "mmlu_stem": group,
            "mmlu_a": {"alias": "a", "sample_len": 2, "acc,none": sum(a) / 2, "acc_stderr,none": 0.5},
            "mmlu_b": {"alias": "b", "sample_len": 4, "acc,none": sum(b) / 4, "acc_stderr,none": 0.25},
            "perp": task,
        },
        "groups": {"mmlu": group, "mmlu_stem": group},
        "group_subtasks": {"mmlu": ["mmlu_stem"], "mmlu_stem": ["mmlu_a", "mmlu_b"]},
        "n-shot": {"mmlu_a": 0, "mmlu_b": 0, "perp": 0},
        "n-samples": {"mmlu_a": {}, "mmlu_b": {}, "perp": {}},
        "samples": {
            "mmlu_a": [sample(index, value) for index, value in enumerate(a)],
            "mmlu_b": [
                sample(index, value) for index, value in reversed(list(enumerate(b)))
            ],  # the order does not matter
            "perp": [sample(index, index, word_perplexity=-3.0) for index in range(2)],
        },
    }


@pytest.fixture
def results():
    # differences: a (1, 0), b (1, 0, -1, 1)
    return {"base": make_results(([0, 1], [0, 0, 1, 0])), "adapter": make_results(([1, 1], [1, 0, 0, 1]))}


def test_paired_error_by_hand():
    # d = (1, 0, 1, 0, -1, 1): mean 1/3, sum of squares 4, variance (4 - 6/9) / 5 = 2/3, error sqrt(2/3 / 6) = 1/3
    base, adapter = dict(enumerate([0, 1, 0, 0, 1, 0])), dict(enumerate([1, 1, 1, 0, 0, 1]))
    assert paired_gain(base, adapter) == pytest.approx((1 / 3, 1 / 3))
    assert paired_gain({0: 0.0}, {0: 1.0})[0] == 1
    assert math.isnan(paired_gain({0: 0.0}, {0: 1.0})[1])


def test_a_group_pairs_the_questions_of_all_its_subjects(results):
    row = summarise(results)["mmlu_stem"]
    assert row == pytest.approx(
        {
            "acc": 4 / 6,
            "stderr": 0.2,
            "base_acc": 2 / 6,
            "base_stderr": 0.2,
            "gain": 1 / 3,
            "gain_stderr": 1 / 3,
            "n": 6,
        },
    )


def test_headlines_are_groups_then_tasks_outside_of_them(results):
    metrics = summarise(results)
    assert list(metrics) == ["mmlu", "mmlu_stem", "perp_word_perplexity", "perp_acc", "num_fewshot"]
    assert metrics["num_fewshot"] == 0


def test_the_metrics_are_few_and_begin_with_the_whole(results):
    short = headline(results)
    assert min(short) == "mmlu"
    assert short["mmlu"].keys() == {"acc", "base_acc", "gain", "gain_stderr", "n", "stderr"}
    assert short["mmlu_stem"] == pytest.approx({"acc": 4 / 6, "base_acc": 2 / 6})
    assert short["perp_acc"].keys() == short["mmlu"].keys()  # a task that is part of no group
    assert "num_fewshot" not in short  # a parameter


def test_a_metric_that_is_no_mean_over_questions_has_no_paired_error(results):
    metrics = summarise(results)
    assert metrics["perp_word_perplexity"] == {
        "word_perplexity": 19.0,
        "base_word_perplexity": 20.0,
        "gain": -1.0,
        "n": 2,
    }
    assert metrics["perp_acc"]["gain_stderr"] == 0


def test_subjects_base_first(results):
    rows = subject_rows(results)
    assert rows[:2] == [
        {"subject": "a", "model": "base", "acc": 0.5, "stderr": 0.5, "n": 2},
        {"subject": "a", "model": "adapter", "acc": 1.0, "stderr": 0.5, "n": 2},
    ]
    assert rows[4] == {"subject": "perp", "model": "base", "acc": 20.0, "stderr": None, "n": 2}
