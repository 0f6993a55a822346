"""The table of a comparison: Markdown for people, CSV and JSON with every number for everything else."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mygo.comparison.cells import Cell
from mygo.comparison.pairing import LEVEL, Interval, Spread, paired_difference, spread
from mygo.workdir import write_atomically

NOTHING = "n/a"
HEADER = (
    "selection",
    "AUC against the true label",
    "share of good samples among the kept",
    "accuracy after fine-tuning",
    "gain over the base",
)


def write_table(cells: Sequence[Cell], reference: str, folder: Path, ratios: Sequence[float] = ()) -> str:
    """Write `table.md`, `cells.csv` (a row for each cell) and `table.json` (what the table shows, unrounded) to the
    folder. Returns the Markdown. With `ratios` the strategies are `name@ratio`, and each ratio has a table of its own.
    """
    groups = [[cell for cell in cells if cell.strategy.endswith(f"@{ratio:g}")] for ratio in ratios] or [list(cells)]
    references = [f"{reference}@{ratio:g}" for ratio in ratios] or [reference]
    parts = [rows_of(group, name) for group, name in zip(groups, references, strict=True)]
    text = "\n".join([*parts, _notes(cells)])
    rows = [asdict(cell) for cell in cells]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, fieldnames=list(Cell.__annotations__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    summary = {
        strategy: finite(summarise(group, strategy, name))
        for group, name in zip(groups, references, strict=True)
        for strategy in _strategies(group)
    }
    write_atomically(folder / "table.md", text.encode())
    write_atomically(folder / "cells.csv", stream.getvalue().encode())
    write_atomically(folder / "table.json", json.dumps(summary, indent=1).encode() + b"\n")
    return text


def summarise(cells: Sequence[Cell], strategy: str, reference: str) -> dict[str, Spread | Interval | None]:
    """The numbers of one row. `difference` is `None` for the reference itself, and where the reference was not run."""
    own = [cell for cell in cells if cell.strategy == strategy]
    other = {cell.seed: cell.accuracy for cell in cells if cell.strategy == reference}
    accuracy = {cell.seed: cell.accuracy for cell in own}
    comparable = strategy != reference and bool(accuracy.keys() & other.keys())
    return {
        "auc": spread_of([cell.auc for cell in own]),
        "clean": spread_of([cell.clean for cell in own]),
        "accuracy": spread(accuracy.values()),
        "gain": spread(cell.gain for cell in own),
        "difference": paired_difference(accuracy, other) if comparable else None,
    }


def rows_of(cells: Sequence[Cell], reference: str) -> str:
    """The table itself, in Markdown."""
    header = [*HEADER, f"difference to {reference}, paired by seed [{LEVEL:.0%}]"]
    lines = [header, ["---"] * len(header)]
    for strategy in _strategies(cells):
        row = summarise(cells, strategy, reference)
        digits = {"auc": 2, "clean": 2, "accuracy": 3}
        shown = [plain(row[name], digits[name]) for name in digits]
        lines.append([strategy, *shown, _signed(row["gain"]), _signed(row["difference"])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _notes(cells: Sequence[Cell]) -> str:
    """What the numbers are, and what they are not."""
    seeds = sorted({cell.seed for cell in cells})
    base = spread({cell.seed: cell.base_accuracy for cell in cells}.values())
    questions = max(cell.questions for cell in cells)
    errors = [cell.gain_stderr for cell in cells if cell.gain_stderr is not None]
    over_questions = f" (the gain's is {min(errors):.3f} to {max(errors):.3f})" if errors else ""
    sentences = [
        f"Seeds {', '.join(map(str, seeds))}; for each of them a world, base models and trainings of its own, the same "
        "for all rows.",
        "a ± b: mean and standard deviation between seeds.",
        f"[low, high]: {LEVEL:.0%} interval of the mean difference over seeds, by Student's t; where it holds 0, the "
        "two are not told apart.",
        f"The base model scores {plain(base, 3)} on {questions:,} questions.",
        f"A standard error over questions{over_questions} is another thing: it says how well one training is measured, "
        "not how far trainings and worlds differ.",
        f"Measured on {'; '.join(sorted({cell.machine for cell in cells}))}: another kind of CPU gives other numbers.",
    ]
    return "\n".join(sentences) + "\n"


def _strategies(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.strategy for cell in cells))


def spread_of(values: Sequence[float | None]) -> Spread | None:
    """Of the values that are known; `None` if none is."""
    known = [value for value in values if value is not None]
    return spread(known) if known else None


def plain(value: Spread | Interval | None, digits: int) -> str:
    """`mean ± sd`, without the second for one seed."""
    if not isinstance(value, Spread):
        return NOTHING
    return f"{value.mean:.{digits}f}" + ("" if math.isnan(value.sd) else f" ± {value.sd:.{digits}f}")


def _signed(value: Spread | Interval | None) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, Spread):
        return f"{value.mean:+.3f}" + ("" if math.isnan(value.sd) else f" ± {value.sd:.3f}")
    interval = "" if math.isnan(value.low) else f" [{value.low:+.3f}, {value.high:+.3f}]"
    return f"{value.mean:+.3f}{interval}"


def finite(row: Mapping[str, Spread | Interval | None]) -> dict[str, Any]:
    """JSON knows no NaN: what one seed cannot say is null."""
    return {
        name: None
        if value is None
        else {key: None if math.isnan(number) else number for key, number in asdict(value).items()}
        for name, value in row.items()
    }
