"""Budgets: how many are kept of an order, by number, by tokens, within the sources' shares."""

from itertools import combinations

import numpy as np
import pytest

from mygo.errors import UserError
from mygo.params import check_params
from mygo.selection.spending.budget import budget_of, most_that_fit, spend
from mygo.selection.spending.quotas import Quotas
from tests.selection.by_hand import make_params
from tests.test_params import params_with

TOKENS = np.array([5, 3, 8, 2, 4, 1, 9, 2, 6, 7], dtype=float)
SOURCE = np.array(list("aaabbbbbcc"), dtype=object)
ORDER = np.array([2, 0, 9, 1, 3, 8, 4, 5, 6, 7])  # by source: a a c a b c b b b b


@pytest.mark.parametrize(
    ("ratio", "rows", "expected"),
    [
        (0.1, 30, 3),
        (0.2, 7, 2),
        (0.7, 10, 7),
        (0.07, 100, 7),
        (0.29, 100, 29),
        (1e-5, 200_000, 2),
        (1.0, 9, 9),
        (1, 9, 9),
        (0.05, 20, 1),
        (0.05, 21, 2),
    ],
)
def test_a_ratio_is_exact(ratio, rows, expected):
    assert budget_of(ratio, rows) == expected


def kept(**changes):
    return spend(make_params(**changes), ORDER, TOKENS, SOURCE).kept.tolist()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ratio": 0.21}, [2, 0, 9]),
        ({"count": 2}, [2, 0]),
        ({"count": 99}, ORDER.tolist()),
        ({"token_budget": 20}, [2, 0, 9]),  # 8 + 5 + 7
        ({"token_budget": 22}, [2, 0, 9]),  # then 3, which does not fit; 2, which would, comes later
        ({"token_budget": 25}, [2, 0, 9, 1, 3]),
        ({"token_budget": 47}, ORDER.tolist()),
        ({"strategy": "full"}, ORDER.tolist()),
        ({"strategy": "threshold", "threshold": 0.0, "count": 1}, ORDER.tolist()),
    ],
)
def test_a_budget_is_spent_along_the_order(changes, expected):
    assert kept(**changes) == expected


def test_a_token_budget_below_the_first_sample_is_refused():
    with pytest.raises(UserError, match=r"^select\.token_budget: got 7, and the sample .* has 8 tokens; takes more$"):
        kept(token_budget=7)


@pytest.mark.parametrize(
    ("shares", "count", "expected"),
    [
        ({"b": {"min": 0.5}}, 4, [2, 0, 3, 4]),  # two of b
        ({"a": {"max": 0.25}}, 4, [2, 9, 3, 8]),  # one of a
        ({"a": {"max": 0.25}}, 5, [2, 0, 9, 3, 8]),  # 1.25, rounded up
        ({"b": {"min": 0.5}}, 5, [2, 0, 9, 3, 4]),  # 2.5, rounded down
        ({"b": {"min": 0.5}, "c": {"min": 0.5}}, 4, [9, 3, 8, 4]),
        ({"a": {"min": 0.0, "max": 1.0}}, 3, [2, 0, 9]),
    ],
)
def test_shares_by_hand(shares, count, expected):
    assert kept(source_shares=shares, count=count) == expected


@pytest.mark.parametrize(
    ("shares", "count", "sentence"),
    [
        ({"d": {"min": 0.5}}, 4, "got d; the pool holds a, b, c"),
        ({"c": {"min": 0.5}}, 6, "c shall have at least 3 of 6 samples, and 2 of it can be kept; takes other shares"),
        (
            {"a": {"max": 0.1}, "b": {"max": 0.2}},
            6,
            "of 6 samples the maxima and what can be kept of each source allow 5",
        ),
    ],
)
def test_shares_that_cannot_be_met_are_one_sentence(shares, count, sentence):
    with pytest.raises(UserError) as error:
        kept(source_shares=shares, count=count)
    assert str(error.value).startswith(f"select.source_shares: {sentence}")


def test_shares_within_tokens():
    # a, b, c in turn as they come, b at least half: K = 4 is 8 + 5 + 2 + 4 = 19, K = 5 adds 7
    assert kept(source_shares={"b": {"min": 0.5}}, token_budget=25) == [2, 0, 3, 4]
    assert kept(source_shares={"b": {"min": 0.5}}, token_budget=26) == [2, 0, 9, 3, 4]
    with pytest.raises(UserError, match=r"^select\.source_shares: c shall have at least 3 of 6 samples"):
        kept(source_shares={"c": {"min": 0.5}}, token_budget=40)
    with pytest.raises(UserError, match=r"^select\.token_budget: got 1, "):
        kept(source_shares={"b": {"min": 0.5}}, token_budget=1)


def test_shares_keep_what_a_search_of_all_sets_finds():
    """Of all sets within the quotas the one that is first along the order, sample by sample."""
    rng = np.random.default_rng(0)
    for trial in range(60):
        source = np.append(rng.choice(list("abc"), 6), list("abc")).astype(object)
        shares = {name: {"min": rng.choice([0, 0.1, 0.25]), "max": rng.choice([0.3, 0.5, 1.0])} for name in "ab"}
        params = make_params(source_shares=shares, count=5)
        quotas = Quotas.of(params.source_shares, source)
        least, most = quotas.limits(5)
        sets = [
            chosen
            for chosen in map(np.array, combinations(range(9), 5))
            if all(
                low <= np.count_nonzero(source[chosen] == name) <= high
                for name, low, high in zip(quotas.sources, least, most, strict=True)
            )
        ]
        if not sets:
            with pytest.raises(UserError):
                spend(params, np.arange(9), np.ones(9), source)
            continue
        got = spend(params, np.arange(9), np.ones(9), source).kept
        assert got.tolist() == min(sets, key=lambda chosen: chosen.tolist()).tolist(), trial


def test_what_a_share_alone_kept_out_is_known():
    spending = spend(make_params(source_shares={"a": {"max": 0.25}}, count=4), ORDER, TOKENS, SOURCE)
    assert spending.beyond_share.tolist() == [0, 1]
    assert not len(spend(make_params(count=4), ORDER, TOKENS, SOURCE).beyond_share)


def test_what_fits_at_most():
    tokens = TOKENS[ORDER]
    assert most_that_fit(make_params(ratio=0.21), 10, tokens) == 3
    assert most_that_fit(make_params(count=99), 10, tokens) == 10
    assert most_that_fit(make_params(token_budget=8), 10, tokens) == 4  # the shortest: 1 + 2 + 2 + 3
    assert most_that_fit(make_params(strategy="full", count=1), 10, tokens) == 10


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"count": 3},
            "select: got ratio 0.25, count 3, token_budget null; takes exactly one of the three, the others null",
        ),
        ({"ratio": None}, "select: got ratio null, count null, token_budget null; takes exactly one"),
        ({"ratio": None, "count": 0}, "select.count: got 0; takes greater than or equal to 1"),
        ({"ratio": None, "token_budget": 0}, "select.token_budget: got 0; takes greater than or equal to 1"),
        ({"ratio": 0.0}, "select.ratio: got 0.0; takes greater than 0"),
        ({"strategy": "threshold"}, "select: strategy threshold with threshold null; "),
        ({"threshold": 0.5}, "select: strategy top with threshold 0.5; strategy threshold takes a number there"),
        (
            {"strategy": "threshold", "threshold": 0.5, "order": "middle"},
            "select: strategy threshold with order middle",
        ),
        (
            {"source_shares": {"a": {"min": 0.6}, "b": {"min": 0.6}}},
            "select: source_shares with minima that sum to 1.2",
        ),
        ({"source_shares": {"a": {"min": 0.6, "max": 0.5}}}, "select.source_shares.a: got min 0.6 above max 0.5"),
        ({"source_shares": {"a": {"max": 0}}}, "select.source_shares.a.max: got 0; takes greater than 0"),
        (
            {"source_shares": {"a": {"mix": 0}}},
            "select.source_shares.a.mix: unknown key; did you mean min? select.source",
        ),
        ({"source_shares": {"a": 0.5}}, "select.source_shares.a: got 0.5; takes the keys of a section"),
        ({"source_shares": {"a": {"min": 0.5}}, "strategy": "full"}, "select: source_shares with strategy full, which"),
        ({"deduplicate": 0}, "select.deduplicate: got 0; takes greater than 0"),
        ({"score": "combine"}, "select: score combine with no parts in select.combine; "),
        ({"score": "combine", "combine": [{"score": "combine"}]}, "select: combine names combine; takes scores that"),
        (
            {"score": "combine", "combine": [{"score": "length", "weight": 0.0}]},
            "select.combine.0.weight: got 0.0; takes",
        ),
        ({"score": "combine", "combine": [{"score": "length"}] * 2}, "select: combine names a score twice"),
        (
            {"score": "combine", "combine": [{"score": "length"}], "order": "lowest"},
            "select: score combine with order low",
        ),
        ({"score": "external"}, "select: score external with external.path null; takes a CSV"),
    ],
)
def test_what_makes_no_budget_is_one_sentence(changes, sentence):
    raw = params_with("seed", 0)
    raw["select"] |= changes
    with pytest.raises(UserError) as error:
        check_params(raw)
    assert str(error.value).startswith(sentence)
