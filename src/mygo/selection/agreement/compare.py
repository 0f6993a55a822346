"""From files to tables: statistics, pool and labels in, a table for each label out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mygo.data.answers import prompt_numbers
from mygo.data.labels import read_label_columns
from mygo.data.pool import open_pool
from mygo.errors import UserError, listed, shown
from mygo.params import load_params
from mygo.selection.agreement.graded import graded_scores, held_fixed
from mygo.selection.agreement.labels import Column, Label, joined_columns, read_label
from mygo.selection.agreement.table import Pool, Size, Table, tabulate
from mygo.selection.reading.material import Material
from mygo.selection.reading.opened import beside
from mygo.selection.reading.statistics import open_statistics


@dataclass(frozen=True)
class Request:
    """What the command line asks for. No labels: all that can be read; no scores: all that the statistics allow.

    `joined`: a file with labels, and its column of ids.
    """

    labels: tuple[str, ...]
    scores: tuple[str, ...]
    joined: tuple[Path, str] | None
    good: str | None
    good_above: float | None
    size: Size
    seed: int | None


def compare(request: Request, params_file: Path, statistics: Path, pool: Path) -> tuple[list[Table], list[str]]:
    """The tables, and what is to be said beside them: what was left out and why.

    Raises `UserError` for statistics of another pool, and for a label or a score that is not there.
    """
    params = load_params(params_file)
    keys = open_pool(pool).to_table(columns=["source_dataset", "source_index", "id"])
    recorded = open_statistics(statistics)
    recorded.check_rows(keys)
    notes: list[str] = []
    columns = read_label_columns(pool)
    if request.joined is not None:
        columns |= _joined(*request.joined, keys["id"].to_pylist(), columns, notes)
    labels = _labels(request, columns, str(params.select.good_label), notes)
    seed = params.seed if request.seed is None else request.seed
    material = Material(recorded, params.select, pool, seed, *beside(statistics, pool))
    scores, skipped = graded_scores(material, request.scores)
    if not scores:
        raise UserError(f"--score: none can be taken of {recorded.folder}; collect graded nothing that one is made of")
    if skipped:
        notes.append(f"left out, for the statistics or params.yaml lack what they need: {', '.join(skipped)}")
    held = held_fixed(material)
    if held.missing:
        notes.append(f"not known, so not held fixed: {', '.join(held.missing)}")
    of_pool = Pool(keys, prompt_numbers(pool))
    return [tabulate(scores, label, held, of_pool, request.size, seed) for label in labels], notes


def _joined(
    path: Path, id_column: str, ids: list[str], columns: Mapping[str, Column], notes: list[str]
) -> dict[str, Column]:
    """The columns of the file; what of it is not used is noted, and what takes the place of a column of the pool."""
    joined = joined_columns(path, id_column, ids)
    if left := len(ids) - joined.found:
        notes.append(f"{left:,} of {len(ids):,} samples are not in {shown(path, 200)}: they have no label of it")
    if joined.unreadable:
        notes.append(f"{shown(path, 200)}: {joined.unreadable:,} of its rows cannot be read, and label nothing")
    if both := [name for name in joined.columns if name in columns]:
        notes.append(f"{listed(both)}: taken from {shown(path, 200)}, not from the pool")
    return joined.columns


def _labels(request: Request, columns: dict[str, Column], good_label: str, notes: list[str]) -> list[Label]:
    """Those asked for, or all that can be read as labels; the others are noted."""
    if not columns:
        raise UserError(
            "--labels: the pool has no label column; takes a file with labels, or a pool prepared with "
            "prepare.label_column"
        )
    for name in request.labels:
        if name not in columns:
            raise UserError(f"--label: got {shown(name)}; the columns there are {listed(columns)}")
    good = good_label if request.good is None else request.good
    labels: list[Label] = []
    for name in request.labels or columns:
        try:
            labels.append(read_label(name, columns[name], good, request.good_above))
        except UserError as error:
            if request.labels or len(columns) == 1:
                raise
            notes.append(f"left out: {error}")
    if not labels:
        raise UserError(f"--label: none of {listed(columns)} can be read as a label ({notes[-1]})")
    return labels
