"""What a score may be made of: statistics, and where a score says so the pool's text."""

from dataclasses import dataclass
from pathlib import Path

from mygo.params import SelectParams
from mygo.selection.statistics import Statistics


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
