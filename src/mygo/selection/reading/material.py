"""What a score may be made of: statistics, and where a score says so the pool's text or a file of the user's."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mygo.data.pool import open_pool
from mygo.params import SelectParams
from mygo.selection.reading.external import External, read_external
from mygo.selection.reading.statistics import Statistics


@dataclass(frozen=True)
class Material:
    """`pool` is the folder whose texts a score may read, row by row as in `statistics`; its labels are not for it.
    `reference`: the statistics of the reference set, and `reference_pool` its texts, where there are any.
    """

    statistics: Statistics
    params: SelectParams
    pool: Path
    seed: int = 0
    reference: Path | None = None
    reference_pool: Path | None = None

    @cached_property
    def external(self) -> External:
        """What `select.external` names, read once."""
        return read_external(self.params.external, open_pool(self.pool).to_table(columns=["id"])["id"])

    def stream(self, name: str) -> np.random.Generator:
        return stream(self.seed, name)


def stream(seed: int, name: str) -> np.random.Generator:
    """A random stream of its own: the warm-up pool is drawn with the same seed, and a random selection must not be the
    same rows.
    """
    return np.random.default_rng([seed, *name.encode()])
