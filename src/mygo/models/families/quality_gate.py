"""The quality gate in front of the feed-forward block of every layer of a decoder, dense or sparse. On OLMoE this is
Select-MoE.
"""

# As everywhere in transformers, a subclass narrows `config` and returns a richer output from `forward`.
# pyright: reportIncompatibleVariableOverride=false, reportIncompatibleMethodOverride=false

from functools import cache
from inspect import Parameter, signature
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput
from transformers.utils.output_capturing import OutputRecorder

from mygo.errors import UserError
from mygo.models.base import BASE_KEY
from mygo.models.causal_lm import has_router
from mygo.models.config import GatedConfig
from mygo.models.families.classes import Classes, WithDecoder, make_classes, renames
from mygo.models.gate import QualityGate, add_gate, gated_blocks
from mygo.models.losses import Part, good_ratio_range, quality_loss
from mygo.models.terms import Term
from mygo.params.families import TAKES, selector_type

# What a layer calls its feed-forward block. A base that calls it otherwise gets its name here.
BLOCKS = ("mlp", "feed_forward", "block_sparse_moe", "moe", "ffn")


class GatedCausalLM(WithDecoder):
    """loss = lm_loss + quality_loss_weight * quality_loss + router_aux_loss_coef * load_balancing_loss."""

    config: GatedConfig

    def loss_terms(
        self,
        said: ModelOutput,
        logits: Tensor,
        labels: Tensor,
        attention_mask: Tensor | None,
        part: Part,
        **kwargs: Any,
    ) -> dict[str, Term]:
        """The quality loss of the gates besides."""
        quality, ratio_L = quality_loss(said["gate_scores"], attention_mask, self.config, part)
        debug = self.config.quality_loss_debug
        range_L2 = good_ratio_range(said["gate_scores"], attention_mask) if debug else None
        terms = super().loss_terms(said, logits, labels, attention_mask, part, **kwargs)
        return terms | {"quality_loss": Term(quality, self.config.quality_loss_weight, ratio_L, range_L2)}

    def _flags(self, wanted: bool, trains: bool) -> dict[str, bool]:
        return super()._flags(wanted, trains) | {"output_gate_scores": wanted or trains}

    def _by_layer(self, said: ModelOutput) -> tuple[dict[str, Tensor], ...]:
        routed = iter(said.get("router_logits") or ())
        return tuple(
            {"quality_score": score} | ({"moe_logits": next(routed)} if sparse else {})
            for score, sparse in zip(said["gate_scores"], has_router(self, list(gated_blocks(self))), strict=True)
        )


@cache
def gate_family(base_type: str) -> Classes:
    """The gated classes for bases of this `model_type`."""
    model_type = selector_type("quality_gate", base_type)
    return make_classes(model_type, base_type, GatedConfig, GatedCausalLM, gate_layers, record_gates)


def record_gates(base: type[PreTrainedModel]) -> dict[str, Any]:
    """What the base records, and with `output_gate_scores=True` the raw score of each layer as `gate_scores`."""
    return {**(base._can_record_outputs or {}), "gate_scores": OutputRecorder(QualityGate)}


def gate_layers(decoder: Any) -> None:
    """Put a gate in front of the feed-forward block of every layer. Raises `UserError` if a layer has none, or nobody
    would hear the gates.
    """
    blocks = [feed_forward_of(layer, decoder) for layer in layers_of(decoder)]
    if not type(decoder).base._can_record_outputs:
        raise _refusal(decoder, "transformers records nothing of what its modules say")
    if renames(type(decoder).base.config_class.model_type, "model.layers.0.mlp.quality_gate.weight"):
        raise _refusal(decoder, "transformers' rule for the names in its files takes gates for routers")
    for block in blocks:
        add_gate(block, decoder.config)


def layers_of(decoder: Any) -> nn.ModuleList:
    """The list of modules that is as long as the config says that there are layers."""
    lists = [module for module in decoder.children() if isinstance(module, nn.ModuleList)]
    layers = next((found for found in lists if len(found) == decoder.config.num_hidden_layers), None)
    if layers is None:
        raise _refusal(decoder, f"it has no list of {decoder.config.num_hidden_layers} layers")
    return layers


def feed_forward_of(layer: nn.Module, decoder: Any) -> nn.Module:
    """The block of a layer that is called with its hidden state alone."""
    block = next((found for name in BLOCKS if isinstance(found := getattr(layer, name, None), nn.Module)), None)
    if block is None:
        raise _refusal(decoder, f"its {type(layer).__name__} has no feed-forward block ({', '.join(BLOCKS)})")
    needed = [p for p in signature(type(block).forward).parameters.values() if p.default is Parameter.empty]
    positional = [p for p in needed[1:] if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    if len(positional) != 1:
        raise _refusal(decoder, f"its {type(block).__name__} takes more than the hidden state")
    return block


def _refusal(decoder: Any, why: str) -> UserError:
    base = type(decoder).base.__name__  # the library's name for it
    return UserError(f"{BASE_KEY}: got a {base}, which cannot be gated: {why}; {TAKES}")
