"""What a shard holds: the base's NLL beside that of the gated pass, and what is of answers alone."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tqdm import tqdm
from transformers import AutoTokenizer

from mygo.collection.collect import COLUMNS, Shard, collect, read_shard, score_shard
from mygo.collection.shards import TOKEN_COLUMNS
from mygo.data.encoding import Encoded, Encoder
from mygo.errors import UserError
from mygo.models.base_weights import BaseWeights
from mygo.models.checkpoints import load_checkpoint
from mygo.params import check_params
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import RowSize
from tests.collection.processes import CPU, PARAMS
from tests.test_params import params_with

PARAMS = PARAMS.model_copy(update={"answer_alone": True, "base_nll": True, "hidden_states": True})


@pytest.fixture
def warmed(tiny_selector, tmp_path):
    """The tiny selector after a warm-up that moved its routing and one more weight."""
    model = load_checkpoint(tiny_selector, torch.float32)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if "mlp.gate." in name or "quality_gate" in name or "layers.0.self_attn.q_proj" in name:
            parameter.data += 0.5 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(tmp_path / "warmed/epoch_1")
    AutoTokenizer.from_pretrained(tiny_selector).save_pretrained(tmp_path / "warmed/epoch_1")
    return tmp_path / "warmed"


def test_the_base_is_asked_beside_the_gates(warmed, tiny_selector, pool, tmp_path):
    collect(PARAMS, CPU, warmed, pool, tmp_path / "out", tiny_selector)
    table = pq.ParquetDataset(sorted((tmp_path / "out").glob("shard-*.parquet"))).read()
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["base_nll"] is True
    assert manifest["fingerprint"]["base"]
    assert [str(table.schema.field(name).type) for name in ("base_nll", "base_nll_answer")] == ["float", "float"]
    base = load_checkpoint(tiny_selector, torch.float32).eval()
    for module in base.modules():
        if hasattr(module, "whole"):
            module.forward = module.whole
    encoder = Encoder(AutoTokenizer.from_pretrained(tiny_selector), PARAMS.max_length)
    encoded = encoder.encode(pq.read_table(pool / "pool-00000.parquet")["messages"].to_pylist())
    for i in range(0, 40, 7):
        ids, answer = torch.from_numpy(encoded[i].input_ids).long(), torch.from_numpy(encoded[i].answer)
        with torch.no_grad():
            out = base(ids[None], output_hidden_states=True)
        nll = torch.nn.functional.cross_entropy(out.logits[0, :-1], ids[1:], reduction="none")
        hidden, place = out.hidden_states[-1][0], torch.arange(1, len(ids) + 1)[:, None]
        assert table["base_hidden_mean"][i].as_py() == pytest.approx(hidden.mean(0).tolist(), abs=1e-5)
        weighted = (hidden * place).sum(0) / place.sum()
        assert table["base_hidden_weighted"][i].as_py() == pytest.approx(weighted.tolist(), abs=1e-5)
        assert table["base_nll"][i].as_py() == pytest.approx(float(nll.mean()), abs=1e-5)
        assert table["base_nll_answer"][i].as_py() == pytest.approx(float(nll[answer[1:]].mean()), abs=1e-5)
        assert table["nll"][i].as_py() != pytest.approx(table["base_nll"][i].as_py(), abs=3e-5)


def test_gates_over_the_answer_alone_can_be_had_again_from_the_tokens(warmed, tiny_selector, pool, tmp_path):
    short = PARAMS.model_copy(update={"max_length": 10})
    collect(short, CPU, warmed, pool, tmp_path / "out", tiny_selector)
    table = pq.ParquetDataset(sorted((tmp_path / "out").glob("shard-*.parquet"))).read()
    assert str(table.schema.field("gate_mean_answer").type).startswith("fixed_size_list<element: float>[2]")
    without = 0
    for row in table.to_pylist():
        tokens = row["n_tokens"]
        answer = np.frombuffer(row["answer"], np.uint8)
        assert len(answer) == tokens
        assert not answer[0]
        kept = answer[1:].astype(bool)
        if not kept.any():  # cut off by max_length
            without += 1
            assert row["gate_mean_answer"] is row["gate_weighted_answer"] is row["nll_answer"] is None
            continue
        nll = np.frombuffer(row["token_nll"], np.float32)[kept]
        gates = np.frombuffer(row["gate_logits"], np.float16).reshape(2, tokens)[:, 1:][:, kept]
        good = 1 / (1 + np.exp(-gates.astype(np.float64)))
        assert row["gate_mean_answer"] == pytest.approx(good.mean(1), abs=1e-3)
        assert row["gate_weighted_answer"] == pytest.approx((good * np.exp(nll) / np.exp(nll).sum()).sum(1), abs=1e-3)
    assert without > 0


def test_without_it_there_is_no_column_of_the_base(tiny_selector, pool, tmp_path):
    params = PARAMS.model_copy(
        update={"base_nll": False, "answer_alone": False, "hidden_states": False, "tokens": False}
    )
    collect(params, CPU, tiny_selector.parent, pool, tmp_path / "out")
    names = pq.read_schema(tmp_path / "out/shard-00000.parquet").names
    absent = {"base_nll", "base_nll_answer", "base_hidden_mean", "base_hidden_weighted", "answer", "token_nll"}
    assert not absent & set(names)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["base_nll"], manifest["fingerprint"]["base"]) == (False, None)


def test_another_selector_before_the_warm_up_is_another_run(warmed, tiny_selector, pool, tmp_path):
    """The base's weights decide bytes, so they are in the fingerprint."""
    collect(PARAMS, CPU, warmed, pool, tmp_path / "a", tiny_selector)
    collect(PARAMS, CPU, warmed, pool, tmp_path / "b", warmed / "epoch_1")
    a, b = (json.loads((tmp_path / out / "manifest.json").read_text())["fingerprint"] for out in "ab")
    assert a.pop("base") != b.pop("base")
    assert a == b


def test_a_shard_without_a_token_has_the_columns_of_the_others(tiny_selector, pool):
    model = load_checkpoint(tiny_selector, torch.float32)
    base = BaseWeights.of(model, tiny_selector)
    engine = Engine(model, 48, RowSize(128), "collect", base, hidden_states=True)
    encoder = Encoder(AutoTokenizer.from_pretrained(tiny_selector), PARAMS.max_length)
    whole = read_shard(encoder, pool, 5, 0)
    none = Encoded(*(np.empty(0, dtype) for dtype in (np.int32, bool, bool)), truncated=False)
    bar = tqdm(disable=True)
    table = score_shard(engine, encoder, whole, PARAMS, bar)
    empty = score_shard(engine, encoder, Shard(0, whole.provenance, [none] * 5), PARAMS, bar)
    mixed = score_shard(engine, encoder, Shard(0, whole.provenance, [none, *whole.encoded[1:]]), PARAMS, bar)
    assert empty.schema == mixed.schema == table.schema
    for name in set(table.column_names) - set(COLUMNS):
        null = name not in ("n_tokens", "truncated", "end_tokens_removed", *TOKEN_COLUMNS)
        assert empty[name].null_count == (5 if null else 0)
        assert mixed[name].to_pylist()[0] == empty[name].to_pylist()[0]
    assert pa.compute.sum(empty["n_tokens"]).as_py() == 0
    np.testing.assert_allclose(
        mixed["base_nll"].to_numpy()[1:], table["base_nll"].to_numpy()[1:], atol=1e-5, equal_nan=True
    )


def test_a_base_whose_loss_is_not_finite_stops_the_stage(warmed, tiny_selector, pool, tmp_path, monkeypatch):
    broken = load_checkpoint(tiny_selector, torch.float32)
    broken.model.layers[0].self_attn.q_proj.weight.data[:] = torch.nan
    broken.save_pretrained(tmp_path / "broken")
    monkeypatch.setattr(Engine, "self_test", lambda *_: 0.0)
    with pytest.raises(UserError, match="not finite"):
        collect(PARAMS, CPU, warmed, pool, tmp_path / "out", tmp_path / "broken")


def test_answers_alone_are_of_the_base():
    raw = params_with("collect.answer_alone", True)
    raw["collect"] |= {"base_nll": False, "base_model": None}
    with pytest.raises(UserError) as error:
        check_params(raw)
    assert str(error.value) == (
        "collect: answer_alone got true with base_nll false, but answers alone are scored by the base; takes base_nll "
        "true, or a base_model without gates"
    )
    assert check_params({**raw, "collect": raw["collect"] | {"base_nll": True}}).collect.answer_alone
    assert check_params({**raw, "collect": raw["collect"] | {"base_model": "x/y"}}).collect.answer_alone


def test_hidden_states_are_of_the_base():
    raw = params_with("collect.hidden_states", True)
    raw["collect"] |= {"base_nll": False, "base_model": None}
    with pytest.raises(UserError) as error:
        check_params(raw)
    assert str(error.value) == (
        "collect: hidden_states got true with base_nll false, but hidden states are of the base; takes base_nll true, "
        "or a base_model without gates"
    )
    assert check_params({**raw, "collect": raw["collect"] | {"base_model": "x/y"}}).collect.hidden_states
