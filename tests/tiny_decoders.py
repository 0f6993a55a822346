"""A tiny random base of every architecture that the families were tried on: vocabulary 64, hidden 32, two layers."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
# By a name of its own: the `model_type`, and what its config says beside the sizes.
DECODERS: dict[str, tuple[str, dict[str, object]]] = {
    "qwen3": ("qwen3", {"head_dim": 8, "tie_word_embeddings": True}),
    "qwen2": ("qwen2", {}),
    "llama": ("llama", {}),
    "mistral": ("mistral", {"head_dim": 8}),
    "smollm3": ("smollm3", {}),
    "gemma": ("gemma", {"head_dim": 8}),
    "gemma2": ("gemma2", {"head_dim": 8, "query_pre_attn_scalar": 8}),
    "gemma3": ("gemma3_text", {"head_dim": 8, "query_pre_attn_scalar": 8}),
    "phi": ("phi", {}),
    "phi3": ("phi3", {}),
    "olmo2": ("olmo2", {}),
    "gpt_neox": ("gpt_neox", {}),
    "granite": ("granite", {"logits_scaling": 2.0}),
    "olmoe": ("olmoe", EXPERTS),
    "mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3_moe": ("qwen3_moe", EXPERTS | {"head_dim": 8, "moe_intermediate_size": 16}),
    "qwen3_moe_step": ("qwen3_moe", EXPERTS | {"head_dim": 8, "moe_intermediate_size": 16, "decoder_sparse_step": 2}),
    "qwen3_moe_mixed": ("qwen3_moe", EXPERTS | {"head_dim": 8, "moe_intermediate_size": 16, "mlp_only_layers": [1]}),
}
# Whose configs say otherwise how many experts there are: trash_can and stock_moe are not made of these.
DECODERS |= {
    "granitemoe": ("granitemoe", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "deepseek_v3": (
        "deepseek_v3",
        {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1}
        | {"n_group": 1, "topk_group": 1, "num_key_value_heads": 4, "q_lora_rank": None, "kv_lora_rank": 8}
        | {"qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8},
    ),
}
MOE = {name for name, (kind, _) in DECODERS.items() if kind in ("olmoe", "mixtral", "qwen3_moe")}
ROUTED = {name: [0, 1] for name in MOE | {"granitemoe"}}
ROUTED |= {"qwen3_moe_step": [1], "qwen3_moe_mixed": [0], "deepseek_v3": [1]}  # layers with a router


def tiny(name: str, **changes: object) -> PreTrainedModel:
    """The base, with weights of 0.2: what a token sees then decides what is said of it."""
    kind, settings = DECODERS[name]
    config = AutoConfig.for_model(kind, **(SIZES | {"initializer_range": 0.2} | settings | changes))
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def saver(folder: Path) -> Callable[[str], str]:
    """Saves bases below a folder, each once; returns the path."""

    def save(name: str) -> str:
        path = folder / name
        if not path.exists():
            tiny(name).save_pretrained(path)
        return str(path)

    return save
