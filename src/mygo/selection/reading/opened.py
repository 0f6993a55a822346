"""Statistics and the pool they are of, opened for one selection or for many."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from mygo.data.pool import open_pool
from mygo.params import SelectParams
from mygo.selection.reading.material import Material
from mygo.selection.reading.statistics import Statistics, open_statistics

T = TypeVar("T")
KEYS = ["source_dataset", "source_index", "id", "label"]
BYTES_AN_ENTRY = 200  # of a dict of small things, roughly


@dataclass
class Memo:
    """Keeps what was made last, up to `limit` bytes; what was not asked for longest goes first. 0 keeps nothing."""

    limit: int = 0
    kept: OrderedDict[Hashable, tuple[Any, int]] = field(default_factory=OrderedDict)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made under this key, or is made now. Nobody writes to it."""
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key][0]
        value = make()
        self.kept[key] = value, size_of(value)
        while self.kept and sum(size for _, size in self.kept.values()) > self.limit:
            self.kept.popitem(last=False)
        return value


@dataclass(frozen=True)
class Opened:
    """`keys`: provenance and labels of the pool's rows; scores get to see none of it but the ids."""

    statistics: Statistics
    pool: Path
    keys: pa.Table
    memo: Memo
    reference: Path | None = None
    reference_pool: Path | None = None

    def material(self, params: SelectParams, seed: int) -> Material:
        """What a score may be made of here."""
        return Material(self.statistics, params, self.pool, seed, self.reference, self.reference_pool)


def open_both(
    statistics: Path,
    pool: Path,
    memo: Memo | None = None,
    reference: Path | None = None,
    reference_pool: Path | None = None,
) -> Opened:
    """`reference` and `reference_pool`: statistics and samples of the reference set, where there is one. Raises
    `UserError` if the statistics are not of this pool.
    """
    keys = open_pool(pool).to_table(columns=KEYS)
    recorded = open_statistics(statistics)
    recorded.check_rows(keys)
    return Opened(recorded, pool, keys, memo or Memo(), reference, reference_pool)


def beside(statistics: Path, pool: Path) -> tuple[Path | None, Path | None]:
    """Statistics and samples of the reference set where the stages put them: next to those of the pool."""
    reference, samples = statistics.with_name("reference_statistics"), pool.with_name("reference")
    return (reference if reference.is_dir() else None, samples if samples.is_dir() else None)


def size_of(value: Any) -> int:
    """Bytes of arrays, and of what holds them."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if is_dataclass(value):
        return sum(map(size_of, vars(value).values()))
    return len(value) * BYTES_AN_ENTRY if hasattr(value, "__len__") else 0


def digest_of(rows: np.ndarray) -> str:
    return hashlib.blake2b(rows.tobytes(), digest_size=20).hexdigest()
