"""Memory that runs out: rows are halved, no sample is lost, the self test goes on."""

import json
import subprocess
import sys

import pytest
import torch

from mygo.errors import UserError
from mygo.scoring import engine as module
from mygo.scoring import row_size, self_test
from mygo.scoring.row_size import RowSize, tokens_that_fit
from tests.scoring.test_engine import NOT_GATED, make, nll_of, texts


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
        def alone(model, ids, says):
            if len(ids) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return real(model, ids, says)

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
