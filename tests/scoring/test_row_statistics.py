"""The packed forward pass says what the plain library says about each sample alone."""

import itertools
import math

import numpy as np
import pytest
import torch

from mygo.models import Records, records
from mygo.models.checkpoints import load_checkpoint
from mygo.scoring import attention
from mygo.scoring import nll as nll_module
from mygo.scoring.cpu.experts import use_cpu_experts
from mygo.scoring.nll import tiled_nll
from mygo.scoring.row_statistics import Tokens, _answer_tokens, _router_means, score_row
from mygo.scoring.rows import rows_by_length
from mygo.scoring.segments import segment_softmax, segment_sum

LENGTHS = [7, 7, 5, 2, 1]


@pytest.fixture
def model(tiny_selector):
    return load_checkpoint(tiny_selector, torch.float32, attn_implementation=attention.NAME).eval()


def samples(model, lengths=LENGTHS):
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(3, model.config.vocab_size, (length,), generator=generator) for length in lengths]
    return ids, [torch.arange(length) >= length // 2 for length in lengths]


def alone(model, ids):
    """Per-token NLL, gate logits [L, T], router logits of each layer [T, E] and last hidden state of one sample, by the
    library's own forward.
    """
    ours = model.config._attn_implementation
    model.set_attn_implementation("sdpa")
    with torch.no_grad():
        out = model(ids[None], output_router_logits=True, output_hidden_states=True, use_cache=False)
    model.set_attn_implementation(ours)
    nll = torch.nn.functional.cross_entropy(out.logits[0, :-1], ids[1:], reduction="none")
    gates = torch.stack([layer["quality_score"][0, :, 0] for layer in out.router_logits])
    routers = [layer["moe_logits"] for layer in out.router_logits if "moe_logits" in layer]
    return nll, gates, routers, out.hidden_states[-1][0]


def near(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0, equal_nan=True)


def layout(model, packed):
    model.set_attn_implementation(attention.NAME if packed else "sdpa")
    return {"says": records(model), "packed": packed}


@pytest.mark.parametrize("packed", [True, False])
def test_every_field_of_a_row_is_what_plain_torch_says_of_each_sample_alone(model, packed):
    ids, answers = samples(model)
    answers[1][:] = False  # no answer
    answers[2][:] = torch.tensor([True, False, True, False, True])  # of the first token too, which has no NLL
    row = score_row(model, ids, answers, **layout(model, packed))
    assert row.nll_M.shape == (sum(LENGTHS) - len(LENGTHS),)
    assert row.gate_LN.shape == (2, sum(LENGTHS))
    for i, (sample, found) in enumerate(zip(ids, row.one_by_one(LENGTHS), strict=True)):
        nll, gates, routers, hidden = alone(model, sample)
        answer = answers[i][1:]
        good = torch.sigmoid(gates[:, 1:])
        near(found.nll_M, nll)
        near(found.nll_S, nll.mean()[None])
        near(found.answer_nll_S, nll[answer].mean()[None])
        torch.testing.assert_close(found.gate_LN.float(), gates, atol=2e-3, rtol=2e-3)
        near(found.gate_mean_SL[0], good.mean(1))
        near(found.gate_mean_answer_SL[0], good[:, answer].mean(1))
        for weighted, kept in (
            (found.gate_weighted_SL[0], torch.ones_like(answer)),
            (found.gate_weighted_answer_SL[0], answer),
        ):
            expected = (good[:, kept] * torch.softmax(nll[kept], 0)).sum(1)
            near(weighted, expected if kept.any() else torch.full((2,), torch.nan))
        if routers:
            near(found.router_logits_S[0], torch.cat([r.mean(0) for r in routers]))
            near(found.router_probs_S[0], torch.cat([torch.softmax(r, -1).mean(0) for r in routers]))
            assert found.hidden_mean_SD is None
        else:
            near(found.hidden_mean_SD[0], hidden.mean(0))
            assert found.router_logits_S is None
            assert found.router_probs_S is None


MEANS = ("nll_S", "answer_nll_S", "gate_mean_SL", "gate_weighted_SL", "gate_mean_answer_SL", "gate_weighted_answer_SL")


def test_where_there_is_no_token_there_is_no_mean(model):
    ids, answers = samples(model)
    answers[0][:] = torch.arange(7) == 0  # the first token has no NLL: no answer either
    row = score_row(model, ids, answers, says=records(model))
    for name in MEANS:
        missing = torch.isnan(getattr(row, name)).reshape(len(LENGTHS), -1)
        assert bool(missing.all(1)[-1])
        assert bool(missing.all(1)[0]) is ("answer" in name)
        assert not missing[1:-1].any()


@pytest.mark.parametrize("packed", [True, False])
def test_a_row_of_single_tokens_predicts_nothing(model, packed):
    ids, answers = samples(model, [1, 1])
    row = score_row(model, ids, answers, **layout(model, packed))
    assert row.nll_M.shape == (0,)
    assert row.gate_LN.shape == (2, 2)
    assert all(torch.isnan(getattr(row, name)).all() for name in MEANS)
    assert not torch.isnan(row.hidden_mean_SD if row.router_probs_S is None else row.router_probs_S).any()


@pytest.mark.parametrize("packed", [True, False])
def test_without_gates_asked_for_there_are_nlls_alone(model, packed):
    ids, answers = samples(model)
    gated = score_row(model, ids, answers, **layout(model, packed))
    plain = score_row(model, ids, answers, **(layout(model, packed) | {"says": Records()}))
    assert {name for name, value in vars(plain).items() if value is not None} == {"nll_M", "nll_S", "answer_nll_S"}
    near(plain.nll_M, gated.nll_M)
    for one, both in zip(plain.one_by_one(LENGTHS), gated.one_by_one(LENGTHS), strict=True):
        near(one.nll_M, both.nll_M)
        assert one.gate_LN is None


def test_number_formats(model):
    """All float32 whatever the model computes in, but for the logits of the gates."""
    ids, answers = samples(model)
    for dtype in (torch.float32, torch.bfloat16):
        row = score_row(model.to(dtype), ids, answers, says=records(model))
        found = {name: value.dtype for name, value in vars(row).items() if value is not None}
        assert found == {name: torch.float16 if name == "gate_LN" else torch.float32 for name in found}
        assert all(value is None or value is vars(row)[name] for name, value in vars(row.start_copy()).items())


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("lengths", [[7, 5], [7]])
def test_what_the_model_is_given(model, packed, lengths):
    """Packed: one row, its positions, neither mask nor cache. Padded: a mask where there is padding."""
    given = []
    model.get_decoder().register_forward_pre_hook(lambda _, __, kwargs: given.append(kwargs), with_kwargs=True)
    ids, answers = samples(model, lengths)
    score_row(model, ids, answers, **layout(model, packed))
    (kwargs,) = given
    assert kwargs["use_cache"] is False
    routed = model.config.model_type == "select_moe"
    asked = {name for name in kwargs if name.startswith("output_")}
    assert asked == {"output_gate_scores", *(["output_router_logits"] if routed else [])}
    if packed:
        assert kwargs["input_ids"].tolist() == [torch.cat(ids).tolist()]
        assert kwargs["position_ids"].tolist() == [[position for length in lengths for position in range(length)]]
        assert kwargs["attention_mask"] is None
        assert kwargs["segments"].lengths == tuple(lengths)
        assert kwargs["segments"].cumulative.tolist() == [0, *itertools.accumulate(lengths)]
    elif len(lengths) == 1:
        assert kwargs["attention_mask"] is None
    else:
        assert kwargs["attention_mask"].tolist() == [[1] * 7, [1] * 5 + [0] * 2]
        assert kwargs["input_ids"].tolist() == [ids[0].tolist(), [*ids[1].tolist(), 0, 0]]


def test_means_of_gates_by_hand():
    """Two samples of 3 and 1 predicted tokens, at places 1, 2, 3 and 5 of a row, and one of none."""
    good_NL = torch.tensor([[9.0, 9.0], [0.2, 1.0], [0.4, 0.0], [0.9, 0.5], [9.0, 9.0], [0.7, 0.6], [9.0, 9.0]])
    nll = torch.tensor([0.0, 0.0, math.log(2.0), 3.0])
    tokens = Tokens(nll, torch.tensor([1, 2, 3, 5]), torch.tensor([3, 1, 0]))
    near(tokens.mean(nll), torch.tensor([math.log(2.0) / 3, 3.0, torch.nan]))
    # means (0.2 + 0.4 + 0.9) / 3 and (1 + 0 + 0.5) / 3
    near(tokens.gate_mean(good_NL), torch.tensor([[0.5, 0.5], [0.7, 0.6], [torch.nan, torch.nan]]))
    # weights 1/4, 1/4, 1/2: 0.05 + 0.1 + 0.45 and 0.25 + 0 + 0.25
    near(tokens.gate_weighted(good_NL), torch.tensor([[0.6, 0.5], [0.7, 0.6], [torch.nan, torch.nan]]))
    assert tokens.gate_mean(None) is tokens.gate_weighted(None) is None


def test_answer_tokens_by_hand():
    """Places among the predicted tokens of the row: those of the second sample begin at 2."""
    marks = [[True, False, True], [True, True, False, True], [True]]
    places, counts = _answer_tokens([torch.tensor(mark) for mark in marks])
    assert places.tolist() == [1, 2, 4]
    assert counts.tolist() == [1, 2, 0]


def test_means_of_routers_by_hand():
    # sample 1: logits (0, ln 3) and (0, 0), probabilities (1/4, 3/4) and (1/2, 1/2); sample 2: (ln 4, 0), (4/5, 1/5)
    layer = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0], [math.log(4.0), 0.0]])
    found = _router_means([layer, -layer], torch.tensor([2, 1]))
    near(found["router_probs_S"], torch.tensor([[0.375, 0.625, 0.625, 0.375], [0.8, 0.2, 0.2, 0.8]]))
    half, four = math.log(3.0) / 2, math.log(4.0)
    near(found["router_logits_S"], torch.tensor([[0.0, half, 0.0, -half], [four, 0.0, -four, 0.0]]))
    assert _router_means([], torch.tensor([2, 1])) == {"router_probs_S": None, "router_logits_S": None}


def test_a_row_of_none_is_as_wide(model):
    ids, answers = samples(model)
    row = score_row(model, ids, answers, says=records(model))
    for name, value in vars(row.of_none()).items():
        whole = getattr(row, name)
        if whole is None:
            assert value is None
        elif name == "gate_LN":
            assert value.shape == (2, 0)
        else:
            assert value.shape == (0, *whole.shape[1:])


@pytest.mark.parametrize("tile", [(1, 1), (7, 16), (16, 50), (1024, 512)])
@pytest.mark.parametrize("bias", [False, True])
def test_tiled_nll_equals_cross_entropy_whatever_the_tile(monkeypatch, tile, bias):
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 50, bias=bias)
    hidden, targets = torch.randn(100, 8) * 30, torch.randint(50, (100,))  # large logits: the maximum must be taken off
    expected = torch.nn.functional.cross_entropy(head(hidden), targets, reduction="none")
    monkeypatch.setitem(nll_module.TILE, "cpu", tile)
    with torch.no_grad():
        torch.testing.assert_close(tiled_nll(hidden, targets, head), expected, atol=1e-5, rtol=1e-6)


def test_segments_by_hand():
    lengths = torch.tensor([2, 0, 1])
    assert segment_sum(torch.tensor([1.0, 2.0, 5.0]), lengths).tolist() == [3.0, 0.0, 5.0]
    # softmax of (0, ln 3) is (1/4, 3/4); of a single value 1; a large value does not overflow
    weights = segment_softmax(torch.tensor([0.0, float(np.log(3.0)), 1000.0]), lengths)
    torch.testing.assert_close(weights, torch.tensor([0.25, 0.75, 1.0]))


def test_rows_keep_their_size_and_every_sample():
    lengths = [5, 9, 1, 1, 7, 30, 2]
    rows = rows_by_length(lengths, 10)
    assert sorted(i for row in rows for i in row) == list(range(7))
    assert [sum(lengths[i] for i in row) for row in rows] == [30, 9, 7, 9]  # the long one alone; then 9 | 7 | 5 2 1 1
    assert rows == rows_by_length(lengths, 10)


def test_experts_on_a_cpu_say_what_the_library_says(model):
    ids, answers = samples(model)
    before = score_row(model, ids, answers, says=records(model))
    use_cpu_experts(model)
    assert (model.config._experts_implementation == "mygo_cpu") is ("SelectMoe" in type(model).__name__)
    after = score_row(model, ids, answers, says=records(model))
    torch.testing.assert_close(after.nll_M, before.nll_M, atol=1e-5, rtol=0)
