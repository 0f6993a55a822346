"""Typed parameters: the schema of `params.yaml` and its strict loader."""

from mygo.params.batches import micro_batches
from mygo.params.loading import check_params, load_params
from mygo.params.schema import LaunchParams, Params
from mygo.params.schema.clustering import ClusteringParams
from mygo.params.schema.collect import CollectParams
from mygo.params.schema.convert import ConvertParams
from mygo.params.schema.evaluation import EvalParams
from mygo.params.schema.prepare import (
    BenchmarkParams,
    HubBenchmark,
    HubDataset,
    MiniWorldParams,
    PrepareParams,
    ReferenceParams,
)
from mygo.params.schema.select import CombinedScore, DsirParams, ExternalParams, SelectParams, SourceShare
from mygo.params.schema.training import FinetuneParams, LoraParams, QualityLossParams, TrainingParams, WarmupParams

__all__ = [
    "BenchmarkParams",
    "ClusteringParams",
    "CollectParams",
    "CombinedScore",
    "ConvertParams",
    "DsirParams",
    "EvalParams",
    "ExternalParams",
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
    "SourceShare",
    "TrainingParams",
    "WarmupParams",
    "check_params",
    "load_params",
    "micro_batches",
]
