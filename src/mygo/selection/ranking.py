"""Which end of a score is best, and the order that makes of the pool's rows."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from mygo.params.choices import Order


def highest(score: np.ndarray) -> np.ndarray:
    return score


def lowest(score: np.ndarray) -> np.ndarray:
    return -score


def middle(score: np.ndarray) -> np.ndarray:
    """The closer to the median the better."""
    return -np.abs(score - (np.nan if np.isnan(score).all() else np.nanmedian(score)))


# A number per sample that is higher for what is asked for; NaN stays NaN.
ORDERS: dict[Order, Callable[[np.ndarray], np.ndarray]] = {"highest": highest, "lowest": lowest, "middle": middle}


def rank_rows(preference: np.ndarray, keys: pa.Table) -> np.ndarray:
    """Rows whose preference is not NaN, from the highest down; ties by source_dataset, then source_index (columns of
    `keys`).
    """
    order = np.lexsort((keys["source_index"].to_numpy(), number_sources(keys), -preference))
    return order[: np.count_nonzero(~np.isnan(preference))]  # lexsort puts NaN last


def number_sources(keys: pa.Table) -> np.ndarray:
    """The source of each row as a number, in the order of the sources' names."""
    names = keys["source_dataset"].combine_chunks().dictionary_encode()
    place_of_name = np.argsort(np.argsort(names.dictionary.to_pylist()))
    return place_of_name[names.indices.to_numpy()]
