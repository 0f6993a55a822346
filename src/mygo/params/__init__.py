"""Typed parameters: the schema of `params.yaml` and its strict loader."""

from mygo.params.batches import micro_batches
from mygo.params.loading import check_params, load_params
from mygo.params.schema import (
    BenchmarkParams,
    CollectParams,
    ConvertParams,
    DsirParams,
    EvalParams,
    FinetuneParams,
    HubBenchmark,
    HubDataset,
    LaunchParams,
    LoraParams,
    MiniWorldParams,
    Params,
    PrepareParams,
    QualityLossParams,
    ReferenceParams,
    SelectParams,
    TrainingParams,
    WarmupParams,
)

__all__ = [
    "BenchmarkParams",
    "CollectParams",
    "ConvertParams",
    "DsirParams",
    "EvalParams",
    "FinetuneParams",
    "HubBenchmark",
    "HubDataset",
    "LaunchParams",
    "LoraParams",
    "MiniWorldParams",
    "Params",
    "PrepareParams",
    "QualityLossParams",
    "ReferenceParams",
    "SelectParams",
    "TrainingParams",
    "WarmupParams",
    "check_params",
    "load_params",
    "micro_batches",
]
