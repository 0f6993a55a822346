"""Scores against numbers worked by hand, a plain loop over tokens, and pandas."""

import math
import tracemalloc
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mygo.errors import UserError
from mygo.params import SelectParams
from mygo.params.choices import GATE_SCORES, NEEDS
from mygo.selection.reading import statistics as statistics_module
from mygo.selection.reading.statistics import open_statistics
from mygo.selection.scores import SCORES
from mygo.selection.scores.gates import layer_gates, normalised_mean, token_weights
from tests.selection.by_hand import lists

LOG2, LOG3 = math.log(2), math.log(3)


@pytest.fixture
def by_hand(write, made):
    """Two layers, three samples; gates given as good_ratio per token, the first of which must not count."""
    samples = [
        # perplexities 1 and 3: alpha 1 weighs 1/4, 3/4; alpha 2 weighs 1/10, 9/10; alpha 0 weighs 1/2, 1/2
        made.Sample("a", 0, [0.0, LOG3], made_logits([[0.9, 0.2, 0.6], [0.9, 0.4, 0.8]])),
        # one token: any alpha weighs it 1
        made.Sample("a", 1, [LOG2], made_logits([[0.1, 0.3], [0.1, 0.5]])),
        # equal perplexities: any alpha weighs 1/2, 1/2
        made.Sample("a", 2, [LOG2, LOG2], made_logits([[0.5, 0.7, 0.9], [0.5, 0.1, 0.3]])),
    ]
    return open_statistics(write(samples).statistics)


def made_logits(gates):
    gates = np.array(gates)
    return np.log(gates / (1 - gates))


# s of the three samples, layer by layer, for each alpha
HAND = {
    0.0: [[0.4, 0.6], [0.3, 0.5], [0.8, 0.2]],
    1.0: [[0.5, 0.7], [0.3, 0.5], [0.8, 0.2]],
    2.0: [[0.56, 0.76], [0.3, 0.5], [0.8, 0.2]],
}


@pytest.mark.parametrize("alpha", HAND)
def test_layer_gates_by_hand(by_hand, alpha):
    np.testing.assert_allclose(layer_gates(by_hand, alpha, "all"), HAND[alpha], atol=2e-4)  # float16 logits


def test_quality_by_hand(by_hand, made):
    # layer 0: a 0.3, b 0.8, mu 1.6/3; layer 1: a 0.2, b 0.7, mu 1.4/3
    # R: (0.2 / 0.5) / (1.6/3) = 0.75, 0, 1.875;  (0.5 / 0.5) / (1.4/3) = 15/7, 0.6 / (1.4/3) = 9/7, 0
    expected = [(0.75 + 15 / 7) / 2, (0 + 9 / 7) / 2, (1.875 + 0) / 2]
    np.testing.assert_allclose(made.score("quality", by_hand), expected, rtol=1e-5)


def test_quality_with_tau_by_hand(by_hand, made):
    # tau 0.2 is added to mu: layer 0 divides by 2.2/3, layer 1 by 2/3
    expected = [(0.4 / (2.2 / 3) + 1 / (2 / 3)) / 2, (0 + 0.6 / (2 / 3)) / 2, (1 / (2.2 / 3) + 0) / 2]
    np.testing.assert_allclose(made.score("quality", by_hand, tau=0.2), expected, rtol=1e-5)


def test_ablations_by_hand(by_hand, made):
    np.testing.assert_allclose(made.score("weighted", by_hand), [0.6, 0.4, 0.5], rtol=1e-5)
    np.testing.assert_allclose(made.score("raw", by_hand), [0.5, 0.4, 0.5], rtol=1e-5)
    # alpha 0: layer 0 a 0.3, b 0.8, mu 0.5; layer 1 a 0.2, b 0.6, mu 1.3/3
    expected = [(0.2 / 0.5 + 1 / (1.3 / 3)) / 2, 0.75 / (1.3 / 3) / 2, (1 / 0.5) / 2]
    np.testing.assert_allclose(made.score("normalized", by_hand), expected, rtol=1e-5)


def test_eps_keeps_a_constant_layer_out():
    # layer 0 is constant: (s - a) = 0 gives 0; layer 1: a 0, b 1, mu 0.5
    assert normalised_mean(np.array([[0.3, 0.0], [0.3, 1.0]]), 1e-8, 0.0).tolist() == [0.0, 1.0]
    # eps stands in for a mean, and for a range, below it: 0.001 / (0.01 * 0.01)
    assert normalised_mean(np.array([[0.0], [0.001]]), 0.01, 0.0).tolist() == pytest.approx([0.0, 10.0])


def test_length(by_hand, made):
    assert made.score("length", by_hand).tolist() == [3, 2, 3]


def test_perplexity_is_that_of_the_base(write, made):
    """The gated pass says log 5; the base beside it log 2 and log 3; a model without gates is its own base."""
    samples = [made.Sample("a", i, [math.log(5)], np.zeros((2, 2)), base_nll=nll) for i, nll in enumerate([LOG2, LOG3])]
    beside = open_statistics(write(samples, name="beside").statistics)
    np.testing.assert_allclose(made.score("perplexity", beside), [2, 3], rtol=1e-6)
    alone = open_statistics(write(samples, name="alone", gated=False).statistics)
    np.testing.assert_allclose(made.score("perplexity", alone), [5, 5], rtol=1e-6)


def test_perplexity_of_a_gated_pass_alone_is_refused(write, made):
    folders = write([made.Sample("a", i, [1.0], np.zeros((2, 2))) for i in range(3)])
    with pytest.raises(
        UserError,
        match=r"^select\.score: got perplexity, which is made of the NLL of the base model without gates, and "
        r".*statistics holds none; set collect\.base_nll to true, or take quality, ",
    ):
        made.run(folders, made.params(score="perplexity"))


def test_perplexity_stays_finite(write, made):
    samples = [made.Sample("a", i, [nll], np.zeros((2, 2))) for i, nll in enumerate([1.0, 5000.0, 79.0])]
    score = made.score("perplexity", open_statistics(write(samples, gated=False).statistics))
    np.testing.assert_allclose(score, [math.e, math.exp(80), math.exp(79)], rtol=1e-6)


def test_only_answers_count_by_hand(write, made):
    """Tokens 2 and 3 are the answer's, token 0 too, but nothing predicts it; the last sample has no answer."""
    gates = made_logits([[0.9, 0.1, 0.2, 0.6]])
    samples = [
        made.Sample("a", 0, [5.0, 0.0, LOG3], gates, answer=[True, False, True, True]),
        made.Sample("a", 1, [1.0], made_logits([[0.9, 0.3]]), answer=[False, True]),
        made.Sample("a", 2, [1.0, 1.0, 1.0], gates, answer=[True, False, False, False]),
    ]
    statistics = open_statistics(write(samples).statistics)
    # perplexities 1 and 3: alpha 0 weighs 1/2, 1/2; alpha 1: 1/4, 3/4; alpha 2: 1/10, 9/10
    for alpha, expected in ((0.0, 0.4), (1.0, 0.5), (2.0, 0.56)):
        answers = layer_gates(statistics, alpha, "answer")[:, 0]
        np.testing.assert_allclose(answers, [expected, 0.3, np.nan], atol=2e-4)
    assert np.isfinite(layer_gates(statistics, 2.0, "all")).all()
    answers_2 = {"tokens": "answer", "alpha": 2.0}
    np.testing.assert_allclose(made.score("weighted", statistics, **answers_2), [0.56, 0.3, np.nan], atol=2e-4)
    np.testing.assert_allclose(made.score("raw", statistics, **answers_2), [0.4, 0.3, np.nan], atol=2e-4)
    # of 0.4 and 0.3: a 0.3, b 0.4, mu 0.35; of 0.56 and 0.3: a 0.3, b 0.56, mu 0.43
    np.testing.assert_allclose(made.score("normalized", statistics, **answers_2), [1 / 0.35, 0, np.nan], rtol=1e-3)
    np.testing.assert_allclose(made.score("quality", statistics, **answers_2), [1 / 0.43, 0, np.nan], rtol=1e-3)


@pytest.mark.parametrize("tokens", ["all", "answer"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 1.7])
def test_ragged_data_against_a_loop_over_tokens(write, made, alpha, tokens):
    samples = made.random_samples(60, layers=4, longest=30)
    for sample in samples:
        sample.logits = sample.logits.astype(np.float16).astype(float)
    gates = layer_gates(open_statistics(write(samples, shard_rows=7).statistics), alpha, tokens)
    for row, sample in zip(gates, samples, strict=True):
        np.testing.assert_allclose(row, made.naive_gates(sample, alpha, tokens), rtol=2e-5)


def test_quality_against_pandas(write, made):
    samples = made.random_samples(200)
    frame = pd.DataFrame([made.naive_gates(sample, 1) if sample.nll else [np.nan] * 3 for sample in samples])
    expected = ((frame - frame.min()) / ((frame.max() - frame.min()) * frame.mean())).mean(axis=1, skipna=False)
    np.testing.assert_allclose(
        made.score("quality", open_statistics(write(samples).statistics)), expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("tokens", ["all", "answer"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_token_level_agrees_with_the_sample_level(write, made, alpha, tokens):
    statistics = open_statistics(write(made.random_samples(50)).statistics)
    streamed = layer_gates(statistics, alpha + 1e-12, tokens)  # not 0 or 1, so that it is computed from the tokens
    np.testing.assert_allclose(
        streamed, layer_gates(statistics, alpha, tokens), atol=5e-4
    )  # a logit of float16 is off by up to 2^-11 of itself


def test_softmax_of_large_values_does_not_overflow():
    # differences of log 3 however large the values: 1/4, 3/4; a run of one is 1
    weights = token_weights(np.array([5000.0, 5000.0 + LOG3, -9000.0]), np.array([2, 1]), 1.0)
    np.testing.assert_allclose(weights, [0.25, 0.75, 1.0])


def test_every_score_walks_and_leaves_short_samples_out(write, made, tmp_path):
    samples = made.random_samples(40)
    rng = np.random.default_rng(1)
    routers = {name: lists(rng.random((40, 3 * 4))) for name in ("router_probs", "router_logits")}
    nothing = [None if not sample.nll else 1.0 for sample in samples]
    first = {name: pa.array(nothing, pa.float32()) for name in ("nll_first_answer", "nll_first_answer_alone")}
    folders = write(samples, columns=routers | first | {"base_nll_answer": pa.array(nothing, pa.float32())}, experts=4)
    statistics = open_statistics(folders.statistics)
    (tmp_path / "own.csv").write_text("".join(["id,score\n", *(f"{s.key},1\n" for s in samples if s.nll)]))
    parts = [{"score": "quality"}, {"score": "length", "weight": 2.0, "order": "lowest"}]
    own = {"path": str(tmp_path / "own.csv"), "id_column": "id", "score_column": "score"}
    gradable = [bool(sample.nll) for sample in samples]
    assert set(SCORES) == set(get_args(SelectParams.model_fields["score"].annotation))
    assert set(SCORES) > GATE_SCORES
    for alpha in (1.0, 0.5):
        for name in (name for name in SCORES if "reference" not in NEEDS[name]):  # those: test_reference_scores.py
            values = made.score(name, statistics, alpha=alpha, combine=parts, external=own)
            assert np.isfinite(values).tolist() == gradable, name


def test_a_sample_that_is_not_finite_is_left_out_and_spoils_no_other(write, made):
    samples = [made.Sample("a", i, [1.0, 2.0], np.full((2, 3), float(i))) for i in range(4)]
    clean = made.score("quality", open_statistics(write(samples[:3], name="clean").statistics))
    samples[3].logits[0, 1] = np.nan
    score = made.score("quality", open_statistics(write(samples, name="spoilt").statistics))
    np.testing.assert_array_equal(score, [*clean, np.nan])


def test_alpha_without_the_token_level_is_refused(write, made):
    statistics = open_statistics(write(made.random_samples(10), tokens=False).statistics)
    assert np.isfinite(made.score("quality", statistics)).any()
    with pytest.raises(UserError, match=r"select\.alpha: got 0\.5.*collect\.tokens"):
        made.score("quality", statistics, alpha=0.5)


def test_memory_does_not_grow_with_tokens(write, made, monkeypatch):
    monkeypatch.setattr(statistics_module, "VALUES_PER_BATCH", 2**17)
    rng = np.random.default_rng(0)
    peaks = {}
    for n_tokens in (100, 1000):
        samples = [
            made.Sample("a", i, rng.exponential(1, n_tokens - 1).tolist(), rng.normal(0, 1, (4, n_tokens)))
            for i in range(350)
        ]
        statistics = open_statistics(write(samples, name=str(n_tokens), shard_rows=350, means=False).statistics)
        del samples
        peaks[n_tokens] = _peak(lambda statistics=statistics: layer_gates(statistics, 0.5, "all"))
    assert peaks[1000] < 1.3 * peaks[100], peaks


def _peak(work) -> int:
    """Most bytes that numpy and Arrow held at once."""
    before = pa.default_memory_pool()
    counting = pa.proxy_memory_pool(before)
    pa.set_memory_pool(counting)
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] + counting.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)
