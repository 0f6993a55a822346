"""Statistics of families without gates, and of bases of other architectures: what is there, what the manifest says."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mygo.collection.collect import collect
from mygo.models import from_base, load_base
from mygo.preparation.tokenizer import train_tokenizer
from tests.collection.processes import CPU, PARAMS
from tests.tiny_decoders import tiny

ROUTERS = ("router_layers", "experts", "experts_per_token", "trash_experts")
CASES = [
    ("trash_can", "olmoe", 2, ["routers"], [2, 4, 2, 3]),
    ("trash_can", "qwen3_moe_mixed", 1, ["routers"], [1, 4, 2, 3]),
    ("stock_moe", "mixtral", 2, ["routers"], [2, 4, 2, 0]),
    ("quality_gate", "qwen3_moe_step", 2, ["gates", "routers"], [1, 4, 2, 0]),
    ("quality_gate", "gemma2", 2, ["gates", "hidden"], [0, 0, 0, 0]),
    ("quality_gate", "granitemoe", 2, ["gates", "routers"], [2, 4, 2, 0]),
    ("quality_gate", "deepseek_v3", 2, ["gates", "routers"], [1, 4, 2, 0]),
]


@pytest.fixture
def tokenizer():
    return train_tokenizer(["<|user|>\namber brook\n<|assistant|>\ncedar dune ember frost\n"])


def columns(folder, names):
    table = pq.ParquetDataset(sorted(folder.glob("shard-*.parquet"))).read()
    return table.schema.names, {
        name: np.array(table[name].to_pylist(), float) for name in names if name in table.column_names
    }


@pytest.mark.parametrize(("family", "name", "layers", "recorded", "routers"), CASES)
def test_what_is_recorded_of_a_warmed_selector(tokenizer, pool, tmp_path, family, name, layers, recorded, routers):
    tiny(name, vocab_size=len(tokenizer)).save_pretrained(tmp_path / "base")
    model = from_base(family, str(tmp_path / "base"), quality_gate_init_std=0.5, trash_experts=3)
    for folder in (tmp_path / "selector", tmp_path / "warmed/epoch_1"):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    params = PARAMS.model_copy(update={"base_nll": True})
    collect(params, CPU, tmp_path / "warmed", pool, tmp_path / "out", tmp_path / "selector")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["layers"], manifest["records"], manifest["selector"]) == (layers, recorded, True)
    assert [manifest[key] for key in ROUTERS] == routers
    names, values = columns(tmp_path / "out", ["router_probs", "router_logits", "trash_mass", "base_nll", "nll"])
    assert ("gate_mean" in names, "gate_logits" in names) == (("gates" in recorded),) * 2
    width = routers[0] * (routers[1] + routers[3])
    assert ("router_probs" in names) == (width > 0)
    if width:
        assert values["router_probs"].shape == values["router_logits"].shape == (40, width)
        np.testing.assert_allclose(values["router_probs"].sum(1), routers[0], rtol=1e-5)
    assert ("trash_mass" in names) == (family == "trash_can")
    if family == "trash_can":
        assert values["trash_mass"].shape == (40, routers[0])
        assert 0 < values["trash_mass"].min() < values["trash_mass"].max() < 1
    base = load_base(str(tmp_path / "base")).eval()
    assert (family == "stock_moe") == np.allclose(values["nll"], values["base_nll"], atol=1e-4)
    check_base_nll(base, tmp_path / "out", values["base_nll"], tokenizer, pool)


@torch.no_grad()
def check_base_nll(base, out, base_nll, tokenizer, pool):
    from mygo.data.encoding import Encoder

    messages = pq.read_table(pool / "pool-00000.parquet")["messages"].to_pylist()
    for i, sample in enumerate(Encoder(tokenizer, PARAMS.max_length).encode(messages[:5])):
        ids = torch.from_numpy(sample.input_ids).long()
        nll = torch.nn.functional.cross_entropy(base(ids[None]).logits[0, :-1], ids[1:])
        assert base_nll[i] == pytest.approx(nll.item(), abs=1e-4)


def test_a_plain_mixture_of_experts_records_its_routers(tokenizer, pool, tmp_path):
    tiny("olmoe", vocab_size=len(tokenizer)).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    params = PARAMS.model_copy(update={"base_model": str(tmp_path / "base"), "tokens": False})
    collect(params, CPU, tmp_path, pool, tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["layers"], manifest["records"], manifest["selector"]) == (2, ["routers"], False)
    assert [manifest[key] for key in ROUTERS] == [2, 4, 2, 0]
