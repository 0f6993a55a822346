"""Metrics and plot files that `dvc metrics` and `dvc plots` read: sorted keys, rounded, finite, complete or not there
at all.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from mygo.errors import UserError, escaped
from mygo.workdir import write_atomically

DECIMALS = 6
LONGEST = 200  # characters of a text; a name from data may be a whole page


def write_metrics(path: str | Path, values: Mapping[str, Any]) -> None:
    """Write nested numbers, texts and lists as JSON. `dvc metrics` shows a nested key as `outer.inner`.

    Raises `UserError` naming the first key whose number is not finite, and `TypeError` for what JSON cannot hold.
    """
    rounded = _rounded(values, str(path))
    text = json.dumps(rounded, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(Path(path), text.encode())


def write_plot(path: str | Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows as CSV with a header, in the order of the first row's keys. Every row has exactly these columns.

    `columns` are those of a plot that may have no row. Raises `UserError` as `write_metrics` does, and `ValueError` if
    a row has other columns, or there is neither a row nor a column.
    """
    if not rows and not columns:
        raise ValueError(f"{path}: a plot takes at least one row")
    names = list(columns or rows[0])
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for number, row in enumerate(rows):
        if set(row) != set(names):
            raise ValueError(f"{path}: row {number} has the columns {sorted(row)}, not {sorted(names)}")
        writer.writerow([_rounded(row[name], f"{path}: row {number}, {name}") for name in names])
    write_atomically(Path(path), text.getvalue().encode())


def harmless(text: str) -> str:
    """A text from data as DVC may show it: in a terminal, and in a page where it stands unescaped inside a <script>.

    `</script>` and `<!--` end or break a script, and `<DVC_...>` is a template's anchor: `<` becomes the quotation mark
    `‹`, which reads alike. What a terminal would obey is written as its escape (`\\x1b`), and a long text is cut.
    """
    short = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return escaped(short).replace("<", "\u2039")


def _rounded(value: Any, key: str) -> Any:
    """The value in JSON's own types (numpy's too), floats rounded, texts harmless; `key` names it in an error."""
    if isinstance(value, Mapping):
        separator = "." if ": " in key else ": "
        return {harmless(str(name)): _rounded(item, f"{key}{separator}{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, f"{key}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, str):
        return harmless(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if not isinstance(value, Real):
        raise TypeError(f"{key}: {type(value).__name__} is neither a number nor a text")
    if not math.isfinite(value):
        raise UserError(f"{key}: got {float(value)}; a metric takes a finite number")
    return round(float(value), DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
