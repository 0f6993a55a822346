"""The engine takes any causal language model, halves its rows when memory runs out, and loses nothing."""

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from mygo.collection.answers_alone import answers_alone, score_answers_alone
from mygo.data.encoding import Encoded
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import RowSize

SHAPE = {
    "vocab_size": 101,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
}
QUARTER = {"rope_type": "default", "partial_rotary_factor": 0.25, "rope_theta": 1e4}  # of each head turns
NEOX = SHAPE | {"head_dim": 16, "num_attention_heads": 2}
NOT_GATED = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=8)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=101, n_embd=32, n_layer=2, n_head=4, n_positions=64)),
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**NEOX, rope_parameters=QUARTER)),
    "mistral, window 8": lambda: MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=8)),
    "mamba2": lambda: Mamba2ForCausalLM(
        Mamba2Config(
            vocab_size=101, hidden_size=32, num_hidden_layers=2, num_heads=8, head_dim=8, state_size=8, n_groups=1
        )
    ),
}
LENGTHS = [3, 30, 1, 12, 12, 25, 2]


def make(name: str, tokens: int = 40) -> Engine:
    torch.manual_seed(0)
    return Engine(NOT_GATED[name]().eval(), 48, RowSize(tokens), "collect")


def texts(lengths=LENGTHS):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(5, 101, (length,), generator=generator) for length in lengths], [
        torch.arange(length) >= length // 2 for length in lengths
    ]


def nll_of(engine: Engine, ids, answers) -> dict[int, torch.Tensor]:
    """Per-token NLL by sample."""
    found = {}
    for members, row in engine.score(ids, answers):
        found |= dict(zip(members, row.nll_M.split([len(ids[i]) - 1 for i in members]), strict=True))
    return found


@pytest.mark.parametrize("name", NOT_GATED)
def test_models_without_gates_say_what_the_library_says(name, capsys):
    engine, (ids, answers) = make(name), texts()
    engine.self_test(ids, answers)
    scored = nll_of(engine, ids, answers)
    assert sorted(scored) == list(range(len(ids)))
    plain = NOT_GATED[name]().eval()
    plain.load_state_dict(engine.model.state_dict())
    for i, sample in enumerate(ids):
        with torch.no_grad():
            logits = plain(sample[None]).logits[0]
        expected = torch.nn.functional.cross_entropy(logits[:-1], sample[1:], reduction="none")
        torch.testing.assert_close(scored[i], expected, atol=1e-4, rtol=0)
    said = capsys.readouterr().err
    assert engine.packed is (name in ("llama", "qwen3", "gpt2", "gpt_neox")) is ("padded rows" not in said)


def test_the_log_says_why_rows_are_padded(capsys):
    make("mistral, window 8")
    expected = (
        "collect: MistralForCausalLM is scored in padded rows with dense attention, because its sliding window of 8 "
        "tokens is shorter than samples of up to 48 tokens"
    )
    assert expected in capsys.readouterr().err


def test_a_model_that_turns_out_not_to_pack_is_padded(monkeypatch, capsys):
    engine, (ids, answers) = make("llama"), texts()
    monkeypatch.setattr(
        type(engine.model.model.layers[0].self_attn),
        "forward",
        _with_capped_logits(type(engine.model.model.layers[0].self_attn).forward),
    )
    assert engine.self_test(ids, answers) < 0.1
    assert not engine.packed
    assert "no capped logits" in capsys.readouterr().err


def _with_capped_logits(forward):
    return lambda self, *args, **kwargs: forward(
        self, *args, **(kwargs | {"softcap": 30.0} if "segments" in kwargs else kwargs)
    )


def encoded(ids: list[int], answer: list[int]) -> Encoded:
    mask = np.array(answer, dtype=bool)
    return Encoded(np.array(ids, dtype=np.int32), mask, mask, False)


def test_answers_stand_alone_behind_a_start_token():
    chat = encoded([1, 5, 6, 7, 8, 9, 10], [0, 0, 1, 1, 0, 0, 1])
    assert [text.tolist() for text in answers_alone(chat, 2)] == [[2, 6, 7], [2, 10]]
    assert answers_alone(encoded([1, 5], [0, 0]), 2) == []


def test_the_nll_of_an_answer_alone_is_that_of_the_library():
    engine = make("llama")
    chats = [
        encoded([1, 5, 6, 7, 8, 9, 10], [0, 0, 1, 1, 0, 0, 1]),
        encoded([1, 5], [0, 0]),
        encoded([1, 50, 60, 70], [0, 1, 1, 1]),
    ]
    scored = score_answers_alone(engine, chats, start=2)
    plain = NOT_GATED["llama"]().eval()
    plain.load_state_dict(engine.model.state_dict())
    for nll, answers in zip(scored, ([[6, 7], [10]], [], [[50, 60, 70]]), strict=True):
        expected = []
        for answer in answers:
            with torch.no_grad():
                logits = plain(torch.tensor([[2, *answer]])).logits[0, :-1]
            expected += torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="none").tolist()
        np.testing.assert_allclose(nll, expected, atol=1e-5)
