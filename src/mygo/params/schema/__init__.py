"""The typed schema of `params.yaml`: one class per stage, no defaults (those live in `conf/` alone), unknown keys
fail.
"""

from typing import Annotated

from pydantic import Field

from mygo.params.schema.collect import CollectParams
from mygo.params.schema.convert import ConvertParams
from mygo.params.schema.evaluation import EvalParams
from mygo.params.schema.fields import Count, Place, Section
from mygo.params.schema.prepare import PrepareParams
from mygo.params.schema.select import SelectParams
from mygo.params.schema.training import FinetuneParams, WarmupParams


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
    external: str


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
