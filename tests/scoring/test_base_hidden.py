"""Hidden states of a base, pooled over a sample's tokens: of a base alone, and held against its own forward."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from mygo.errors import UserError
from mygo.models.base_weights import BaseWeights
from mygo.models.checkpoints import load_checkpoint
from mygo.scoring import row_statistics
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import RowSize
from tests.scoring.test_base_pass import LENGTHS, selector, texts, warmed  # noqa: F401

FIELDS = ["base_hidden_mean_SD", "base_hidden_weighted_SD"]


def test_they_are_pooled_in_the_pass_of_the_base_alone(case, selector, warmed):  # noqa: F811
    model = load_checkpoint(warmed(trainable="lora"), torch.float32)
    engine = Engine(model, 48, RowSize(64), "collect", BaseWeights.of(model, selector), hidden_states=True)
    assert engine.self_test(*texts()) < 1
    assert all(getattr(row, name) is None for _, row in engine.score(*texts()) for name in FIELDS)
    plain = AutoModelForCausalLM.from_pretrained(case.base).eval()
    with engine.as_base():
        check_pooled(engine, plain)


@pytest.mark.parametrize("packed", [True, False])
def test_a_model_without_gates_is_a_base(case, packed):
    plain = AutoModelForCausalLM.from_pretrained(case.base).eval()
    engine = Engine(AutoModelForCausalLM.from_pretrained(case.base), 48, RowSize(64), "collect", hidden_states=True)
    if not packed:
        engine.packed = False
        engine.model.set_attn_implementation(engine.attention)
    check_pooled(engine, plain)
    assert engine.self_test(*texts()) < 1


def check_pooled(engine, plain):
    """Against plain Python, token by token."""
    ids = texts()[0]
    for members, row in engine.score(*texts()):
        for i, found in zip(members, row.one_by_one([LENGTHS[i] for i in members]), strict=True):
            with torch.no_grad():
                hidden_TD = plain(ids[i][None], output_hidden_states=True).hidden_states[-1][0].double()
            places = [t + 1 for t in range(LENGTHS[i])]
            weighted = sum(t * h for t, h in zip(places, hidden_TD, strict=True)) / sum(places)
            torch.testing.assert_close(found.base_hidden_mean_SD[0].double(), hidden_TD.mean(0), atol=1e-5, rtol=0)
            torch.testing.assert_close(found.base_hidden_weighted_SD[0].double(), weighted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("change", [lambda value: value * 1.1, lambda _: None], ids=["other", "none"])
def test_the_self_test_compares_them(name, change, monkeypatch):
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=101, n_embd=32, n_layer=2, n_head=4, n_positions=300))
    engine = Engine(model, 64, RowSize(128), "collect", hidden_states=True)
    assert engine.self_test(*texts()) < 0.1
    copy = row_statistics.RowStatistics.start_copy
    monkeypatch.setattr(
        row_statistics.RowStatistics,
        "start_copy",
        lambda self: row_statistics.RowStatistics(**{**vars(copy(self)), name: change(getattr(self, name))}),
    )
    with pytest.raises(UserError, match=f"differs from one-by-one scoring: {name} of a sample"):
        engine.self_test(*texts())
