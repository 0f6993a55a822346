"""The quality gate on a dense model: Qwen3 with a gate in front of each MLP."""

# As everywhere in transformers, a subclass narrows `config` and returns a richer output from `forward`.
# pyright: reportIncompatibleVariableOverride=false, reportIncompatibleMethodOverride=false

from huggingface_hub.dataclasses import strict
from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3MLP, Qwen3PreTrainedModel

from mygo.models.causal_lm import GatedCausalLM, GatedPreTrained, gate_layers, record_gates
from mygo.models.config import GatedConfig
from mygo.models.gate import GatedFeedForward


@strict
class QualityGateConfig(GatedConfig, Qwen3Config):
    model_type = "quality_gate_qwen3"


class QualityGateMLP(GatedFeedForward, Qwen3MLP):
    pass


class QualityGatePreTrainedModel(GatedPreTrained, Qwen3PreTrainedModel):
    config: QualityGateConfig
    _can_record_outputs = record_gates(Qwen3PreTrainedModel)


class QualityGateModel(QualityGatePreTrainedModel, Qwen3Model):
    def __init__(self, config: QualityGateConfig) -> None:
        super().__init__(config)
        gate_layers(self, QualityGateMLP)
        self.post_init()


class QualityGateForCausalLM(GatedCausalLM, QualityGatePreTrainedModel, Qwen3ForCausalLM):
    config: QualityGateConfig

    def __init__(self, config: QualityGateConfig) -> None:
        super().__init__(config)
        self.model = QualityGateModel(config)
        self.post_init()
