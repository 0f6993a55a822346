"""The families of selectors, by the name that `convert.family` takes."""

from dataclasses import dataclass

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping

from mygo.models.causal_lm import GatedCausalLM, GatedPreTrained
from mygo.models.config import GatedConfig
from mygo.models.families.quality_gate import QualityGateConfig, QualityGateForCausalLM, QualityGateModel
from mygo.models.families.select_moe import SelectMoeConfig, SelectMoeForCausalLM, SelectMoeModel


@dataclass(frozen=True)
class Family:
    """A gated architecture, the `model_type` of the base that it is made from, and that in words."""

    config: type[GatedConfig]
    causal_lm: type[GatedCausalLM]
    model: type[GatedPreTrained]
    base_type: str
    takes: str


FAMILIES: dict[str, Family] = {
    "select_moe": Family(SelectMoeConfig, SelectMoeForCausalLM, SelectMoeModel, "olmoe", "an OLMoE (olmoe) base"),
    "quality_gate": Family(
        QualityGateConfig, QualityGateForCausalLM, QualityGateModel, "qwen3", "a Qwen3 (qwen3) base"
    ),
}


def register() -> None:
    """Make every family known to Hugging Face's auto classes."""
    for family in FAMILIES.values():
        AutoConfig.register(family.config.model_type, family.config, exist_ok=True)
        AutoModel.register(family.config, family.model, exist_ok=True)
        AutoModelForCausalLM.register(family.config, family.causal_lm, exist_ok=True)
        _register_weight_conversion(family)


def _register_weight_conversion(family: Family) -> None:
    """Read and write checkpoints as the base does (OLMoE: one tensor per expert in files, fused ones in memory).

    By class name: without it the experts of a base silently stay random.
    """
    mapping = get_checkpoint_conversion_mapping(family.base_type)
    if mapping is not None:
        for cls in (family.model, family.causal_lm):
            register_checkpoint_conversion_mapping(cls.__name__, mapping, overwrite=True)
