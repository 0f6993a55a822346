"""The packed forward pass says what the plain library says about each sample alone."""

import numpy as np
import pytest
import torch

from mygo.models.checkpoints import load_checkpoint
from mygo.scoring import attention
from mygo.scoring import nll as nll_module
from mygo.scoring.cpu.experts import use_cpu_experts
from mygo.scoring.nll import tiled_nll
from mygo.scoring.row_statistics import score_row
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
    """Per-token NLL, gate logits [L, T], router logits [L, T, E] and last hidden state of one sample, by the library's
    own forward.
    """
    model.set_attn_implementation("sdpa")
    with torch.no_grad():
        out = model(ids[None], output_router_logits=True, output_hidden_states=True, use_cache=False)
    model.set_attn_implementation(attention.NAME)
    nll = torch.nn.functional.cross_entropy(out.logits[0, :-1], ids[1:], reduction="none")
    gates = torch.stack([layer["quality_score"][0, :, 0] for layer in out.router_logits])
    routers = [layer["moe_logits"] for layer in out.router_logits if "moe_logits" in layer]
    return nll, gates, routers, out.hidden_states[-1][0]


def test_a_packed_row_equals_one_by_one(model):
    ids, answers = samples(model)
    row = score_row(model, ids, answers, gated=True)
    nll_M, gate_LN = row.nll_M.split([length - 1 for length in LENGTHS]), row.gate_LN.split(LENGTHS, dim=1)
    for i, sample in enumerate(ids):
        nll, gates, routers, hidden = alone(model, sample)
        torch.testing.assert_close(nll_M[i], nll, atol=1e-5, rtol=0)
        torch.testing.assert_close(gate_LN[i].float(), gates, atol=2e-3, rtol=2e-3)
        if len(sample) > 1:
            torch.testing.assert_close(row.nll_S[i], nll.mean(), atol=1e-5, rtol=0)
            torch.testing.assert_close(row.answer_nll_S[i], nll[answers[i][1:]].mean(), atol=1e-5, rtol=0)
            good = torch.sigmoid(gates[:, 1:])
            torch.testing.assert_close(row.gate_mean_SL[i], good.mean(1), atol=1e-5, rtol=0)
            torch.testing.assert_close(
                row.gate_weighted_SL[i], (good * torch.softmax(nll, 0)).sum(1), atol=1e-5, rtol=0
            )
        if routers:
            torch.testing.assert_close(
                row.router_logits_S[i], torch.cat([r.mean(0) for r in routers]), atol=1e-5, rtol=0
            )
            torch.testing.assert_close(
                row.router_probs_S[i], torch.cat([torch.softmax(r, -1).mean(0) for r in routers]), atol=1e-5, rtol=0
            )
        else:
            torch.testing.assert_close(row.hidden_mean_SD[i], hidden.mean(0), atol=1e-5, rtol=0)


def test_a_sample_of_one_token_has_no_means(model):
    ids, answers = samples(model)
    row = score_row(model, ids, answers, gated=True)
    assert torch.isnan(row.nll_S[-1])
    assert torch.isnan(row.gate_mean_SL[-1]).all()
    assert torch.isnan(row.gate_weighted_SL[-1]).all()


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


def test_rows_keep_the_budget_and_every_sample():
    lengths = [5, 9, 1, 1, 7, 30, 2]
    rows = rows_by_length(lengths, 10)
    assert sorted(i for row in rows for i in row) == list(range(7))
    assert [sum(lengths[i] for i in row) for row in rows] == [30, 9, 7, 9]  # the long one alone; then 9 | 7 | 5 2 1 1
    assert rows == rows_by_length(lengths, 10)


def test_padded_rows_say_what_packed_ones_do(model):
    ids, answers = samples(model)
    packed = score_row(model, ids, answers, gated=True)
    model.set_attn_implementation("sdpa")
    padded = score_row(model, ids, answers, gated=True, packed=False)
    for name, value in vars(packed).items():
        if value is not None:
            torch.testing.assert_close(
                getattr(padded, name), value, atol=2e-3 if name == "gate_LN" else 1e-5, rtol=0, equal_nan=True
            )


def test_experts_on_a_cpu_say_what_the_library_says(model):
    ids, answers = samples(model)
    before = score_row(model, ids, answers, gated=True)
    use_cpu_experts(model)
    assert (model.config._experts_implementation == "mygo_cpu") is ("SelectMoe" in type(model).__name__)
    after = score_row(model, ids, answers, gated=True)
    torch.testing.assert_close(after.nll_M, before.nll_M, atol=1e-5, rtol=0)
