"""What the families add to the config of their base."""

from typing import Any

from transformers import PreTrainedConfig

from mygo.params.choices import Averaging, QualityLossType, TrashExpertMode


class GatedConfig(PreTrainedConfig):
    """Mixin before a base's config class. Decorate the subclass with `strict`, or wrong types pass.

    Gates start from N(quality_gate_init_mean, quality_gate_init_std). `trash_expert_module` (`package.module:Class`,
    called with the config) belongs to `trash_expert_mode: custom`, `trash_expert_rank` to `low_rank`,
    `quality_loss_function` (`package.module:function`) to `quality_loss_type: custom`. `quality_loss_debug` adds
    `good_ratio_range` to the output, which warm-up logs at every step. The weight of the load balancing loss is the
    base's own `router_aux_loss_coef`.
    """

    quality_gate_init_mean: float = 0.0
    quality_gate_init_std: float = 0.02
    trash_expert_mode: TrashExpertMode = "zero"
    trash_expert_module: str | None = None
    trash_expert_rank: int = 8
    quality_loss_type: QualityLossType = "sigmoid"
    quality_loss_weight: float = 0.01
    quality_loss_averaging: Averaging = "sample_wise"
    quality_loss_function: str | None = None
    quality_loss_debug: bool = False
    beta_target_mean: float = 0.5
    beta_target_var: float = 0.05
    w_mean: float = 1.0
    w_var: float = 1.0
    lambda_var: float = 0.1
    enable_load_balancing: bool = False
    output_router_logits: bool = False


class TrashCanConfig(GatedConfig):
    """The same for trash-can experts, which have a constraint in place of a quality loss: `quality_loss_weight` is its
    weight, `quality_loss_averaging` says how it is averaged, `trash_can_alpha` and `trash_can_beta` are those of its
    Beta prior; the keys of trash experts and of the other losses are not read. The new rows of the routers start like
    gates. `trash_experts` is how many each router gets; None stands for as many as a token chooses.
    """

    trash_experts: int | None = None
    trash_can_alpha: float = 1.0
    trash_can_beta: float = 2.0

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.trash_experts is None:
            self.trash_experts = self.num_experts_per_tok  # pyright: ignore[reportAttributeAccessIssue]
