"""Least and most samples of each source among the kept ones.

S sources, R rows in the order of a strategy, K rows that are kept.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mygo.errors import shown
from mygo.params import SourceShare
from mygo.selection.strategies.clustered import places_in_group


@dataclass(frozen=True)
class Quotas:
    """Of K samples a source has at least floor(min * K) and at most ceil(max * K): minima are rounded down and maxima
    up, so that rounding alone makes nothing impossible. Shares are taken as they were written: 0.1 is a tenth.
    """

    sources: list[str]
    number_R: np.ndarray  # of each row's source in `sources`
    place_R: np.ndarray  # how many of the same source come before
    shares_S: list[tuple[Fraction, Fraction]]

    @classmethod
    def of(cls, shares: Mapping[str, SourceShare], source_R: np.ndarray) -> "Quotas":
        """`source_R`: the source's name of each row in the order. A source that is in the shares alone has no row."""
        sources = sorted(shares.keys() | set(source_R.tolist()))
        number = {name: i for i, name in enumerate(sources)}
        number_R = np.array([number[name] for name in source_R.tolist()], dtype=np.int64)
        given = [shares.get(name, SourceShare()) for name in sources]
        exact = [(Fraction(str(share.min)), Fraction(str(share.max))) for share in given]
        return cls(sources, number_R, places_in_group(number_R), exact)

    def limits(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Least and most samples of each source among `size` kept ones, int64 [S]."""
        least = [math.floor(low * size) for low, _ in self.shares_S]
        most = [math.ceil(high * size) for _, high in self.shares_S]
        return np.array(least, dtype=np.int64), np.array(most, dtype=np.int64)

    def refused(self, size: int) -> str | None:
        """Why `size` samples cannot be kept; `None` if they can."""
        least_S, most_S = self.limits(size)
        there_S = np.bincount(self.number_R, minlength=len(self.sources))
        for i in np.flatnonzero(least_S > there_S):
            name, least = shown(self.sources[i]), f"{least_S[i]:,} of {size:,}"
            return f"{name} shall have at least {least} samples, and {there_S[i]:,} of it can be kept"
        possible = int(np.minimum(most_S, there_S).sum())
        if possible < size:
            return f"of {size:,} samples the maxima and what can be kept of each source allow {possible:,}"
        return None

    def taken(self, size: int) -> np.ndarray:
        """Which rows are kept, bool [R]: the minimum of every source first, then along the order whatever no maximum
        forbids.
        """
        least_S, most_S = self.limits(size)
        taken_R = self.place_R < least_S[self.number_R]
        optional = np.flatnonzero(~taken_R & (self.place_R < most_S[self.number_R]))
        taken_R[optional[: size - np.count_nonzero(taken_R)]] = True
        return taken_R

    def tokens(self, size: int, tokens_R: np.ndarray) -> float:
        """Tokens of the kept rows; infinity if `size` cannot be kept."""
        return math.inf if self.refused(size) else float(tokens_R[self.taken(size)].sum())
