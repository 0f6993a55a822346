"""What warm-up trains, and the tensors of a checkpoint that come of it."""

from typing import Any, cast

import torch
from peft import inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel

from mygo.models.gate import freeze_all_but, routing_parameters
from mygo.models.trash import trained_trash_parameters, trash_buffers
from mygo.params import WarmupParams
from mygo.training.lora import lora_config

LORA_MARK = "lora_"


def make_trainable(model: PreTrainedModel, params: WarmupParams) -> None:
    """Freeze all but the routing tensors (`full_rank`), or but LoRA and the gates (`lora`; in a model without gates,
    what routes); trash experts that are trained are so beside either.

    What is trained is held in float32: bfloat16 has too few digits for steps of 1e-4 on weights of 1e-2.
    """
    if params.trainable == "lora":
        inject_adapter_in_model(lora_config(params.lora, model, "warmup"), model)
        names = [name for name, _ in model.named_parameters()]
        gates = [name for name in names if ".quality_gate." in name]
        trained = [name for name in names if LORA_MARK in name] + (gates or routing_parameters(model))
    else:
        trained = routing_parameters(model)
    freeze_all_but(model, trained + trained_trash_parameters(model))
    for tensor in (*model.parameters(), *trash_buffers(model).values()):
        if tensor.requires_grad or not isinstance(tensor, nn.Parameter):
            tensor.data = tensor.data.float()


def trained_names(model: PreTrainedModel) -> list[str]:
    """Names, in a checkpoint, of the tensors that training changed."""
    adapted = [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, LoraLayer)]
    learnt = [name for name, parameter in model.named_parameters() if parameter.requires_grad and LORA_MARK not in name]
    return [*adapted, *learnt, *trash_buffers(model)]


def merged_state(model: PreTrainedModel, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint under the selector's own names, LoRA added into the weights; the model is left as it
    is.
    """
    adapted = {
        f"{name}.base_layer.weight": module for name, module in model.named_modules() if isinstance(module, LoraLayer)
    }
    state: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        if LORA_MARK in name:
            continue
        if name in adapted:
            tensor = tensor.float() + cast(Any, adapted[name]).get_delta_weight("default").float()
        state[name.replace(".base_layer.", ".")] = tensor.to(dtype)
    return state
