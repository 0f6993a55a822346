"""Metrics and plot files that `dvc metrics` and `dvc plots` read: sorted keys, rounded, finite, complete or not there
at all.
"""

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from mygo.errors import UserError
from mygo.workdir import writing

DECIMALS = 6


def write_metrics(path: str | Path, values: Mapping[str, Any]) -> None:
    """Write nested numbers, texts and lists as JSON. `dvc metrics` shows a nested key as `outer.inner`.

    Raises `UserError` naming the first key whose number is not finite, and `TypeError` for what JSON cannot hold.
    """
    _write(
        Path(path),
        json.dumps(_rounded(values, str(path)), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    )


def write_plot(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV with a header, in the order of the first row's keys. Every row has exactly these columns.

    Raises `UserError` as `write_metrics` does, and `ValueError` if a row has other columns or there is no row.
    """
    if not rows:
        raise ValueError(f"{path}: a plot takes at least one row")
    names = list(rows[0])
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for number, row in enumerate(rows):
        if set(row) != set(names):
            raise ValueError(f"{path}: row {number} has the columns {sorted(row)}, not {sorted(names)}")
        writer.writerow([_rounded(row[name], f"{path}: row {number}, {name}") for name in names])
    _write(Path(path), text.getvalue())


def _rounded(value: Any, key: str) -> Any:
    """The value in JSON's own types (numpy's numbers too), floats rounded; `key` names it in an error."""
    if isinstance(value, Mapping):
        separator = "." if ": " in key else ": "
        return {str(name): _rounded(item, f"{key}{separator}{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, f"{key}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if not isinstance(value, Real):
        raise TypeError(f"{key}: {type(value).__name__} is neither a number nor a text")
    if not math.isfinite(value):
        raise UserError(f"{key}: got {float(value)}; a metric takes a finite number")
    return round(float(value), DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0


def _write(path: Path, text: str) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            temporary.write_text(text, encoding="utf-8", newline="")
            os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
