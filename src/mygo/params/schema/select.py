"""The section `select`: which score, which strategy, which budget."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mygo.params.choices import (
    WITHOUT_BUDGET,
    CombineBy,
    Order,
    OverTokens,
    ScoreName,
    StrategyName,
    Tokens,
)
from mygo.params.schema.clustering import ClusteringParams
from mygo.params.schema.fields import NONE_IS_EMPTY, Count, NotNegative, Place, Positive, Section, Share

BUDGETS = ("ratio", "count", "token_budget")


class SourceShare(Section):
    """What share of the kept samples a source may have. An entry of a user's own, so that its defaults stand here."""

    min: Annotated[float, Field(ge=0, le=1)] = 0.0
    max: Share = 1.0

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> "SourceShare":
        if self.min > self.max:
            raise ValueError(f"got min {self.min} above max {self.max}; takes min <= max")
        return self


class ExternalParams(Section):
    """A column of a file of the user's, joined by id."""

    path: Place | None
    id_column: str
    score_column: str


class CombinedScore(Section):
    """A part of the score `combine`. An entry of a user's own, so that its defaults stand here."""

    score: ScoreName
    weight: Positive = 1.0
    order: Order = "highest"


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
    ratio: Share | None
    count: Count | None
    token_budget: Count | None
    threshold: float | None
    ceiling: float | None
    source_shares: Annotated[dict[str, SourceShare], NONE_IS_EMPTY]
    deduplicate: Share | None
    clusters: Count | Literal["auto"] | None
    clustering: ClusteringParams
    alpha: NotNegative
    eps: Positive
    tau: NotNegative
    trash_expert_ratio: Share
    over_tokens: OverTokens
    external: ExternalParams
    combine: list[CombinedScore]
    combine_by: CombineBy
    parquet: bool
    dsir: DsirParams
    good_label: str | bool | int | float

    def scores(self) -> list[ScoreName]:
        """The scores that are computed: the one asked for, or the parts of a combined one."""
        return [part.score for part in self.combine] if self.score == "combine" else [self.score]

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

    @model_validator(mode="after")
    def _one_budget(self) -> "SelectParams":
        given = {name: getattr(self, name) for name in BUDGETS}
        if sum(value is not None for value in given.values()) != 1:
            got = ", ".join(f"{name} {'null' if value is None else value}" for name, value in given.items())
            raise ValueError(f"got {got}; takes exactly one of the three, the others null")
        return self

    @model_validator(mode="after")
    def _threshold_belongs_to_its_strategy(self) -> "SelectParams":
        if (self.strategy == "threshold") != (self.threshold is not None):
            got = "null" if self.threshold is None else self.threshold
            raise ValueError(
                f"strategy {self.strategy} with threshold {got}; strategy threshold takes a number there, every "
                "other one null"
            )
        if self.strategy == "threshold" and self.order == "middle":
            raise ValueError(
                "strategy threshold with order middle; takes highest (score >= it) or lowest (score <= it)"
            )
        return self

    @model_validator(mode="after")
    def _shares_are_of_a_budget(self) -> "SelectParams":
        least = sum(share.min for share in self.source_shares.values())
        if least > 1 + 1e-9:
            raise ValueError(f"source_shares with minima that sum to {least:g}; takes 1 or less")
        if self.source_shares and self.strategy in WITHOUT_BUDGET:
            raise ValueError(f"source_shares with strategy {self.strategy}, which spends no budget; takes null")
        return self

    @model_validator(mode="after")
    def _parts_of_combine(self) -> "SelectParams":
        if self.score != "combine":
            return self
        if not self.combine:
            raise ValueError("score combine with no parts in select.combine; takes a list of {score, weight, order}")
        if "combine" in self.scores():
            raise ValueError("combine names combine; takes scores that are not combined themselves")
        if len(set(self.scores())) < len(self.combine):
            raise ValueError("combine names a score twice; takes each once, with its weight")
        if self.order != "highest":
            raise ValueError(f"score combine with order {self.order}; takes highest: each part has an order of its own")
        return self

    @model_validator(mode="after")
    def _external_has_a_file(self) -> "SelectParams":
        if "external" in self.scores() and self.external.path is None:
            raise ValueError("score external with external.path null; takes a CSV, TSV, JSONL or Parquet file")
        return self
