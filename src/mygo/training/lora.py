"""LoRA from the `lora` parameters, the same for warm-up and fine-tuning."""

from peft import LoraConfig, TaskType
from torch import nn

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
