"""Select-MoE: OLMoE with a quality gate in front of each sparse MoE block."""

# As everywhere in transformers, a subclass narrows `config` and returns a richer output from `forward`.
# pyright: reportIncompatibleVariableOverride=false, reportIncompatibleMethodOverride=false

from typing import ClassVar

from huggingface_hub.dataclasses import strict
from transformers import OlmoeConfig, OlmoeForCausalLM, OlmoeModel
from transformers.models.olmoe.modeling_olmoe import OlmoePreTrainedModel, OlmoeSparseMoeBlock

from mygo.models.causal_lm import GatedCausalLM, GatedPreTrained, gate_layers, record_gates
from mygo.models.config import GatedConfig
from mygo.models.gate import GatedFeedForward


@strict
class SelectMoeConfig(GatedConfig, OlmoeConfig):
    model_type = "select_moe"


class SelectMoeBlock(GatedFeedForward, OlmoeSparseMoeBlock):
    routing: ClassVar[tuple[str, ...]] = ("quality_gate", "gate")


class SelectMoePreTrainedModel(GatedPreTrained, OlmoePreTrainedModel):
    config: SelectMoeConfig
    _can_record_outputs = record_gates(OlmoePreTrainedModel)

    @classmethod
    def _can_set_experts_implementation(cls) -> bool:
        return True  # the library looks for its decorator's text in this file, where only the parent's file has it


class SelectMoeModel(SelectMoePreTrainedModel, OlmoeModel):
    def __init__(self, config: SelectMoeConfig) -> None:
        super().__init__(config)
        gate_layers(self, SelectMoeBlock)
        self.post_init()


class SelectMoeForCausalLM(GatedCausalLM, SelectMoePreTrainedModel, OlmoeForCausalLM):
    config: SelectMoeConfig

    def __init__(self, config: SelectMoeConfig) -> None:
        super().__init__(config)
        self.model = SelectMoeModel(config)
        self.post_init()
