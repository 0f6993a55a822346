"""The section `convert`: which selector is made of which base."""

from mygo.params.choices import Dtype, Family, TrashExpertMode
from mygo.params.schema.fields import Count, NotNegative, Place, Section


class ConvertParams(Section):
    family: Family
    base_model: Place
    revision: str | None
    trash_expert_mode: TrashExpertMode
    trash_expert_module: Place | None
    trash_expert_rank: Count
    trash_experts: Count | None
    quality_gate_init_mean: float
    quality_gate_init_std: NotNegative
    dtype: Dtype
    tolerance: NotNegative
    memory_efficient: bool
