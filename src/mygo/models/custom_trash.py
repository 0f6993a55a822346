"""The trash expert of a user's own: built, and looked over before a model is made of it."""

import torch
from torch import Tensor, nn

from mygo.errors import UserError
from mygo.models.config import GatedConfig
from mygo.models.named import load_named

KEY = "convert.trash_expert_module"


def custom_expert(config: GatedConfig) -> nn.Module:
    """What `convert.trash_expert_module` names, built from the config. Raises `UserError` if that is not a module, or
    one whose tensors a checkpoint would not hold.

    Warm-up trains it if its class says `trained = True`.
    """
    named = config.trash_expert_module
    expert = load_named(named, KEY)
    if not (isinstance(expert, type) and issubclass(expert, nn.Module)):
        raise UserError(f"{KEY}: got {named!r}, which is not a torch.nn.Module class")
    try:
        built = expert(config)
    except TypeError as error:
        raise UserError(f"{KEY}: got {named!r}, which cannot be called with the model's config ({error})") from None
    if lost := _not_saved(built):
        raise UserError(
            f"{KEY}: got {named!r}, whose {lost[0]} no checkpoint would hold; takes a module whose tensors are all "
            "parameters, or buffers that are persistent"
        )
    return built


def _not_saved(expert: nn.Module) -> list[str]:
    """Tensors of a module that its state leaves out: read from a checkpoint it would have anything in their place."""
    found: list[str] = []
    for module in expert.modules():
        found += sorted(module._non_persistent_buffers_set)
        found += [name for name, value in vars(module).items() if isinstance(value, Tensor)]
    return found


@torch.no_grad()
def check_shape(expert: nn.Module, config: GatedConfig) -> None:
    """Raises `UserError` for an expert whose output is not of its input's shape."""
    x = torch.zeros(1, 2, config.hidden_size)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        out = expert(x)
    except (RuntimeError, TypeError) as error:
        said = f"fails on an input of shape {list(x.shape)} ({str(error).splitlines()[0]})"
    else:
        if isinstance(out, Tensor) and out.shape == x.shape:
            return
        what = f"shape {list(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
        said = f"returns {what} for an input of shape {list(x.shape)}"
    raise UserError(
        f"{KEY}: got {config.trash_expert_module!r}, which {said}; takes one that returns [batch, seq, hidden]"
    )
