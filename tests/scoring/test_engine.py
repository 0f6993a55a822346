"""The engine takes any causal language model, halves its rows when memory runs out, and loses nothing."""

import json
import subprocess
import sys

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
from mygo.errors import UserError
from mygo.scoring import engine as module
from mygo.scoring import row_size, self_test
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import RowSize, tokens_that_fit

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


def out_of_memory_above(limit: int, calls: list[int]):
    """`score_row` on a device that holds rows of at most `limit` tokens."""

    def score_row(model, samples, answers, **kwargs):
        tokens = sum(map(len, samples))
        calls.append(tokens)
        if tokens > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(model, samples, answers, **kwargs)

    real = module.score_row
    return score_row


def test_out_of_memory_halves_the_row_and_loses_no_sample(monkeypatch, tmp_path, capsys):
    engine, (ids, answers) = make("llama", tokens=64), texts()
    whole = nll_of(engine, ids, answers)
    engine.row_size.file = tmp_path / "tokens.json"
    calls: list[int] = []
    monkeypatch.setattr(module, "score_row", out_of_memory_above(32, calls))
    halved = nll_of(engine, ids, answers)
    # rows of at most 64: 30 + 25 fail with 55 tokens, so from here on rows of at most 27: 30 | 25 | 12 + 12 + 3 | 2 + 1
    assert calls == [55, 30, 25, 27, 3]
    assert engine.row_size.tokens == json.loads((tmp_path / "tokens.json").read_text()) == 27
    assert "out of memory in a row of 55 tokens; going on with rows of 27" in capsys.readouterr().err
    assert sorted(halved) == sorted(whole)
    for i in whole:
        torch.testing.assert_close(halved[i], whole[i], atol=1e-5, rtol=0)


def test_a_sample_too_large_for_the_memory_is_named(monkeypatch):
    engine, (ids, answers) = make("llama"), texts()
    monkeypatch.setattr(module, "score_row", out_of_memory_above(20, []))
    with pytest.raises(
        UserError, match=r"a sample of 30 tokens alone does not fit into memory; lower collect\.max_length"
    ):
        engine.score(ids, answers)


def test_a_text_of_the_self_test_that_does_not_fit_is_halved(monkeypatch, capsys):
    """No sample is as long as it: a run that would go well is not stopped."""
    engine, (ids, answers) = make("llama", tokens=64), texts()
    monkeypatch.setattr(module, "score_row", out_of_memory_above(40, []))
    assert engine.self_test(ids, answers) < 0.1
    assert "out of memory in a text of 48 tokens of the self test; going on with 24" in capsys.readouterr().err
    monkeypatch.setattr(module, "score_row", out_of_memory_above(20, []))
    with pytest.raises(UserError, match="a sample of 30 tokens alone does not fit into memory"):
        engine.self_test(ids, answers)


def test_memory_that_runs_out_in_the_librarys_forward_is_no_fault(monkeypatch, capsys):
    def above(limit):
        def alone(model, ids, **kwargs):
            if len(ids) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return real(model, ids, **kwargs)

        monkeypatch.setattr(self_test, "score_alone", alone)

    real, engine, (ids, answers) = self_test.score_alone, make("llama", tokens=64), texts()
    above(20)
    assert engine.self_test(ids, answers) < 0.1
    assert "of the self test; going on with 12" in capsys.readouterr().err
    above(0)
    with pytest.raises(UserError, match=r"^collect: memory ran out in a text of two tokens$"):
        engine.self_test(ids, answers)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("something else")

    engine, (ids, answers) = make("llama"), texts()
    monkeypatch.setattr(module, "score_row", broken)
    with pytest.raises(RuntimeError, match="something else"):
        engine.score(ids, answers)


REAL_LACK = """
import resource, torch
from transformers import LlamaConfig, LlamaForCausalLM
from mygo.scoring.row_size import RowSize
from mygo.scoring.engine import Engine
torch.set_num_threads(1)
model = LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=512, intermediate_size=8192, num_hidden_layers=1,
num_attention_heads=4))
engine = Engine(model.eval(), 64, RowSize(2**13), "collect")
ids = [torch.arange(64) % 60 for _ in range(2**7)]
answers = [torch.ones(64, dtype=torch.bool) for _ in ids]
engine.self_test(ids, answers)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
rows = engine.score(ids, answers)
assert sorted(i for members, _ in rows for i in members) == list(range(len(ids)))
print(engine.row_size.tokens)
"""


def test_a_real_lack_of_memory_is_survived():
    done = subprocess.run([sys.executable, "-c", REAL_LACK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 2**13
    assert "out of memory in a row of 8,192 tokens" in done.stderr


def test_automatic_rows_on_a_cpu_follow_the_model_alone(monkeypatch):
    """The free memory of the moment must not show in the last digits of a result."""
    model = NOT_GATED["llama"]()
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1}))
    assert RowSize.start("auto", model).tokens == tokens_that_fit(model) == 2048
    # 4 x (12 x 32 + 3 x 48 + 3 x 32 + 2 x 8) = 2,560 bytes a token: what there is room for
    for room, tokens in ((2560 * 2048, 2048), (2560 * 2048 - 1, 1024), (2560 * 512, 512), (1, 256)):
        monkeypatch.setattr(row_size, "CPU_ACTIVATIONS", room)
        assert tokens_that_fit(model) == tokens


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
