"""The section `select`: which score, which strategy, which budget."""

from pydantic import model_validator

from mygo.params.choices import Order, ScoreName, StrategyName, Tokens
from mygo.params.schema.fields import Count, NotNegative, Positive, Section, Share


class DsirParams(Section):
    """How `dsir` counts: n-grams of 1 to `ngrams` words in `buckets`; `gumbel`: a draw in proportion to the weights."""

    ngrams: Count
    buckets: Count
    gumbel: bool


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
    dsir: DsirParams
    good_label: str | bool | int | float

    @model_validator(mode="after")
    def _round_robin_needs_clusters(self) -> "SelectParams":
        if self.strategy == "cluster_round_robin" and self.clusters is None:
            raise ValueError("strategy cluster_round_robin needs select.clusters, a number of 1 or more; got null")
        return self
