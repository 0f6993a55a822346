"""Quality labels as text, and those that a pool holds."""

import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from mygo.data.pool import BATCH_ROWS, iter_batches
from mygo.data.records import wrong_type

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
TRUTH = ("true", "false")


def label_text(value: Any) -> str | None:
    """A quality label as text, the same for everything that a user would call the same label.

    Numbers are compared as numbers: 1, 1.0 and the texts "1" and "1.00" are the label `1`. So are true and the texts
    "true" and "True", since CSV holds nothing but text. Any other text stays as it is ("007", "1e3", "Good"). NaN
    stands for no label, as None does. Raises `RowError` for anything nested.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return TRUTH[not value]
    if isinstance(value, str):
        if value.lower() in TRUTH:
            return value.lower()
        return _shortest(value) if NUMBER.fullmatch(value) else value
    if isinstance(value, int | float | Decimal):
        if not math.isfinite(value):
            return None if math.isnan(value) else str(value)
        return _shortest(f"{Decimal(repr(value) if isinstance(value, float) else value):f}")
    raise wrong_type("the label", value, "text, a number, true or false")


def read_label_columns(pool: Path) -> dict[str, list[str | None]]:
    """Every label column of the pool as `label_text` writes it, one value a sample in the pool's order, None where a
    sample has none; the columns in the order that `prepare.label_column` names them (mini world: `label`).

    Raises `UserError` if there is no pool.
    """
    rows = [row for batch in iter_batches(pool, ["labels"], BATCH_ROWS) for row in batch.column("labels").to_pylist()]
    columns: dict[str, list[str | None]] = {}
    for row, labels in enumerate(rows):
        for label in labels or ():
            columns.setdefault(label["name"], [None] * len(rows))[row] = label["value"]
    return columns


def _shortest(digits: str) -> str:
    """A decimal number without the zeros that say nothing."""
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "0" if digits == "-0" else digits
