"""Rows of a token budget, filled from samples sorted by length. No padding: samples lie end to end."""

from collections.abc import Sequence


def pack_rows(lengths: Sequence[int], tokens_per_row: int) -> list[list[int]]:
    """Indices of the samples of each row, long samples first; a row holds at most `tokens_per_row` tokens.

    First-fit decreasing would fill rows a little better, but neighbours in length keep equal-length runs together, which attention
    computes as one batch. A sample longer than a row gets a row of its own. Ties keep the order of the samples.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    rows: list[list[int]] = []
    used = tokens_per_row + 1
    for i in order:
        if used + lengths[i] > tokens_per_row:
            rows.append([])
            used = 0
        rows[-1].append(i)
        used += lengths[i]
    return rows
