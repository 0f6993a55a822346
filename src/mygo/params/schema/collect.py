"""The section `collect`: who grades the pool, and what is recorded."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mygo.params.choices import Dtype
from mygo.params.schema.fields import Count, Place, Section


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
    hidden_states: bool
    dtype: Dtype

    @model_validator(mode="after")
    def _a_sample_fits(self) -> "CollectParams":
        if self.tokens_per_batch != "auto" and self.max_length > self.tokens_per_batch:
            raise ValueError(f"max_length {self.max_length} is more than tokens_per_batch {self.tokens_per_batch}")
        return self

    @model_validator(mode="after")
    def _hidden_states_are_of_the_base(self) -> "CollectParams":
        if self.hidden_states and not self.base_nll and self.base_model is None:
            raise ValueError(
                "hidden_states got true with base_nll false, but hidden states are of the base; takes base_nll true, "
                "or a base_model without gates"
            )
        return self

    @model_validator(mode="after")
    def _answers_alone_are_of_the_base(self) -> "CollectParams":
        if self.answer_alone and not self.base_nll and self.base_model is None:
            raise ValueError(
                "answer_alone got true with base_nll false, but answers alone are scored by the base; takes base_nll "
                "true, or a base_model without gates"
            )
        return self
