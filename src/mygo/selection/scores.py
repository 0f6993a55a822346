"""Scores: one number per sample of the pool, from statistics alone; NaN where a sample cannot be graded.

N samples, L layers, T tokens of a sample, B samples of a batch.
"""

from collections.abc import Callable

import numpy as np

from mygo.errors import UserError
from mygo.params import SelectParams
from mygo.selection.statistics import Statistics, TokenBatch

MAX_NLL = 80.0  # nats; perplexity exp(80) = 5.5e34 is where it is clipped, so that means of it stay finite


def quality(statistics: Statistics, params: SelectParams) -> np.ndarray:
    """The quality score (DESIGN section 6): gates weighted by perplexity^alpha, each layer normalised over the pool,
    the mean over layers.
    """
    return normalised_mean(layer_gates(statistics, params.alpha), params.eps, params.tau)


def weighted(statistics: Statistics, params: SelectParams) -> np.ndarray:
    """Ablation: perplexity weights, no normalisation."""
    return layer_gates(statistics, params.alpha).mean(axis=1, dtype=np.float64)


def normalized(statistics: Statistics, params: SelectParams) -> np.ndarray:
    """Ablation: all tokens alike (alpha 0), normalisation."""
    return normalised_mean(layer_gates(statistics, 0.0), params.eps, params.tau)


def raw(statistics: Statistics, _params: SelectParams) -> np.ndarray:
    """Ablation: neither; the mean good_ratio over tokens and layers."""
    return layer_gates(statistics, 0.0).mean(axis=1, dtype=np.float64)


def perplexity(statistics: Statistics, _params: SelectParams) -> np.ndarray:
    """exp of the conversation's mean NLL, clipped at exp(80); its order is the order of the NLL."""
    return np.exp(np.minimum(statistics.values("nll"), MAX_NLL))


def length(statistics: Statistics, _params: SelectParams) -> np.ndarray:
    """Number of tokens, after truncation."""
    n_tokens = statistics.values("n_tokens")
    return np.where(n_tokens >= 2, n_tokens, np.nan)


SCORES: dict[str, Callable[[Statistics, SelectParams], np.ndarray]] = {
    "quality": quality,
    "weighted": weighted,
    "normalized": normalized,
    "raw": raw,
    "perplexity": perplexity,
    "length": length,
}
GATE_SCORES = frozenset({"quality", "weighted", "normalized", "raw"})


def layer_gates(statistics: Statistics, alpha: float) -> np.ndarray:
    """s_{i,l} = sum_t w_t g_{l,t} with w = softmax(alpha * NLL) over tokens 1..T-1: float [N, L], NaN for samples of
    fewer than two tokens.

    Alpha 0 and 1 were summed by `collect`; any other alpha needs the token level.
    """
    if alpha in (0.0, 1.0):
        return statistics.per_layer("gate_weighted" if alpha else "gate_mean")
    if not statistics.manifest.tokens:
        raise UserError(
            f"select.alpha: got {alpha}, which needs the token level; set collect.tokens to true and run collect "
            "again, or take 0 or 1"
        )
    rows = sum(shard.rows for shard in statistics.manifest.shards)
    gates_NL = np.full((rows, statistics.manifest.layers), np.nan, dtype=np.float32)
    for batch in statistics.token_batches():
        gates_NL[batch.rows_B] = weighted_gates(batch, alpha, statistics.manifest.layers)
    return gates_NL


def weighted_gates(batch: TokenBatch, alpha: float, layers: int) -> np.ndarray:
    """s [B, L] of a ragged batch. The first token of a sample has no NLL: it gets weight 0, so that every layer's T
    gates can be summed as they lie.
    """
    first_B = _starts(batch.n_tokens_B)
    weight = np.zeros(batch.n_tokens_B.sum())
    has_nll = np.ones(len(weight), dtype=bool)
    has_nll[first_B] = False
    weight[has_nll] = segment_softmax(alpha * batch.nll.astype(np.float64), batch.n_tokens_B - 1)
    segments = np.repeat(batch.n_tokens_B, layers)  # one per sample and layer
    starts = _starts(segments)
    place = np.arange(segments.sum()) - np.repeat(
        starts - np.repeat(first_B, layers), segments
    )  # of each gate's token in `weight`
    return (
        np.add.reduceat(_sigmoid(batch.gate_logits) * weight[place], starts).reshape(-1, layers)
        if len(starts)
        else np.empty((0, layers))
    )


def segment_softmax(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Softmax within each run of `lengths` values (none empty); the largest value of a run is taken off first, so that
    nothing overflows.
    """
    starts = _starts(lengths)
    shifted = np.exp(values - np.repeat(np.maximum.reduceat(values, starts), lengths)) if len(starts) else values
    return shifted / np.repeat(np.add.reduceat(shifted, starts), lengths) if len(starts) else values


def normalised_mean(gates_NL: np.ndarray, eps: float, tau: float) -> np.ndarray:
    """q_i = mean_l R_{i,l}, R_{i,l} = (s_{i,l} - a_l) / (max(b_l - a_l, eps) * max(mu_l, eps)), or mu_l + tau in place
    of the last factor if tau > 0.

    a, b, mu: min, max, mean of column l over the samples that can be graded. Layer by layer, so that temporaries are of
    N values, not N x L.
    """
    graded = np.isfinite(gates_NL).all(axis=1)
    total = np.where(graded, 0.0, np.nan)
    if not graded.any():
        return total
    for layer in range(gates_NL.shape[1]):
        column = gates_NL[graded, layer].astype(np.float64)
        low, mean = column.min(), column.mean()
        total[graded] += (column - low) / (max(column.max() - low, eps) * (mean + tau if tau > 0 else max(mean, eps)))
    return total / gates_NL.shape[1]


def _starts(lengths: np.ndarray) -> np.ndarray:
    """Where each run begins if runs of these lengths lie end to end."""
    return np.cumsum(lengths) - lengths


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    """float16 logits to float32 gates; beyond float32's range exp overflows to infinity, which is the right limit."""
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-logits.astype(np.float32)))
