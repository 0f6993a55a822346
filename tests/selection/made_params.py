"""Parameters of select, as `conf/select/quality.yaml` has them where a test does not ask for others."""

from typing import Any

from mygo.params import SelectParams

CLUSTERING: dict[str, Any] = {
    "method": "kmeans",
    "features": "auto",
    "k_range": [2, 8],
    "max_iters": 100,
    "pca": None,
    "min_cluster_size": 2,
    "min_samples": None,
    "metric": "euclidean",
    "auto_tune": False,
    "projection": "pca",
    "backend": "cpu",
}
DEFAULTS: dict[str, Any] = {
    "score": "quality",
    "tokens": "all",
    "strategy": "top",
    "order": "highest",
    "ratio": 0.2,
    "count": None,
    "token_budget": None,
    "threshold": None,
    "ceiling": None,
    "source_shares": {},
    "deduplicate": None,
    "clusters": None,
    "alpha": 1.0,
    "eps": 1e-8,
    "tau": 0.0,
    "trash_expert_ratio": 0.25,
    "over_tokens": "mean",
    "external": {"path": None, "id_column": "id", "score_column": "score"},
    "combine": [],
    "combine_by": "ranks",
    "parquet": False,
    "dsir": {"ngrams": 2, "buckets": 10000, "gumbel": True},
    "good_label": "clean",
}


def make_params(**changes: Any) -> SelectParams:
    """Like `conf/select/quality.yaml`; a budget of another kind replaces the ratio; `clustering`: what
    differs from `CLUSTERING`.
    """
    if {"count", "token_budget"} & changes.keys():
        changes = {"ratio": None} | changes
    changes["clustering"] = CLUSTERING | changes.get("clustering", {})
    return SelectParams(**(DEFAULTS | changes))
