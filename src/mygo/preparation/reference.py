"""The reference set: what `prepare.reference` names, in the form of a pool."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mygo.data.benchmark import BenchmarkMeta, Question
from mygo.data.pool import write_pool
from mygo.data.reference import dev_conversations
from mygo.data.sources import read_reference_source
from mygo.errors import UserError
from mygo.params import ReferenceParams


def write_reference(
    params: ReferenceParams, dev: Sequence[Question], meta: BenchmarkMeta, folder: Path
) -> tuple[dict[str, Any], Mapping[str, str | None]]:
    """Write the pool `folder`: an empty folder where no reference is asked for, so that the stage's outputs are the
    same either way. Returns the metrics and the commits of hub data sets.

    Raises `UserError` for a source of which nothing can be read, and a benchmark without dev questions.
    """
    if params.source == "none":
        folder.mkdir(parents=True, exist_ok=True)
        return {}, {}
    if params.source == "benchmark":
        if not dev:
            raise UserError(
                "prepare.reference.source: got benchmark, which has no dev questions; takes none, local or hub"
            )
        rows, commits = dev_conversations(dev, meta), {}
    else:
        rows = read_reference_source(params)
        commits = rows.commits
    try:
        counts = write_pool(rows, folder)
    except UserError as error:  # it names a file, which might be the pool's
        raise UserError(f"prepare.reference: {error}") from None
    return {"reference": {"samples": counts.rows, "rejected": counts.rejected}}, commits
