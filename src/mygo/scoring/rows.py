"""Rows of a given number of tokens, filled from samples by their length or in the order they come.

Packed samples lie end to end and need no padding.
"""

from collections.abc import Sequence


def rows_by_length(lengths: Sequence[int], tokens_per_row: int, *, padded: bool = False) -> list[list[int]]:
    """Indices of the samples of each row, long samples first; a row holds at most `tokens_per_row` tokens, its padding
    included.

    First-fit decreasing would fill rows a little better, but neighbours in length keep equal-length runs together,
    which attention computes as one batch. A sample longer than a row gets a row of its own. Ties keep the order of the
    samples.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    rows: list[list[int]] = []
    used = tokens_per_row + 1
    for i in order:
        cost = lengths[rows[-1][0]] if padded and rows else lengths[i]
        if used + cost > tokens_per_row:
            rows.append([])
            used, cost = 0, lengths[i]
        rows[-1].append(i)
        used += cost
    return rows


def rows_in_order(lengths: Sequence[int], tokens_per_row: int) -> list[list[int]]:
    """The same, filled in the order of the samples: in training a row must not tell how long they are."""
    rows: list[list[int]] = [[]]
    used = 0
    for i, length in enumerate(lengths):
        if used + length > tokens_per_row and rows[-1]:
            rows.append([])
            used = 0
        rows[-1].append(i)
        used += length
    return rows
