"""What collect writes: rows one to one with the pool, numbers that do not depend on what a sample was batched with."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from mygo.collection.collect import collect
from mygo.data.encoding import Encoder
from mygo.errors import UserError
from mygo.models.checkpoints import load_checkpoint
from mygo.models.gate import gated_blocks
from tests.collection.processes import CPU, PARAMS


def columns(folder: Path, *names: str) -> dict[str, np.ndarray]:
    table = pq.ParquetDataset(sorted(folder.glob("shard-*.parquet"))).read(columns=list(names))
    return {name: np.array(table[name].to_pylist(), dtype=float) for name in names}


def test_statistics_are_one_to_one_with_the_pool(tiny_selector, pool, tmp_path, conversations):
    metrics = collect(PARAMS, CPU, tiny_selector.parent, pool, tmp_path / "out")
    table = pq.ParquetDataset(sorted((tmp_path / "out").glob("shard-*.parquet"))).read()
    assert table["id"].to_pylist() == [f"made_{i}" for i in range(len(conversations))]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert [shard["rows"] for shard in manifest["shards"]] == [16, 16, 8]
    routed = "select_moe" in str(tiny_selector)
    assert manifest["records"] == ["gates", "routers" if routed else "hidden"]
    routers = [manifest[name] for name in ("router_layers", "experts", "experts_per_token", "trash_experts")]
    assert (manifest["layers"], manifest["selector"]) == (2, True)
    assert routers == ([2, 4, 2, 0] if routed else [0, 0, 0, 0])
    for i in range(len(table)):
        tokens = table["n_tokens"][i].as_py()
        nll = np.frombuffer(table["token_nll"][i].as_py(), np.float32)
        gates = np.frombuffer(table["gate_logits"][i].as_py(), np.float16).reshape(2, tokens)
        assert len(nll) == tokens - 1
        assert table["nll"][i].as_py() == pytest.approx(nll.mean(), abs=1e-5)
        good = 1 / (1 + np.exp(-gates[:, 1:].astype(np.float64)))
        assert table["gate_mean"][i].as_py() == pytest.approx(good.mean(1), abs=1e-3)
        weights = np.exp(nll) / np.exp(nll).sum()
        assert table["gate_weighted"][i].as_py() == pytest.approx((good * weights).sum(1), abs=1e-3)
    assert metrics["samples"] == len(conversations)
    assert metrics["tokens"] == sum(table["n_tokens"].to_pylist())
    assert metrics["truncated"] == sum(table["truncated"].to_pylist()) > 0


@pytest.mark.parametrize("also", ["base_nll", "answer_alone", "hidden_states"])
def test_a_base_model_with_gates_of_which_no_base_is_known_is_refused(tiny_selector, pool, tmp_path, also):
    params = PARAMS.model_copy(update={"base_model": str(tiny_selector), also: True})
    with pytest.raises(
        UserError,
        match=r"^collect\.base_model: got .*epoch_1, a selector, whose base is not known; takes a plain model",
    ):
        collect(params, CPU, tmp_path, pool, tmp_path / "out")


def test_a_sample_does_not_depend_on_its_row(tiny_selector, pool, tmp_path):
    small = PARAMS.model_copy(update={"tokens_per_batch": 64, "shard_size": 5})
    collect(PARAMS, CPU, tiny_selector.parent, pool, tmp_path / "a")
    collect(small, CPU, tiny_selector.parent, pool, tmp_path / "b")
    names = ("nll", "nll_answer", "gate_mean", "gate_weighted")
    a, b = (columns(tmp_path / out, *names) for out in "ab")
    for name in names:
        np.testing.assert_allclose(a[name], b[name], atol=1e-4)


def test_end_tokens_that_were_taken_off_answers_are_counted(tiny_selector, write_pool_of, tmp_path, conversations):
    end = AutoTokenizer.from_pretrained(tiny_selector).eos_token
    counts = [1, 0, 2] + [0] * 37
    chats = [
        [user, {**answer, "content": answer["content"] + end * count}]
        for (user, answer), count in zip(conversations, counts, strict=True)
    ]
    pool = write_pool_of(tmp_path / "ends", chats)
    metrics = collect(PARAMS, CPU, tiny_selector.parent, pool, tmp_path / "out")
    table = pq.ParquetDataset(sorted((tmp_path / "out").glob("shard-*.parquet"))).read()
    assert table["end_tokens_removed"].to_pylist() == counts
    assert metrics["end_tokens_removed"] == 3


def token_column(folder: Path, name: str) -> list[np.ndarray]:
    table = pq.ParquetDataset(sorted(folder.glob("shard-*.parquet"))).read(columns=[name])
    return [np.frombuffer(blob, np.float32) for blob in table[name].to_pylist()]


def test_answers_alone_are_scored_on_request(tiny_selector, pool, tmp_path):
    params = PARAMS.model_copy(update={"answer_alone": True, "base_nll": True})
    collect(params, CPU, tiny_selector.parent, pool, tmp_path / "out", tiny_selector)
    alone, means = (
        token_column(tmp_path / "out", "token_nll_answer_alone"),
        columns(tmp_path / "out", "nll_answer_alone", "nll_answer"),
    )
    for i, nll in enumerate(alone):
        if len(nll):
            assert means["nll_answer_alone"][i] == pytest.approx(nll.mean(), abs=1e-5)
        else:  # cut off by max_length
            assert np.isnan(means["nll_answer_alone"][i])
            assert np.isnan(means["nll_answer"][i])
    model = load_checkpoint(tiny_selector, torch.float32).eval()
    for block in gated_blocks(model).values():
        block.forward = block.whole
    encoder = Encoder(AutoTokenizer.from_pretrained(tiny_selector), PARAMS.max_length)
    messages = pq.read_table(pool / "pool-00000.parquet")["messages"].to_pylist()
    sample = encoder.encode(messages[3:4])[0]
    ids = torch.tensor([encoder.tokenizer.eos_token_id, *sample.input_ids[sample.answer]])
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction="none")
    np.testing.assert_allclose(alone[3], expected, atol=1e-5)


@pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)
def test_any_causal_language_model_scores_the_pool(tiny_selector, pool, tmp_path):
    plain = LlamaForCausalLM(
        LlamaConfig(vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
    )
    plain.save_pretrained(tmp_path / "llama")
    AutoTokenizer.from_pretrained(tiny_selector).save_pretrained(tmp_path / "llama")
    params = PARAMS.model_copy(update={"base_model": str(tmp_path / "llama")})
    collect(params, CPU, tmp_path / "nothing is warmed", pool, tmp_path / "out")
    names = pq.read_schema(tmp_path / "out/shard-00000.parquet").names
    assert names == [
        *("source_dataset", "source_index", "id", "n_tokens", "truncated", "end_tokens_removed"),
        *("nll", "nll_answer", "token_nll", "answer", "rejected"),
    ]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["records"], manifest["selector"], manifest["layers"]) == ([], False, 2)
    assert np.isfinite(columns(tmp_path / "out", "nll")["nll"]).all()
    with pytest.raises(UserError, match=r"^collect\.base_model: got nowhere"):
        collect(PARAMS.model_copy(update={"base_model": "nowhere"}), CPU, tmp_path, pool, tmp_path / "other")


@pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)
def test_noise_in_place_of_the_experts_is_the_same_in_every_row(tiny_selector, pool, tmp_path):
    shutil.copytree(tiny_selector, tmp_path / "warmed/epoch_1")
    config = tmp_path / "warmed/epoch_1/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "trash_expert_mode": "noise"}))
    small = PARAMS.model_copy(update={"tokens_per_batch": 64, "shard_size": 5})
    for out, params in (("a", PARAMS), ("b", small)):
        collect(params, CPU, tmp_path / "warmed", pool, tmp_path / out)
    a, b = (columns(tmp_path / out, "nll", "gate_mean") for out in "ab")
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=1e-4)


def test_a_checkpoint_that_is_not_there_is_named(tiny_selector, pool, tmp_path):
    with pytest.raises(UserError, match=r"^collect\.checkpoint: got 7; .* holds epochs 1$"):
        collect(PARAMS.model_copy(update={"checkpoint": 7}), CPU, tiny_selector.parent, pool, tmp_path / "out")


def test_a_model_that_says_nan_stops_the_stage(tiny_selector, pool, tmp_path, monkeypatch):
    from mygo.collection import collect as module
    from mygo.collection import grader

    load = grader.load_checkpoint

    def broken(*args, **kwargs):
        model = load(*args, **kwargs)
        torch.nn.init.constant_(model.lm_head.weight, float("nan"))
        return model

    monkeypatch.setattr(grader, "load_checkpoint", broken)
    monkeypatch.setattr(module.Engine, "self_test", lambda *args: 0.0)
    with pytest.raises(UserError, match="not finite"):
        collect(PARAMS, CPU, tiny_selector.parent, pool, tmp_path / "out")
    assert not (tmp_path / "out").exists()
