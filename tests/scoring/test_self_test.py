"""The self test at the start of collect fails for each way in which a row can go wrong that we could think of."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from mygo.errors import UserError
from mygo.models.gate import gated_blocks
from mygo.scoring import attention, row_statistics
from mygo.scoring import nll as nll_module
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import RowSize

DIFFERS = "in rows differs from one-by-one scoring: "


def fails(engine, texts, what="") -> None:
    with pytest.raises(UserError, match=f"^scoring .* {DIFFERS}{what}"):
        engine.self_test(*texts)


def test_rows_that_are_right_are_far_within_the_bounds(engine, texts):
    assert engine.self_test(*texts) < 0.3  # most of it is the float16 that gate logits are kept in


def per_segment(change):
    """`attention._per_segment` with what `change` makes of its arguments."""
    whole = attention._per_segment
    return lambda q, k, v, lengths, scale: whole(*change(q, k, v, lengths), scale)


def test_attention_that_leaks_between_samples(engine, texts, monkeypatch):
    monkeypatch.setattr(attention, "_per_segment", per_segment(lambda q, k, v, lengths: (q, k, v, (sum(lengths),))))
    fails(engine, texts)


def test_attention_that_leaks_into_the_next_sample_only(engine, texts, monkeypatch):
    def pairs(q, k, v, lengths):
        rest = lengths[2:] if len(lengths) > 1 else ()
        return q, k, v, (sum(lengths[:2]), *rest)

    monkeypatch.setattr(attention, "_per_segment", per_segment(pairs))
    fails(engine, texts)


def cut_off(token):
    """Attention whose keys and values after a token of each sample are nothing."""

    def change(q, k, v, lengths):
        kept = torch.cat([torch.arange(length) < token for length in lengths])[:, None]
        return q, k * kept, v * kept, lengths

    return change


@pytest.mark.parametrize("token", [64, 128, 190])
def test_attention_cut_off_late_although_all_samples_are_short(engine, texts, token, monkeypatch):
    assert max(map(len, texts[0])) < 64
    monkeypatch.setattr(attention, "_per_segment", per_segment(cut_off(token)))
    fails(engine, texts)


def test_heads_that_are_exchanged(engine, texts, monkeypatch):
    monkeypatch.setattr(attention, "_per_segment", per_segment(lambda q, k, v, lengths: (q, k, v.flip(0), lengths)))
    fails(engine, texts)


def positions_run_on(monkeypatch):
    run = row_statistics._run_packed
    monkeypatch.setattr(
        row_statistics,
        "_run_packed",
        lambda model, ids_N, positions_N, *rest: run(model, ids_N, torch.arange(len(ids_N)), *rest),
    )


def test_positions_that_run_on(engine, texts, monkeypatch):
    """Rotary attention sees distances alone: only the positions themselves show it."""
    positions_run_on(monkeypatch)
    with pytest.raises(UserError, match="does not restart the positions in every sample"):
        engine.self_test(*texts)


def test_positions_that_run_on_where_they_are_learnt(texts, monkeypatch):
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=101, n_embd=32, n_layer=2, n_head=4, n_positions=300, initializer_range=0.2)
    )
    engine = Engine(model, 64, RowSize(128), "collect")
    assert engine.self_test(*texts) < 0.1
    positions_run_on(monkeypatch)
    monkeypatch.setattr(torch, "equal", lambda *_: True)  # as if no layer were told them
    fails(engine, texts, "NLL|nll")


def gates(change, monkeypatch):
    stack = row_statistics._stack
    monkeypatch.setattr(row_statistics, "_stack", lambda *args: change(stack(*args)))


@pytest.mark.parametrize("change", [lambda gate_LN: gate_LN.flip(0), lambda gate_LN: gate_LN[[0, 0]]])
def test_gates_of_another_layer(engine, texts, change, monkeypatch):
    gates(change, monkeypatch)
    fails(engine, texts, "gate_")


def test_the_sign_of_the_gates(engine, texts, monkeypatch):
    gates(torch.neg, monkeypatch)
    fails(engine, texts, "gate_")


def test_the_sign_of_one_layer_of_gates_that_say_little(loud, texts, monkeypatch):
    for block in gated_blocks(loud).values():
        block.quality_gate.weight.data *= 1e-3
    engine = Engine(loud, 200, RowSize(256), "collect")
    assert engine.self_test(*texts) < 0.5
    gates(lambda gate_LN: gate_LN * torch.tensor([[1.0], [-1.0]]), monkeypatch)
    fails(engine, texts, "gate_")


def test_gates_one_token_late(engine, texts, monkeypatch):
    gates(lambda gate_LN: gate_LN.roll(1, dims=1), monkeypatch)
    fails(engine, texts, "gate_")


@pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)
@pytest.mark.parametrize("change", [lambda layers: layers[::-1], lambda layers: [-x for x in layers]])
def test_routers_of_another_layer_or_sign(engine, texts, change, monkeypatch):
    means = row_statistics._router_means
    monkeypatch.setattr(row_statistics, "_router_means", lambda routers, lengths: means(change(routers), lengths))
    fails(engine, texts, "router_")


def field(name, change, monkeypatch):
    """`score_row` with another value of one statistic."""
    copy = row_statistics.RowStatistics.start_copy
    monkeypatch.setattr(
        row_statistics.RowStatistics,
        "start_copy",
        lambda self: row_statistics.RowStatistics(**{**vars(copy(self)), name: change(getattr(self, name))}),
    )


@pytest.mark.parametrize(
    "name",
    [
        "nll_M",
        "nll_S",
        "answer_nll_S",
        "gate_LN",
        "gate_mean_SL",
        "gate_weighted_SL",
        "gate_mean_answer_SL",
        "gate_weighted_answer_SL",
        "router_probs_S",
        "router_logits_S",
        "hidden_mean_SD",
    ],
)
def test_whatever_is_recorded_is_compared(engine, texts, name, monkeypatch):
    if getattr(engine.score(*texts)[0][1], name) is None:
        field(name, lambda _: torch.zeros(8), monkeypatch)  # there, though it should not be
    else:
        field(name, lambda value: value * 1.1, monkeypatch)
    fails(engine, texts, f"{name} of a sample")


@pytest.mark.parametrize("name", ["nll_S", "gate_mean_answer_SL"])
def test_a_number_that_is_none_is_found(engine, texts, name, monkeypatch):
    field(name, lambda value: value * torch.nan, monkeypatch)
    fails(engine, texts, name)
    monkeypatch.undo()
    field(name, lambda value: value.nan_to_num(), monkeypatch)  # a mean over no token is no number
    fails(engine, texts, name)


def linear_of(change):
    """Logits of a tile with what `change` makes of them."""
    linear = torch.nn.functional.linear
    return lambda hidden, weight, bias=None: change(linear(hidden, weight, bias))


def test_tiles_of_logits_that_are_cut(engine, texts, monkeypatch):
    """The last three entries of the vocabulary are lost, which carry less than one per cent and no sample has."""
    vocabulary = engine.model.config.vocab_size
    monkeypatch.setitem(nll_module.TILE, "cpu", (1024, 100))
    assert engine.self_test(*texts) < 0.3

    def without_three(logits):
        if logits.shape[1] == vocabulary % 100:
            logits[:, -3:] = -torch.inf
        return logits

    monkeypatch.setattr(nll_module, "linear", linear_of(without_three))
    fails(engine, texts, "NLL from tiles of logits")


def test_a_model_that_caps_its_logits(engine, texts, monkeypatch):
    forward = type(engine.model.lm_head).forward
    monkeypatch.setattr(
        type(engine.model.lm_head),
        "forward",
        lambda self, x: forward(self, x).tanh() if self.out_features > 99 else forward(self, x),
    )
    fails(engine, texts)


@pytest.mark.parametrize("part", ["rotations", "methods"])
def test_kernels_that_compute_something_else(engine, texts, part, monkeypatch):
    """The other side of the comparison runs without them."""
    if part == "methods":
        broken = [(module, name, lambda self, x: x * 0.9) for module, name, _ in engine.kernels.methods]
        monkeypatch.setattr(engine.kernels, "methods", broken)
    else:
        from mygo.scoring.cpu import kernels

        rotate = kernels.rotate
        monkeypatch.setattr(kernels, "rotate", lambda q, k, cos, sin: (rotate(q, k, cos, -sin)[0], k))
    fails(engine, texts)


@pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)
def test_experts_that_compute_something_else(engine, texts, monkeypatch):
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    assert engine.model.config._experts_implementation == "mygo_cpu"
    ours = ALL_EXPERTS_FUNCTIONS["mygo_cpu"]
    monkeypatch.setitem(ALL_EXPERTS_FUNCTIONS, "mygo_cpu", lambda *args, **kwargs: ours(*args, **kwargs) * 1.1)
    fails(engine, texts)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_passes_and_still_sees_a_sign(loud, texts, dtype, monkeypatch):
    for parameter in loud.parameters():
        if parameter.dim() > 1:
            parameter.data *= 4  # so that attention has as much to say as in a trained model
    engine = Engine(loud.to(dtype), 200, RowSize(256), "collect")
    assert engine.self_test(*texts) < 0.5
    with monkeypatch.context() as patched:
        gates(torch.neg, patched)
        fails(engine, texts, "gate_")
    monkeypatch.setattr(attention, "_per_segment", per_segment(cut_off(64)))
    fails(engine, texts)
