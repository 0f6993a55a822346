"""The typed schema of `params.yaml`: one class per stage, no defaults (those live in `conf/` alone), unknown keys
fail.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mygo.params.choices import (
    Averaging,
    Dtype,
    Family,
    Order,
    Predict,
    QualityLossType,
    RowFormat,
    ScoreName,
    StrategyName,
    Tokens,
    TrashExpertMode,
)

Share = Annotated[float, Field(gt=0, le=1)]  # a part of something: 0 < x <= 1
Chance = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def _is_a_name(text: str) -> str:
    if "\0" in text:  # the system takes no such name, and says so in a traceback
        raise ValueError(f"got {text!r}; takes a name without the character \\0")
    return text


Place = Annotated[str, AfterValidator(_is_a_name)]  # a path, or the name of something that may be one


class Section(BaseModel):
    """A group of keys: strict types, finite numbers, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class HubDataset(Section):
    """One data set of the hub, read at a pinned revision (a commit hash, a tag or a branch; the commit is recorded)."""

    name: str
    revision: str
    subset: str | None
    split: str
    data_files: str | None
    source_dataset: str


class HubBenchmark(Section):
    name: str
    revision: str


class BenchmarkParams(Section):
    source: Literal["mini_world", "csv", "hub"]
    path: Place
    hub: HubBenchmark


class MiniWorldParams(Section):
    """Size of the synthetic world and of the two tiny models that are pretrained on half of it."""

    facts: Annotated[int, Field(ge=64)]
    samples: Annotated[int, Field(ge=100)]
    corrupted: Chance
    known: Share
    pretrain_steps: Count


class PrepareParams(Section):
    source: Literal["mini_world", "local", "hub"]
    path: Place
    format: RowFormat
    label_column: str | None
    hub: list[HubDataset]
    warmup_ratio: Share
    base_models: bool
    benchmark: BenchmarkParams
    mini_world: MiniWorldParams


class ConvertParams(Section):
    family: Family
    base_model: Place
    revision: str | None
    trash_expert_mode: TrashExpertMode
    trash_expert_module: Place | None
    quality_gate_init_mean: float
    quality_gate_init_std: NotNegative
    dtype: Dtype
    tolerance: NotNegative
    memory_efficient: bool


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
    trainable: Literal["full_rank", "lora"]
    save: Literal["complete", "trained_only"]
    load_balancing_weight: NotNegative
    quality_loss: QualityLossParams


class CollectParams(Section):
    base_model: Place | None
    revision: str | None
    checkpoint: int | Literal["last"]
    tokens_per_batch: Annotated[int, Field(ge=16)] | Literal["auto"]
    max_length: Annotated[int, Field(ge=8)]
    shard_size: Count
    tokens: bool
    answer_alone: bool
    base_nll: bool
    dtype: Dtype

    @model_validator(mode="after")
    def _a_sample_fits(self) -> "CollectParams":
        if self.tokens_per_batch != "auto" and self.max_length > self.tokens_per_batch:
            raise ValueError(f"max_length {self.max_length} is more than tokens_per_batch {self.tokens_per_batch}")
        return self

    @model_validator(mode="after")
    def _answers_alone_are_of_the_base(self) -> "CollectParams":
        if self.answer_alone and not self.base_nll and self.base_model is None:
            raise ValueError(
                "answer_alone got true with base_nll false, but answers alone are scored by the base; takes base_nll "
                "true, or a base_model without gates"
            )
        return self


class SelectParams(Section):
    score: ScoreName
    strategy: StrategyName
    tokens: Tokens
    order: Order
    ratio: Share
    clusters: Count | None
    alpha: NotNegative
    eps: Positive
    tau: NotNegative
    good_label: str | bool | int | float

    @model_validator(mode="after")
    def _round_robin_needs_clusters(self) -> "SelectParams":
        if self.strategy == "cluster_round_robin" and self.clusters is None:
            raise ValueError("strategy cluster_round_robin needs select.clusters, a number of 1 or more; got null")
        return self


class FinetuneParams(TrainingParams):
    base_model: Place
    revision: str | None


class EvalParams(Section):
    tasks: Annotated[list[str], Field(min_length=1)]
    num_fewshot: Annotated[int, Field(ge=0)] | None
    limit: Annotated[int, Field(ge=1)] | None
    batch_size: Count
    merge_adapter: bool
    apply_chat_template: bool
    max_length: Annotated[int, Field(ge=8)] | None
    dtype: Dtype


class LaunchParams(Section):
    accelerate_config: Place
    num_processes: Count


class InputsParams(Section):
    """What DVC watches besides the outputs of stages. Hydra derives it (`mygo.params.inputs`)."""

    convert: str
    collect: str
    finetune: str
    trash_expert: str
    quality_loss: str


class Params(Section):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    prepare: PrepareParams
    convert: ConvertParams
    warmup: WarmupParams
    collect: CollectParams
    select: SelectParams
    finetune: FinetuneParams
    eval: EvalParams
    launch: LaunchParams
    inputs: InputsParams
