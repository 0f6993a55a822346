"""What a selection reports: metrics, rows of plots, agreement with labels."""

import logging

import pyarrow as pa
import pytest
from scipy.stats import spearmanr

from mygo.selection.reading.statistics import open_statistics
from mygo.selection.result.report import read_labels


def test_metrics_by_hand(scored, made):
    result, _ = made.run(scored, made.params(score="raw", ratio=0.4))
    metrics = result.metrics
    sizes = ("pool", "rejected", "graded", "budget", "selected")
    assert [metrics[name] for name in sizes] == [10, 0, 9, 4, 4]
    # tokens 1, 3, 4, ..., 11; kept 8, 9, 10, 11
    assert metrics["tokens"] == {"mean_pool": 6.4, "mean_selected": 9.5}
    # of the samples that can be graded, good are 2 5 7 8 9, others 3 4 6: pairs won 0 + 2 + 3 + 3 + 3 of 15
    assert metrics["auc"] == pytest.approx(11 / 15)
    assert metrics["base_rate"] == 5 / 8
    assert metrics["precision_at_budget"] == 3 / 4
    # Wilson for 3 of 4: centre (0.75 + z2/8) / (1 + z2/4), z2 = 3.841459
    assert metrics["precision_low"] == pytest.approx(0.300642, abs=1e-5)
    assert metrics["precision_high"] == pytest.approx(0.954413, abs=1e-5)


def test_auc_has_the_sign_of_the_order(scored, made):
    auc = {
        order: made.run(scored, made.params(score="raw", order=order))[0].metrics["auc"]
        for order in ("highest", "lowest", "middle")
    }
    assert auc["lowest"] == pytest.approx(1 - auc["highest"])
    # distances from the median 0.5 (0.1 a number): good 3 0 2 3 4, others 2 1 1; pairs won 0 + 3 + 0.5 + 0 + 0
    assert auc["middle"] == pytest.approx(3.5 / 15)


def test_plots_by_hand(scored, made):
    plots = made.run(scored, made.params(score="raw", ratio=0.3))[0].plots
    histogram = plots["score_histogram"]
    totals = {
        group: sum(row[group] for row in histogram) for group in ("kept", "dropped", "good", "other", "unlabelled")
    }
    assert totals == {"kept": 3, "dropped": 6, "good": 5, "other": 3, "unlabelled": 1}  # nine samples have a score
    assert all(row["bin_left"] < row["score"] < row["bin_right"] for row in histogram)
    assert [row["kept"] > 0 for row in histogram].index(True) > len(histogram) // 2
    assert plots["labels"] == [
        {"label": "(none)", "pool": 1, "selected": 0, "share": 0.0},
        {"label": "Clean", "pool": 5, "selected": 3, "share": 0.6},
        {"label": "wrong answer", "pool": 4, "selected": 0, "share": 0.0},
    ]
    assert plots["sources"] == [
        {"source": "a", "pool": 5, "selected": 1, "share": 0.2},
        {"source": "b", "pool": 5, "selected": 2, "share": 0.4},
    ]


def test_the_metrics_are_few_however_many_sources_and_clusters_there_are(write, made):
    samples = made.random_samples(60, labels=["clean", "wrong"])
    for i, sample in enumerate(samples):
        sample.dataset, sample.features = f"file_{i:02d}", [float(i + 1), 1.0]
    result, _ = made.run(write(samples, features="router_probs"), made.params(clusters=9))
    sizes = {"pool", "rejected", "graded", "budget", "selected", "tokens"}
    area, precision = {"auc", "auc_low", "auc_high"}, {"precision_at_budget", "precision_low", "precision_high"}
    assert set(result.metrics) == sizes | {"base_rate", "clusters"} | area | precision
    assert len(result.plots["sources"]) == 60


@pytest.mark.parametrize(
    ("good_label", "expected"),
    [
        (1, "1 1.0"),
        ("1", "1 1.0"),
        (1.0, "1 1.0"),
        ("01", "01"),
        (True, "true True"),
        ("TRUE", "true True"),
        (False, "false"),
        (0, "0 -0.0"),
        (0.1, "0.1 0.10"),
        ("NaN", "nan"),
        ("1_0", "1_0"),
        (10, "10"),
    ],
)
def test_labels_that_mean_the_same_are_the_same(good_label, expected):
    labels = ["1", "1.0", "true", "True", "01", "1e0", "0", "-0.0", "false", "0.1", "0.10", "0.1000000000000000055"]
    labels += ["nan", "1_0", "10", "None", "yes"]
    read = read_labels(pa.chunked_array([[*labels, None]]), good_label)
    assert [text for text, good in zip(labels, read.good_N, strict=False) if good] == expected.split()
    assert not read.good_N[-1]
    assert read.known_N.tolist() == [True] * len(labels) + [False]


@pytest.mark.parametrize("good_label", ["CLEAN", "clean"])
def test_labels_are_compared_as_lower_case_texts(scored, made, good_label):
    assert made.run(scored, made.params(score="raw", good_label=good_label))[0].metrics["base_rate"] == 5 / 8


def test_a_boolean_good_label(write, made):
    samples = made.random_samples(20, labels=["True", "false"])
    assert "auc" in made.run(write(samples), made.params(good_label=True))[0].metrics


def test_numbers_are_correlated(write, made):
    samples = made.random_samples(20, labels=["0.25", "1", None, "0.5", "0.75"])
    folders = write(samples)
    for order, sign in (("highest", 1), ("lowest", -1)):
        metrics = made.run(folders, made.params(score="raw", order=order))[0].metrics
        raw = made.score("raw", open_statistics(folders.statistics))
        rows = [i for i, sample in enumerate(samples) if sample.label and sample.n_tokens > 1]
        expected = spearmanr(raw[rows], [float(samples[i].label) for i in rows]).statistic
        assert metrics["spearman"] == pytest.approx(sign * expected)
        assert metrics["spearman_low"] < metrics["spearman"] < metrics["spearman_high"]
        assert not {"auc", "precision_at_budget", "base_rate"} & set(metrics)


def test_a_number_that_is_the_good_one_is_no_rank(write, made):
    folders = write(made.random_samples(20, labels=["1", "2", "3"]))
    metrics = made.run(folders, made.params(score="raw", good_label=3))[0].metrics
    assert "auc" in metrics
    assert "spearman" not in metrics


@pytest.mark.parametrize("labels", [[None], ["clean"], ["wrong", "worse"]])
def test_without_both_classes_the_log_says_so(write, made, caplog, labels):
    with caplog.at_level(logging.INFO):
        metrics = made.run(write(made.random_samples(20, labels=labels)), made.params())[0].metrics
    assert not {"auc", "precision_at_budget", "base_rate"} & set(metrics)
    assert sum("no agreement with labels" in record.message for record in caplog.records) == 1
