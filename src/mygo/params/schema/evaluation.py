"""The section `eval`: what is asked of the target."""

from typing import Annotated

from pydantic import Field

from mygo.params.choices import Dtype
from mygo.params.schema.fields import Count, Section


class EvalParams(Section):
    tasks: Annotated[list[str], Field(min_length=1)]
    num_fewshot: Annotated[int, Field(ge=0)] | None
    limit: Annotated[int, Field(ge=1)] | None
    batch_size: Count
    merge_adapter: bool
    apply_chat_template: bool
    max_length: Annotated[int, Field(ge=8)] | None
    dtype: Dtype
