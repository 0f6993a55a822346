"""The reference set: what `prepare.reference` names, in the form of a pool."""

import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from mygo.data.benchmark import BenchmarkMeta, Question
from mygo.data.pool import write_pool
from mygo.data.records import Sample
from mygo.data.reference import dev_conversations
from mygo.data.sources import Outcome, PoolSource, read_reference_source
from mygo.errors import UserError
from mygo.params import ReferenceParams


def open_reference(params: ReferenceParams, dev: Sequence[Question], meta: BenchmarkMeta) -> PoolSource | None:
    """Its rows, read as far as the first sample; None where no reference is asked for.

    Raises `UserError` for a source of which nothing can be read, and a benchmark without dev questions: so before the
    pool is read, and nothing is written.
    """
    if params.source == "none":
        return None
    if params.source == "benchmark":
        if not dev:
            raise UserError(
                "prepare.reference.source: got benchmark, which has no dev questions; takes none, local or hub"
            )
        return PoolSource(dev_conversations(dev, meta), {})
    source = read_reference_source(params)
    try:
        return PoolSource(_with_a_sample(source.rows), source.commits)
    except UserError as error:  # it names a file, which might be the pool's
        raise UserError(f"prepare.reference: {error}") from None


def write_reference(source: PoolSource | None, folder: Path) -> dict[str, Any]:
    """Write the pool `folder`: an empty folder without a source, so that the stage's outputs are the same either way.
    Returns the metrics.
    """
    if source is None:
        folder.mkdir(parents=True, exist_ok=True)
        return {}
    counts = write_pool(source, folder)
    print(f"reference: {counts.rows:,} samples, {counts.rejected:,} rows rejected, all in {folder}", file=sys.stderr)
    return {"reference": {"samples": counts.rows} | ({"rejected": counts.rejected} if counts.rejected else {})}


def _with_a_sample(rows: Iterator[Outcome]) -> Iterator[Outcome]:
    """The same rows, after a look at those up to the first sample."""
    seen: list[Outcome] = []
    for row in rows:
        seen.append(row)
        if isinstance(row, Sample):
            break
    return chain(seen, rows)
