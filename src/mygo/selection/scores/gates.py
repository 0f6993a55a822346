"""Scores of gates: the published quality score and its ablations.

N samples, L layers, T tokens of a sample, B samples of a batch.
"""

import numpy as np

from mygo.errors import UserError
from mygo.params.choices import Tokens
from mygo.selection.reading.material import Material
from mygo.selection.reading.statistics import Statistics, TokenBatch


def quality(material: Material) -> np.ndarray:
    """The quality score (DESIGN section 6): gates weighted by perplexity^alpha, each layer normalised over the pool,
    the mean over layers.

    Few tokens decide it: at alpha 1, in the mini world, a median of 3.4 of a sample's 35 tokens carry the whole weight,
    and 42 % of the weight lies outside the answers. `select.tokens` says which tokens count: all, as published, or the
    answers' alone.
    """
    return _normalised(material, material.params.alpha)


def weighted(material: Material) -> np.ndarray:
    """Ablation: perplexity weights, no normalisation."""
    return _mean(material, material.params.alpha)


def normalized(material: Material) -> np.ndarray:
    """Ablation: all tokens alike (alpha 0), normalisation."""
    return _normalised(material, 0.0)


def raw(material: Material) -> np.ndarray:
    """Ablation: neither; the mean good_ratio over tokens and layers."""
    return _mean(material, 0.0)


def _normalised(material: Material, alpha: float) -> np.ndarray:
    gates_NL = layer_gates(material.statistics, alpha, material.params.tokens)
    return normalised_mean(gates_NL, material.params.eps, material.params.tau)


def _mean(material: Material, alpha: float) -> np.ndarray:
    return layer_gates(material.statistics, alpha, material.params.tokens).mean(axis=1, dtype=np.float64)


def layer_gates(statistics: Statistics, alpha: float, tokens: Tokens) -> np.ndarray:
    """s_{i,l} = sum_t w_t g_{l,t} with w = softmax(alpha * NLL) over the tokens that count: float [N, L], NaN for
    samples that have none.

    These are tokens 1..T-1, or those of them that belong to an answer. Alpha 0 and 1 were summed by `collect`; any
    other alpha needs the token level.
    """
    if alpha in (0.0, 1.0):
        column = "gate_weighted" if alpha else "gate_mean"
        return statistics.per_layer(column if tokens == "all" else f"{column}_answer")
    if not statistics.manifest.tokens:
        raise UserError(
            f"select.alpha: got {alpha}, which needs the token level; set collect.tokens to true and run collect "
            "again, or take 0 or 1"
        )
    gates_NL = np.full((statistics.rows, statistics.manifest.layers), np.nan, dtype=np.float32)
    for batch in statistics.token_batches(answer=tokens == "answer"):
        gates_NL[batch.rows_B] = weighted_gates(batch, alpha, statistics.manifest.layers)
    return gates_NL


def weighted_gates(batch: TokenBatch, alpha: float, layers: int) -> np.ndarray:
    """s [B, L] of a ragged batch, NaN for samples of which no token counts. A token that does not count gets weight 0,
    so that every layer's T gates can be summed as they lie.
    """
    if not len(batch.n_tokens_B):
        return np.empty((0, layers))
    first_B = _starts(batch.n_tokens_B)
    has_nll = np.ones(batch.n_tokens_B.sum(), dtype=bool)
    has_nll[first_B] = False  # nothing predicts the first token of a sample
    counts = has_nll if batch.answer is None else has_nll & batch.answer
    counts_B = np.add.reduceat(counts, first_B, dtype=np.int64)
    weight = np.zeros(len(counts))
    weight[counts] = token_weights(batch.nll[counts[has_nll]].astype(np.float64), counts_B[counts_B > 0], alpha)
    segments = np.repeat(batch.n_tokens_B, layers)  # one per sample and layer
    starts = _starts(segments)
    shift = np.repeat(starts - np.repeat(first_B, layers), segments)
    place = np.arange(segments.sum()) - shift  # of each gate's token in `weight`
    gates_BL = np.add.reduceat(_sigmoid(batch.gate_logits) * weight[place], starts).reshape(-1, layers)
    return np.where(counts_B[:, None] > 0, gates_BL, np.nan)


def token_weights(nll: np.ndarray, lengths: np.ndarray, alpha: float) -> np.ndarray:
    """w_t = softmax(alpha * NLL) within each sample, whose `lengths` tokens (none empty) lie end to end; the largest of
    a sample is taken off first, so that nothing overflows.
    """
    starts, values = _starts(lengths), alpha * nll
    if not len(starts):
        return values
    power = np.exp(values - np.repeat(np.maximum.reduceat(values, starts), lengths))
    return power / np.repeat(np.add.reduceat(power, starts), lengths)


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
