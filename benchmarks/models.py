"""Selectors with random weights for the speed benchmarks: small ones for a CPU, the real shapes for a GPU. Nothing is
downloaded.
"""

from typing import Any

import torch
from transformers import PreTrainedModel

from mygo.models import FAMILIES

SMALL = {
    "vocab_size": 32_000,
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "max_position_embeddings": 4096,
}
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "cpu": {
        "olmoe": SMALL
        | {"num_key_value_heads": 8, "intermediate_size": 512, "num_experts": 16, "num_experts_per_tok": 4},
        "qwen3": SMALL | {"num_key_value_heads": 4, "head_dim": 64, "intermediate_size": 1536},
    },
    "cuda": {
        # config.json of allenai/OLMoE-1B-7B-0125 and of Qwen/Qwen3-1.7B.
        "olmoe": {
            "vocab_size": 50304,
            "hidden_size": 2048,
            "num_hidden_layers": 16,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "intermediate_size": 1024,
            "num_experts": 64,
            "num_experts_per_tok": 8,
        },
        "qwen3": {
            "vocab_size": 151936,
            "hidden_size": 2048,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 6144,
        },
    },
}
FAMILY = {"olmoe": "select_moe", "qwen3": "quality_gate"}


def random_model(name: str, device: str, vocabulary: int | None = None, layers: int | None = None) -> PreTrainedModel:
    """`olmoe` or `qwen3` with gates and random weights, of the size that suits `cpu` (float32) or `cuda` (bfloat16)."""
    cls = FAMILIES[FAMILY[name]].causal_lm
    wanted = {"vocab_size": vocabulary, "num_hidden_layers": layers}
    shape = SHAPES[device][name] | {key: value for key, value in wanted.items() if value is not None}
    settings: dict[str, Any] = {
        "tie_word_embeddings": False,
        "quality_gate_init_std": 0.2,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }
    assert cls.config_class is not None
    config = cls.config_class(**shape, **settings)
    torch.manual_seed(0)
    with torch.device(device):
        return cls._from_config(config, dtype=torch.bfloat16 if device == "cuda" else torch.float32).eval()


def sample_lengths(samples: int, median: float, seed: int, longest: int = 2048) -> list[int]:
    """Log-normal lengths; sigma 0.9 lies between FLAN-CoT's 0.4 and Dolly's 1.1 (log of the characters of a
    conversation).
    """
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.exp(torch.randn(samples, generator=generator) * 0.9) * median
    return lengths.round().long().clamp(4, longest).tolist()


def random_samples(vocabulary: int, lengths: list[int], seed: int) -> list[torch.Tensor]:
    """Token ids of samples of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(2, vocabulary, (length,), generator=generator) for length in lengths]


def flops(config: Any, lengths: list[int]) -> float:
    """Useful floating-point operations of one forward pass: two a weight that a token meets, attention over earlier
    tokens of the sample only, and the head only where a token is predicted. Padding, masks and elementwise work count
    nothing.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    head_dim = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    queries, keys = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    experts = getattr(config, "num_experts_per_tok", 1)
    router = getattr(config, "num_experts", 0)
    weights = (
        hidden * (2 * queries + 2 * keys) + 3 * hidden * config.intermediate_size * experts + hidden * router + hidden
    )
    tokens, predicted = sum(lengths), sum(length - 1 for length in lengths)
    pairs = sum(length * (length + 1) // 2 for length in lengths)
    return 2.0 * (layers * (weights * tokens + 2 * queries * pairs) + hidden * config.vocab_size * predicted)
