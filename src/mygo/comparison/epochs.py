"""The epochs of one warm-up side by side: what a selection by each of them is worth, and how far it is the last one's.

A cell is one epoch of one seed. Without fine-tuning it is the pipeline up to select.
"""

import csv
import io
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mygo.comparison.cells import accuracy_of, machine
from mygo.comparison.table import finite, plain, spread_of
from mygo.comparison.workspace import Workspace
from mygo.errors import UserError
from mygo.workdir import write_atomically


@dataclass(frozen=True)
class EpochCell:
    """What one epoch of one seed measured. `key` names params and code, so that it is kept as long as neither changes.

    `overlap`: the share of its selection that the last epoch of the comparison keeps too.
    """

    key: str
    seed: int
    epoch: int
    auc: float | None
    clean: float | None  # share of samples with the good label among the kept ones
    kept: int
    rows: int  # of the pool
    machine: str
    accuracy: float | None = None  # after fine-tuning, where that was asked for
    overlap: float | None = None


def compare_epochs(
    workspace: Workspace,
    epochs: Sequence[int] | None,
    seeds: Sequence[int],
    settings: Sequence[str],
    finetune: bool,
    work: Path,
) -> list[EpochCell]:
    """A cell for each epoch (None: all of the warm-up) of each seed; those that are not kept in `work` yet are run.

    `settings` hold for every cell. Raises `UserError` for a wrong setting or epoch before anything runs, and when a run
    fails.
    """
    (plan,) = workspace.compose([list(settings)])
    wanted = [(seed, epoch) for seed in seeds for epoch in chosen_epochs(plan.params, epochs)]
    composed = workspace.compose([[f"seed={s}", *settings, f"collect.checkpoint={epoch}"] for s, epoch in wanted])
    cells = []
    for number, ((seed, epoch), params) in enumerate(zip(wanted, composed, strict=True), start=1):
        key, begin, name = workspace.key(params.params), time.monotonic(), f"epoch_{epoch}-seed{seed}"
        cell = kept(work / "cells", name, key, finetune)
        how = "kept"
        if cell is None:
            workspace.run(params, work / "logs" / f"{name}.log", "eval" if finetune else "select")
            cell = measured(params.params, workspace.folder, key, epoch, finetune)
            keep(cell, selected_rows(workspace.folder), work / "cells", name)
            how = f"{time.monotonic() - begin:.0f} s"
        cells.append(cell)
        print(f"{number} of {len(wanted)}: seed {seed}, epoch {epoch} ({how})", file=sys.stderr, flush=True)
    selections = {(cell.seed, cell.epoch): _read_rows(work / "cells", cell) for cell in cells}
    return with_overlap(cells, selections)


def chosen_epochs(params: dict[str, Any], epochs: Sequence[int] | None) -> list[int]:
    """Raises `UserError` for an epoch that the warm-up will not have, and where no epoch grades."""
    there, grader = params["warmup"]["epochs"], params["collect"]["base_model"]
    if grader is not None:
        raise UserError(f"--epochs: collect.base_model={grader} grades, and no epoch; takes collect.base_model=null")
    chosen = sorted(set(epochs)) if epochs else list(range(1, there + 1))
    if unknown := [epoch for epoch in chosen if not 1 <= epoch <= there]:
        raise UserError(f"--epochs: got {unknown[0]}; takes numbers from 1 to warmup.epochs={there}")
    return chosen


def measured(params: dict[str, Any], folder: Path, key: str, epoch: int, finetune: bool) -> EpochCell:
    """The cell that the metrics of a finished run make."""
    select = json.loads((folder / "metrics/select.json").read_text())
    return EpochCell(
        key=key,
        seed=params["seed"],
        epoch=epoch,
        auc=select.get("auc"),
        clean=select.get("precision_at_budget"),
        kept=select["selected"],
        rows=pq.read_metadata(folder / "data/selected/scores.parquet").num_rows,
        machine=machine(),
        accuracy=accuracy_of(params, folder / "metrics")["acc"] if finetune else None,
    )


def selected_rows(folder: Path) -> np.ndarray:
    """Places in the pool of what was selected."""
    table = pq.read_table(folder / "data/selected/scores.parquet", columns=["selected"])
    return np.flatnonzero(table["selected"].to_numpy())


def with_overlap(cells: Sequence[EpochCell], selections: dict[tuple[int, int], np.ndarray]) -> list[EpochCell]:
    """Each cell with the share of its rows that the last epoch of its seed has selected as well."""
    last = max(cell.epoch for cell in cells)
    made = []
    for cell in cells:
        own, others = selections[cell.seed, cell.epoch], selections[cell.seed, last]
        overlap = len(np.intersect1d(own, others)) / len(own) if len(own) else None
        made.append(replace(cell, overlap=overlap))
    return made


def keep(cell: EpochCell, rows: np.ndarray, folder: Path, name: str) -> None:
    stream = io.BytesIO()
    np.save(stream, rows)
    write_atomically(folder / f"{name}.npy", stream.getvalue())
    write_atomically(folder / f"{name}.json", json.dumps(asdict(cell), indent=1).encode() + b"\n")


def kept(folder: Path, name: str, key: str, finetune: bool) -> EpochCell | None:
    """The cell as it was kept, or `None` if there is none for exactly these params and this code."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    if content.keys() != EpochCell.__annotations__.keys() or content["key"] != key:
        return None
    return None if finetune and content["accuracy"] is None else EpochCell(**content)


def _read_rows(folder: Path, cell: EpochCell) -> np.ndarray:
    return np.load(folder / f"epoch_{cell.epoch}-seed{cell.seed}.npy")


def write_epochs(cells: Sequence[EpochCell], folder: Path) -> str:
    """Write `epochs.md`, `epochs.csv` (a row for each cell) and `epochs.json` (what the table shows, unrounded) to the
    folder. Returns the Markdown.
    """
    text = markdown(cells)
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, fieldnames=list(EpochCell.__annotations__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(cell) for cell in cells)
    summary = {epoch: finite(_summary(cells, epoch)) for epoch in sorted({cell.epoch for cell in cells})}
    write_atomically(folder / "epochs.md", text.encode())
    write_atomically(folder / "epochs.csv", stream.getvalue().encode())
    write_atomically(folder / "epochs.json", json.dumps(summary, indent=1).encode() + b"\n")
    return text


def _summary(cells: Sequence[EpochCell], epoch: int) -> dict[str, Any]:
    own = [cell for cell in cells if cell.epoch == epoch]
    return {name: spread_of([getattr(cell, name) for cell in own]) for name in ("auc", "clean", "overlap", "accuracy")}


def markdown(cells: Sequence[EpochCell]) -> str:
    epochs = sorted({cell.epoch for cell in cells})
    digits = {"auc": 3, "clean": 3, "overlap": 3, "accuracy": 3}
    header = [
        "epoch",
        "AUC against the true label",
        "share of good samples among the kept",
        f"share of its selection that epoch {epochs[-1]} keeps too",
        "accuracy after fine-tuning",
    ]
    if all(cell.accuracy is None for cell in cells):
        del digits["accuracy"], header[-1]
    lines = [header, ["---"] * len(header)]
    for epoch in epochs:
        row = _summary(cells, epoch)
        lines.append([str(epoch), *(plain(row[name], places) for name, places in digits.items())])
    chance = sum(cell.kept / cell.rows for cell in cells) / len(cells)
    seeds = sorted({cell.seed for cell in cells})
    notes = [
        f"Seeds {', '.join(map(str, seeds))}" + ("; a ± b: mean and standard deviation." if len(seeds) > 1 else "."),
        f"Two selections of {chance:.0%} by chance have {chance:.3f} of each other.",
        f"Measured on {'; '.join(sorted({cell.machine for cell in cells}))}: another kind of CPU gives other numbers.",
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n" + "\n".join(notes) + "\n"
