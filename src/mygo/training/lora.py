"""LoRA from the `lora` parameters, the same for warm-up and fine-tuning."""

import warnings

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from mygo.errors import UserError
from mygo.params import LoraParams


def lora_config(params: LoraParams, model: nn.Module, stage: str) -> LoraConfig:
    """PEFT's configuration. Modules are named, never `all-linear`, which would wrap the gates too.

    Raises `UserError` if the model has no module of a name in `target_modules`.
    """
    names = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    unknown = sorted(set(params.target_modules) - names)
    if unknown:
        raise UserError(
            f"{stage}.lora.target_modules: got {unknown[0]}; {type(model).__name__} has {', '.join(sorted(names))}"
        )
    return LoraConfig(
        r=params.r,
        lora_alpha=params.alpha,  # type: ignore[arg-type]  # a float works; the annotation says int
        lora_dropout=params.dropout,
        target_modules=sorted(params.target_modules),
        task_type=TaskType.CAUSAL_LM,
    )


def add_lora(model: PreTrainedModel, params: LoraParams, stage: str) -> PeftModel:
    """The model with adapters beside the named modules, which alone are trained."""
    with warnings.catch_warnings():
        # PEFT 0.21 asks for checkpointing under a name that transformers 5 has deprecated; the answer is the same.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        adapted = get_peft_model(model, lora_config(params, model, stage))
    assert isinstance(adapted, PeftModel)
    return adapted
