"""The choices of every parameter that takes a name, stated once.

The schema, the models' config and the registries read them. A test holds each registry against its choices.
"""

from typing import Literal

Dtype = Literal["auto", "float32", "bfloat16"]
RowFormat = Literal["auto", "messages", "sharegpt", "alpaca", "prompt_completion", "text"]
Family = Literal["select_moe", "quality_gate", "trash_can", "stock_moe"]
TrashExpertMode = Literal["zero", "noise", "batch_noise", "low_rank", "expert_mean", "custom"]
QualityLossType = Literal["sigmoid", "linear", "mse", "beta_moment_matching", "mean_variance_regularization", "custom"]
DEFAULT_QUALITY_LOSS: QualityLossType = "sigmoid"
ObjectiveName = Literal["published"]
Averaging = Literal["sample_wise", "token_wise"]
Predict = Literal["assistant", "full"]
ScoreName = Literal[
    "quality",
    "weighted",
    "normalized",
    "raw",
    "expert_logits",
    "trash_mass",
    "perplexity",
    "answer_nll",
    "ifd",
    "length",
    "random",
    "dsir",
    "rds",
    "external",
    "combine",
]
Order = Literal["highest", "lowest", "middle"]
Tokens = Literal["all", "answer"]
OverTokens = Literal["mean", "sum"]
CombineBy = Literal["ranks", "z_scores"]
StrategyName = Literal[
    "top",
    "cluster_round_robin",
    "random",
    "random_balanced",
    "full",
    "threshold",
    "facility_location",
    "k_center",
]
ClusterMethod = Literal["kmeans", "hdbscan", "spectral", "gaussian_mixture"]
ClusterFeatures = Literal["auto", "router_probs", "router_logits", "hidden_mean", "gate_profile", "text"]
ClusterMetric = Literal["euclidean", "manhattan", "cosine"]  # of HDBSCAN, between rows of length 1
ClusterBackend = Literal["cpu", "torch", "cuml", "auto"]
BACKEND_OF: dict[ClusterBackend, ClusterMethod] = {"torch": "kmeans", "cuml": "hdbscan"}  # what a GPU library does
Projection = Literal["pca", "umap", "none"]
BY_SCORE = frozenset({"top", "cluster_round_robin", "threshold"})  # strategies that a score decides
BY_CHANCE = frozenset({"random", "random_balanced"})
BY_FEATURES = frozenset({"facility_location", "k_center"})  # strategies that ask for the features of clustering
WITHOUT_BUDGET = frozenset({"full", "threshold"})  # they keep all that qualifies, whatever the budget
Need = Literal[
    "gates",  # what a score is made of: logits of quality gates
    "routers",  # mean probabilities and logits of routers
    "trash_experts",  # a router's probability on trash experts of its own
    "base_nll",  # NLL of the base without gates
    "answers_alone",  # the base's NLL of answers without their instructions
    "hidden_states",
    "text",
    "reference",
    "file",
    "length",
]
NEEDS: dict[ScoreName, frozenset[Need]] = {
    "quality": frozenset({"gates"}),
    "weighted": frozenset({"gates"}),
    "normalized": frozenset({"gates"}),
    "raw": frozenset({"gates"}),
    "expert_logits": frozenset({"routers"}),
    "trash_mass": frozenset({"routers"}),
    "perplexity": frozenset({"base_nll"}),
    "answer_nll": frozenset({"base_nll"}),
    "ifd": frozenset({"answers_alone"}),
    "length": frozenset({"length"}),
    "random": frozenset({"length"}),
    "dsir": frozenset({"text", "reference"}),
    "rds": frozenset({"hidden_states", "reference"}),
    "external": frozenset({"file"}),
    "combine": frozenset(),  # what its parts need
}
ANSWER_SCORES = frozenset({"answer_nll", "ifd"})  # scores that a sample without an answer cannot have
GATE_SCORES = frozenset(name for name, needs in NEEDS.items() if "gates" in needs)  # scores that are taken of gates
ALPHA_SCORES = frozenset({"quality", "weighted"})  # those of them that select.alpha weighs
LOW_IS_GOOD = frozenset({"perplexity", "answer_nll"})  # scores whose presets keep the lowest; of all others the highest
MINI_BASE_MODELS = ("olmoe", "qwen3")  # what prepare pretrains for the mini world below data/base, by `model_type`
MINI_SOURCES = ("flan_v2", "cot", "dolly", "oasst1")  # whose forms the samples of the mini world have
MINI_SUBJECTS = 8  # among which the facts of the mini world are dealt out in turn
