"""Whether the trash expert that `convert.trash_expert_mode` asks for can be made of the base model."""

from pathlib import Path

from mygo.errors import UserError
from mygo.launch.base_models import has_routers
from mygo.launch.named import check_named
from mygo.params import ConvertParams


def check_trash_expert(params: ConvertParams, root: Path) -> None:
    """Raise `UserError` for a custom module that is not there, and for the mean of experts of a dense base. Hub models
    are not looked at.
    """
    if params.trash_expert_mode == "custom":
        check_named("convert.trash_expert_module", params.trash_expert_module, root)
    if params.trash_expert_mode == "expert_mean" and has_routers(params.base_model, root) is False:
        raise UserError(
            f"convert.trash_expert_mode: got expert_mean, but convert.base_model={params.base_model} is dense: it has "
            "no experts to take the mean of; takes zero, noise, batch_noise, low_rank or custom"
        )
