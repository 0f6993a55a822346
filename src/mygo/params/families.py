"""Which base models the families of selectors take, and what the selectors record: known without importing a model.

The models have the last word (mygo.models.families): of a base that is in no table here it is known only when it is
built whether its layers have a feed-forward block.
"""

from collections.abc import Mapping
from typing import Any

from mygo.errors import shown
from mygo.params.choices import Family

# `model_type` of the bases that a family takes; quality_gate takes any decoder whose layers have a feed-forward block.
ROUTED = ("olmoe", "qwen3_moe", "mixtral")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")  # how many there are, as configs say it
BASE_TYPES: dict[Family, tuple[str, ...] | None] = {
    "select_moe": ("olmoe",),
    "quality_gate": None,
    "trash_can": ROUTED,
    "stock_moe": ROUTED,
}
TAKES = (
    "takes olmoe for select_moe; a decoder with feed-forward blocks (qwen3, qwen2, llama, mistral, gemma, phi, olmo2, "
    f"olmoe and the like) for quality_gate; {', '.join(ROUTED[:-1])} or {ROUTED[-1]} for trash_can and stock_moe"
)
# What statistics hold of a selector beside its NLL; quality_gate on a sparse base has routers too.
RECORDS: dict[Family, frozenset[str]] = {
    "select_moe": frozenset({"gates", "routers"}),
    "quality_gate": frozenset({"gates"}),
    "trash_can": frozenset({"routers", "trash_experts"}),
    "stock_moe": frozenset({"routers"}),
}
OWN_NAMES = {("quality_gate", "olmoe"): "select_moe", ("trash_can", "olmoe"): "trash_can"}
MARK = "selector_family"  # key of a config whose model_type is its base's
# Not one decoder over text: what a config says of it.
WITHOUT = (
    ("is_encoder_decoder", "it has an encoder, and a selector is a decoder alone"),
    ("vision_config", "it reads images beside text; take its text model alone"),
    ("audio_config", "it reads sound beside text; take its text model alone"),
    ("text_config", "its decoder is a part of a larger model; take its text model alone"),
)


def selector_type(family: Family, base_type: str) -> str:
    """`model_type` of a selector of this family made from such a base: `quality_gate_llama`, `select_moe`."""
    if family == "stock_moe":
        return base_type
    family = "quality_gate" if family == "select_moe" else family
    return OWN_NAMES.get((family, base_type), f"{family}_{base_type}")


def family_of(config: Mapping[str, Any]) -> Family | None:
    """The family of a selector by its raw config; None of a model that is none."""
    if config.get(MARK) == "stock_moe":
        return "stock_moe"
    kind = str(config.get("model_type"))
    if kind == "select_moe":
        return "select_moe"
    return next((f for f in ("quality_gate", "trash_can") if kind == f or kind.startswith(f"{f}_")), None)


def why_not(family: Family, config: Mapping[str, Any]) -> str | None:
    """Why this family is not made from a base of this raw config, as far as that is known: the end of a sentence."""
    kind, bases = shown(config.get("model_type")), BASE_TYPES[family]
    if (made := family_of(config)) is not None:
        return f"a model of type {kind}, which is a selector of family {made} already; {TAKES}"
    reason = next((why for key, why in WITHOUT if config.get(key)), None)
    if reason is not None:
        return f"a model of type {kind}, which cannot be gated: {reason}; {TAKES}"
    if bases is not None and kind not in bases:
        return f"a model of type {kind} with convert.family={family}; {TAKES}"
    if "routers" in RECORDS[family] and all_dense(config):
        return f"a model of type {kind} all of whose layers are dense, with convert.family={family}; {TAKES}"
    return None


def all_dense(config: Mapping[str, Any]) -> bool:
    """Whether a raw config leaves a model of a sparse `model_type` without a sparse layer (Qwen3-MoE's can)."""
    layers, dense = config.get("num_hidden_layers"), config.get("mlp_only_layers") or []
    step = config.get("decoder_sparse_step") or 1
    if not (isinstance(layers, int) and isinstance(step, int) and isinstance(dense, list)):
        return False
    return all(layer in dense or (layer + 1) % step for layer in range(layers))
