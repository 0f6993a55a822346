"""What the self test compares with what: texts, references, bounds."""

import pytest
import torch

from mygo.models import Records
from mygo.scoring import one_by_one
from mygo.scoring.one_by_one import Alone, Expected, expected_statistics
from mygo.scoring.self_test import Bound, _difference, texts_to_check


def test_logits_that_do_not_fit_are_taken_in_pieces(engine, texts, monkeypatch):
    with engine.library():
        whole = one_by_one.score_alone(engine.model, texts[0][0], engine.says)
    monkeypatch.setattr(one_by_one, "LOGITS", engine.model.config.vocab_size * 7)
    monkeypatch.setattr(one_by_one, "LOGITS_AT_ONCE", engine.model.config.vocab_size * 3)
    with engine.library():
        pieces = one_by_one.score_alone(engine.model, texts[0][0], engine.says)
    for name, value in vars(whole).items():
        if value is not None:
            torch.testing.assert_close(getattr(pieces, name), value, atol=1e-5, rtol=1e-5)


def test_texts_fill_a_row_and_go_down_to_one_token(texts):
    ids, answers = texts
    checked = texts_to_check(ids, answers, 100)
    assert [len(text) for text, _ in checked] == [100, 40, 33, 9, 1, 33, 33, 2, 1]
    assert checked[0][0].tolist() == (ids[0].tolist() * 3)[:100]
    assert checked[0][1].tolist() == (answers[0].tolist() * 3)[:100]
    assert [len(text) for text, _ in texts_to_check(ids[:1], answers[:1], 30)] == [30, 30, 30, 30, 2, 1]
    assert texts_to_check([ids[0][:0]], [answers[0][:0]], 30) == []


def test_bounds_by_hand():
    # of 10 tokens 0.1 + 2 / 10 = 0.3 may be off
    assert Bound(0.1, 2.0).over(10) == pytest.approx(0.3)
    # rows (1, -1) and (3, 4) against (1, 1) and (3, 3): mean differences 1 and 0.5, of scales 4 and 1: 0.5 is larger
    found = _difference(
        "x",
        torch.tensor([1.0, -1.0, 3.0, 4.0]),
        Expected(torch.tensor([[1.0, 1.0], [3.0, 3.0]]), torch.tensor([4.0, 1.0]), 10),
        Bound(0.1, 1.0),
        10,
    )
    assert (found.off, found.allowed, found.share) == pytest.approx((0.5, 0.2, 2.5))


def test_expected_statistics_by_hand():
    """Three tokens, one layer, two experts; the last token is an answer's."""
    ln3 = float(torch.tensor(3.0).log())
    alone = Alone(
        nll_T=torch.tensor([1.0, 1.0]),
        hidden_TD=torch.tensor([[1.0, -2.0], [1.0, 0.0], [4.0, -1.0]]),
        spread_T=torch.zeros(3),
        spread_nll_T=torch.zeros(3),
        gates_LT=torch.tensor([[5.0, ln3, -ln3]]),  # good_ratio 3/4 and 1/4 of the predicted tokens
        routers_LTE=torch.tensor([[[0.0, ln3]] * 3]),  # probabilities 1/4 and 3/4
    )
    found = expected_statistics(alone, torch.tensor([True, False, True]), Records(True, True, False, 0, 1))
    values = {
        name: (expected.values.tolist(), expected.scale.tolist(), expected.tokens) for name, expected in found.items()
    }
    assert values == {
        "nll_M": ([[1.0, 1.0]], [1.0], 2),
        "nll_S": ([[1.0]], [1.0], 2),
        "answer_nll_S": ([[1.0]], [1.0], 1),
        "gate_LN": ([pytest.approx([5.0, ln3, -ln3])], [pytest.approx((5 + 2 * ln3) / 3)], 3),
        "gate_mean_SL": ([[pytest.approx(0.5)]], [pytest.approx(0.25)], 2),
        "gate_weighted_SL": ([[pytest.approx(0.5)]], [pytest.approx(0.25)], pytest.approx(2)),
        "gate_mean_answer_SL": ([[pytest.approx(0.25)]], [pytest.approx(0.25)], 1),
        "gate_weighted_answer_SL": ([[pytest.approx(0.25)]], [pytest.approx(0.25)], pytest.approx(1)),
        "router_logits_S": ([pytest.approx([0.0, ln3])], [pytest.approx(ln3 / 2)], 3),
        "router_probs_S": ([pytest.approx([0.25, 0.75])], [pytest.approx(0.25)], 3),
    }
    dense = expected_statistics(
        Alone(**{**vars(alone), "routers_LTE": None}),
        torch.zeros(3, dtype=torch.bool),
        Records(gates=True, hidden=True),
    )
    assert dense["hidden_mean_SD"].values.tolist() == [[2.0, -1.0]]
    assert dense["hidden_mean_SD"].scale.tolist() == [1.5]
    # weights 1/6, 2/6, 3/6: (1 + 2 + 12) / 6 and (-2 + 0 - 3) / 6; as much to say as 1 / (14 / 36) equal tokens
    base = expected_statistics(alone, torch.ones(3, dtype=torch.bool), Records(True, True, base_hidden=True))
    assert base["base_hidden_mean_SD"].values.tolist() == [[2.0, -1.0]]
    assert base["base_hidden_weighted_SD"].values.tolist() == [pytest.approx([15 / 6, -5 / 6])]
    assert base["base_hidden_weighted_SD"].tokens == pytest.approx(36 / 14)
    assert dense["gate_weighted_answer_SL"].values.isnan().all()
    assert dense["gate_weighted_answer_SL"].tokens == dense["answer_nll_S"].tokens == 0
