"""The area under the curve of a score against a label of two values, and shares. m good samples, n others."""

import math

import numpy as np

from mygo.selection.agreement.estimate import Z_95, Estimate, two_sided


def auc(score: np.ndarray, good: np.ndarray, prompt: np.ndarray | None = None) -> Estimate:
    """Chance that a good sample scores higher than another one (ties count half), with DeLong's interval cut to [0, 1].

    DeLong, DeLong & Clarke-Pearson (1988) on midranks as in Sun & Xu (2014). Both classes must be there;
    one sample has no variance, so a class of one makes the interval [0, 1]. With `prompt`, the number of each sample's
    prompt, samples that share one are a cluster (Obuchowski 1997, which is DeLong's where no two share one).
    p is of an area of 1/2, by the larger of this standard error and that of Mann & Whitney's test with its correction
    for ties, since a perfect separation has no variance of its own.
    """
    positive, negative = score[good], score[~good]
    m, n = len(positive), len(negative)
    rank = midranks(np.concatenate([positive, negative]))
    beats_m = (rank[:m] - midranks(positive)) / n  # share of the others that each good sample beats
    beaten_n = 1 - (rank[m:] - midranks(negative)) / m
    value = float(beats_m.mean())
    if min(m, n) < 2:
        return Estimate(value, 0.0, 1.0, _p(value, 0.0, rank, m, n))
    if prompt is None:
        variance = beats_m.var(ddof=1) / m + beaten_n.var(ddof=1) / n
    else:
        variance = _clustered(beats_m - value, prompt[good], beaten_n - value, prompt[~good])
    if not math.isfinite(variance):
        return Estimate(value, 0.0, 1.0, 1.0)
    error = math.sqrt(variance)
    margin = Z_95 * error
    p = _p(value, error, rank, m, n)
    return Estimate(value, max(0.0, value - margin), min(1.0, value + margin), p)


def _clustered(of_m: np.ndarray, prompt_m: np.ndarray, of_n: np.ndarray, prompt_n: np.ndarray) -> float:
    """Obuchowski's variance: each cluster's sums of deviations, of its good samples and of its others, and their
    product. Infinite where the good or the others are of one cluster.
    """
    m, n = len(of_m), len(of_n)
    clusters, place = np.unique(np.concatenate([prompt_m, prompt_n]), return_inverse=True)
    good_c = np.bincount(place[:m], of_m, len(clusters))
    other_c = np.bincount(place[m:], of_n, len(clusters))
    with_good, with_other = len(np.unique(prompt_m)), len(np.unique(prompt_n))
    if min(with_good, with_other) < 2:
        return math.inf
    variance = _spread(with_good) * (good_c @ good_c) / m**2 + _spread(with_other) * (other_c @ other_c) / n**2
    return max(0.0, float(variance + 2 * _spread(len(clusters)) * (good_c @ other_c) / (m * n)))


def _spread(clusters: int) -> float:
    return clusters / (clusters - 1)


def _p(value: float, error: float, rank: np.ndarray, m: int, n: int) -> float:
    total = m + n
    _, ties = np.unique(rank, return_counts=True)
    lost = (ties.astype(float) ** 3 - ties).sum() / (total * (total - 1)) if total > 1 else 0.0
    error = max(error, math.sqrt(max(0.0, (total + 1 - lost) / (12 * m * n))))
    return two_sided((value - 0.5) / error) if error else 1.0


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[inverse]


def wilson(successes: int, trials: int) -> Estimate:
    """A share with Wilson's (1927) score interval, which holds for small counts too. `trials` >= 1."""
    share, z2 = successes / trials, Z_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    margin = Z_95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return Estimate(share, max(0.0, centre - margin), min(1.0, centre + margin))
