"""Typed parameters: the schema of `params.yaml` and its strict loader."""

from mygo.params.batches import micro_batches
from mygo.params.loading import check_params, load_params
from mygo.params.schema import (
    BenchmarkParams,
    ClusteringParams,
    CollectParams,
    ConvertParams,
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
    SelectParams,
    TrainingParams,
    WarmupParams,
)

__all__ = [
    "BenchmarkParams",
    "ClusteringParams",
    "CollectParams",
    "ConvertParams",
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
    "SelectParams",
    "TrainingParams",
    "WarmupParams",
    "check_params",
    "load_params",
    "micro_batches",
]
