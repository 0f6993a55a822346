"""The section `select`: which score, which strategy, which budget."""

from typing import Literal

from pydantic import model_validator

from mygo.params.choices import Order, ScoreName, StrategyName, Tokens
from mygo.params.schema.clustering import ClusteringParams
from mygo.params.schema.fields import Count, NotNegative, Positive, Section, Share


class SelectParams(Section):
    score: ScoreName
    strategy: StrategyName
    tokens: Tokens
    order: Order
    ratio: Share
    clusters: Count | Literal["auto"] | None
    clustering: ClusteringParams
    alpha: NotNegative
    eps: Positive
    tau: NotNegative
    good_label: str | bool | int | float

    @model_validator(mode="after")
    def _round_robin_needs_clusters(self) -> "SelectParams":
        if self.strategy == "cluster_round_robin" and self.clusters is None:
            raise ValueError(
                "strategy cluster_round_robin needs select.clusters, a number of 1 or more or auto; got null"
            )
        return self

    @model_validator(mode="after")
    def _hdbscan_finds_the_number(self) -> "SelectParams":
        if self.clustering.method == "hdbscan" and isinstance(self.clusters, int):
            raise ValueError(
                f"clusters got {self.clusters} with clustering.method hdbscan, which finds their number itself "
                "(min_cluster_size decides); takes auto or null"
            )
        return self
