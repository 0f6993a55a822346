"""The sections `warmup` and `finetune`, and what the two share."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mygo.params.choices import Averaging, Dtype, ObjectiveName, Predict, QualityLossType
from mygo.params.schema.fields import Chance, Count, NotNegative, Place, Positive, Section


class QualityLossParams(Section):
    """The losses of moments (beta_moment_matching, mean_variance_regularization) are taken of each micro-batch by
    itself and depend on its size, as load balancing does; the others are means over the batch, however it is cut.
    """

    type: QualityLossType
    weight: NotNegative
    averaging: Averaging
    function: Place | None
    beta_target_mean: Chance
    beta_target_var: NotNegative
    w_mean: NotNegative
    w_var: NotNegative
    lambda_var: NotNegative
    trash_can_alpha: Positive
    trash_can_beta: Positive
    debug: bool


class LoraParams(Section):
    r: Count
    alpha: Positive
    dropout: Chance
    target_modules: Annotated[list[str], Field(min_length=1)]


class TrainingParams(Section):
    """What warm-up and fine-tuning share. `batch_size` is the global one, `micro_batch_size` what one device computes
    at once; null lets it follow the number of processes, up to `max_micro_batch_size` (see `mygo.params.batches`).
    """

    epochs: Count
    learning_rate: Positive
    batch_size: Count
    micro_batch_size: Count | None
    max_micro_batch_size: Count
    max_length: Annotated[int, Field(ge=8)]
    predict: Predict
    mask_role_markers: bool
    lr_scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"]
    warmup_ratio: Chance
    weight_decay: NotNegative
    max_grad_norm: Positive
    gradient_checkpointing: bool
    dtype: Dtype
    lora: LoraParams

    @model_validator(mode="after")
    def _micro_batches_fill_the_batch(self) -> "TrainingParams":
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size}"
            )
        return self


class WarmupParams(TrainingParams):
    objective: ObjectiveName
    trainable: Literal["full_rank", "lora"]
    save: Literal["complete", "trained_only"]
    load_balancing_weight: NotNegative
    quality_loss: QualityLossParams


class FinetuneParams(TrainingParams):
    base_model: Place
    revision: str | None
