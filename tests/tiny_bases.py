"""Tiny bases on disk, one per family, each with a tokenizer."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    OlmoeConfig,
    OlmoeForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from mygo.params import ConvertParams

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
BASES = {
    "olmoe": lambda: OlmoeForCausalLM(OlmoeConfig(**SIZES, num_experts=4, num_experts_per_tok=2)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8, tie_word_embeddings=True)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
}


@dataclass(frozen=True)
class Case:
    """A family and a base that fits it."""

    family: str
    base: Path


def save_base(kind: str, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    torch.manual_seed(0)
    base: PreTrainedModel = BASES[kind]().to(dtype)
    base.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "a": 2}, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", pad_token="<pad>").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bases(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bases")
    return {kind: save_base(kind, root / kind) for kind in BASES}


@pytest.fixture(params=[("select_moe", "olmoe"), ("quality_gate", "qwen3")], ids=lambda pair: pair[0])
def case(request, bases) -> Case:
    family, kind = request.param
    return Case(family, bases[kind])


@pytest.fixture
def bfloat16_base(case, tmp_path) -> Path:
    return save_base(case.base.name, tmp_path / "bfloat16", torch.bfloat16)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(2, 64, (2, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def make_params():
    """ConvertParams with the defaults of conf/, but for what is given."""

    def make(family: str, base: Path | str, **changes) -> ConvertParams:
        defaults = {
            "family": family,
            "base_model": str(base),
            "revision": None,
            "trash_expert_mode": "zero",
            "trash_expert_module": None,
            "trash_expert_rank": 8,
            "trash_experts": None,
            "quality_gate_init_mean": 0.0,
            "quality_gate_init_std": 0.02,
            "dtype": "auto",
            "tolerance": 0.0,
            "memory_efficient": False,
        }
        return ConvertParams.model_validate(defaults | changes)

    return make


@pytest.fixture
def read_tensors():
    """All tensors of a checkpoint folder, sharded or not."""

    def read(folder: Path) -> dict[str, torch.Tensor]:
        index = folder / "model.safetensors.index.json"
        files = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else {"model.safetensors"}
        return {name: tensor for file in files for name, tensor in load_file(folder / file).items()}

    return read
