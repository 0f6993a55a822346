"""The choices of every parameter that takes a name, stated once.

The schema, the models' config and the registries read them. A test holds each registry against its choices.
"""

from typing import Literal

Dtype = Literal["auto", "float32", "bfloat16"]
RowFormat = Literal["auto", "messages", "sharegpt", "alpaca", "prompt_completion", "text"]
Family = Literal["select_moe", "quality_gate"]
TrashExpertMode = Literal["zero", "noise", "custom"]
QualityLossType = Literal["sigmoid", "linear", "mse", "beta_moment_matching", "mean_variance_regularization", "custom"]
Averaging = Literal["sample_wise", "token_wise"]
Predict = Literal["assistant", "full"]
ScoreName = Literal["quality", "weighted", "normalized", "raw", "perplexity", "length", "dsir", "rds"]
Order = Literal["highest", "lowest", "middle"]
Tokens = Literal["all", "answer"]
StrategyName = Literal["top", "cluster_round_robin", "random", "full"]
BY_SCORE = frozenset({"top", "cluster_round_robin"})  # strategies that a score decides
Need = Literal["gates", "base_nll", "length", "hidden_states", "text", "reference"]  # what a score is made of
NEEDS: dict[ScoreName, frozenset[Need]] = {
    "quality": frozenset({"gates"}),
    "weighted": frozenset({"gates"}),
    "normalized": frozenset({"gates"}),
    "raw": frozenset({"gates"}),
    "perplexity": frozenset({"base_nll"}),
    "length": frozenset({"length"}),
    "dsir": frozenset({"text", "reference"}),
    "rds": frozenset({"hidden_states", "reference"}),
}
GATE_SCORES = frozenset(name for name, needs in NEEDS.items() if "gates" in needs)  # scores that are taken of gates
ALPHA_SCORES = frozenset({"quality", "weighted"})  # those of them that select.alpha weighs
BASE_TYPES: dict[Family, str] = {"select_moe": "olmoe", "quality_gate": "qwen3"}  # `model_type` of a family's base
GATED_TYPES = frozenset({"select_moe", "quality_gate_qwen3"})  # `model_type` of the selectors themselves
MINI_BASE_MODELS = ("olmoe", "qwen3")  # what prepare pretrains for the mini world below data/base, by `model_type`
MINI_SUBJECTS = 8  # among which the facts of the mini world are dealt out in turn
