"""The section `select.clustering`: what samples are clustered by, and how."""

from typing import Annotated

from pydantic import Field, model_validator

from mygo.params.choices import (
    BACKEND_OF,
    ClusterBackend,
    ClusterFeatures,
    ClusterMethod,
    ClusterMetric,
    Projection,
)
from mygo.params.schema.fields import Count, Section


class ClusteringParams(Section):
    method: ClusterMethod
    features: ClusterFeatures
    k_range: list[Count]
    max_iters: Count
    pca: Count | None
    min_cluster_size: Annotated[int, Field(ge=2)]
    min_samples: Count | None
    metric: ClusterMetric
    auto_tune: bool
    projection: Projection
    backend: ClusterBackend

    @model_validator(mode="after")
    def _range_is_two_numbers(self) -> "ClusteringParams":
        if len(self.k_range) != 2 or self.k_range[0] > self.k_range[1]:
            raise ValueError(f"k_range got {self.k_range}; takes two numbers, the smaller one first")
        return self

    @model_validator(mode="after")
    def _backend_does_the_method(self) -> "ClusteringParams":
        method = BACKEND_OF.get(self.backend)
        if method is not None and method != self.method:
            raise ValueError(f"backend {self.backend} does {method}; with method {self.method} takes cpu or auto")
        return self
