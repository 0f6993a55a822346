"""Columns of labels as numbers: two values, numbers, or kinds of which one is good. N samples."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from mygo.data.labels import NUMBER, label_text
from mygo.data.readers import read_rows
from mygo.data.records import RowError, Unreadable
from mygo.errors import UserError, listed, shown

NUMERIC = re.compile(rf"(?:{NUMBER.pattern})(?:[eE][+-]?[0-9]+)?")  # 1e-05, too: so CSV writes small numbers
GOOD_OF_TWO = ({"true", "false"}, "true"), ({"yes", "no"}, "yes")
Column = list[str | None]  # a label of each sample as text, None where it has none


@dataclass(frozen=True)
class Label:
    """`value_N`: higher is better, NaN where a sample has none. `good_N`: which count as good; None for plain numbers.

    `numbers`: the values are more than good and not good, so that their order is asked for. `meaning` in words.
    """

    name: str
    value_N: np.ndarray
    good_N: np.ndarray | None
    numbers: bool
    meaning: str


@dataclass(frozen=True)
class Joined:
    """Labels of a file: a column each; how many of the samples it has, and how many of its rows are unreadable."""

    columns: dict[str, Column]
    found: int
    unreadable: int


def joined_columns(path: Path, id_column: str, ids: Sequence[str]) -> Joined:
    """Every other column with a name of a file (CSV, JSONL, Parquet) as labels of the samples with these ids.

    Raises `UserError` for a file that is not there, without this column, with an id twice, or with none of the ids.
    """
    if not path.exists():
        raise UserError(f"--labels: got {shown(path)}, which is not there")
    rows: dict[str, dict[str, object]] = {}
    names: dict[str, None] = {}
    unreadable = 0
    for row in read_rows(path):
        unreadable += not isinstance(row.value, dict)
        value = row.value if isinstance(row.value, dict) else {}
        names |= dict.fromkeys(value)
        key = _text(value.get(id_column))
        if key in rows:
            raise UserError(f"--labels: {path} has the {id_column} {shown(key)} twice; takes each once")
        if key is not None:
            rows[key] = value
    if id_column not in names:
        raise UserError(f"--id-column: got {shown(id_column)}; the columns of {path} are {listed(names)}")
    keys = [str(label_text(name)) for name in ids]
    found = sum(key in rows for key in keys)
    if not found:
        raise UserError(
            f"--labels: none of the pool's ids is in column {id_column} of {path}; the first are {shown(ids[0], 40)} "
            f"and {listed(rows, 1)}"
        )
    others = [name for name in names if name and name != id_column]  # without a name: pandas' index
    columns = {name: [_text(rows.get(key, {}).get(name)) for key in keys] for name in others}
    return Joined(columns, found, unreadable)


def _text(value: object) -> str | None:
    """As `label_text`, and None for what is no label, such as a list."""
    try:
        return None if isinstance(value, Unreadable) else label_text(value)
    except RowError:
        return None


def read_label(name: str, texts: Column, good: str | None, good_above: float | None) -> Label:
    """A column as numbers. `good`: the text of the good value, where the column has it; `good_above`: from which number
    on a value is good.

    Without either, of true and false, of yes and no and of two numbers the better is known, and more than two
    numbers are taken as they are, as are those that `good_above` does not divide. Raises `UserError` for any other
    column.
    """
    known = sorted({text for text in texts if text is not None})
    if len(known) < 2:
        raise UserError(f"--label: {shown(name)} has {listed(known)} for a value; takes a label of two values or more")
    wanted = None if good is None else str(label_text(good)).lower()
    matching = {text for text in known if text.lower() == wanted}
    if matching:
        return _good(name, texts, matching, f"{shown(good)} is good")
    if all(NUMERIC.fullmatch(text) for text in known):
        return _numbers(name, texts, good_above)
    lower = {text.lower() for text in known}
    for values, best in GOOD_OF_TWO:
        if lower == values:
            return _good(name, texts, {text for text in known if text.lower() == best}, f"{best} is good")
    raise UserError(f"--good: takes the good value of label {shown(name)}, one of {listed(known)}; got {shown(good)}")


def _good(name: str, texts: Column, best: set[str], meaning: str) -> Label:
    good_N = np.array([text in best for text in texts], dtype=bool)
    known_N = np.array([text is not None for text in texts], dtype=bool)
    if not (good_N & known_N).any() or (good_N == known_N).all():
        raise UserError(f"--good: all samples with label {shown(name)} are good; takes a value that not all have")
    return Label(name, np.where(known_N, good_N.astype(float), np.nan), good_N, numbers=False, meaning=meaning)


def _numbers(name: str, texts: Column, good_above: float | None) -> Label:
    value_N = np.array([np.nan if text is None else float(Decimal(text)) for text in texts])
    values = np.unique(value_N[~np.isnan(value_N)])
    if len(values) == 2 and good_above is None:
        return Label(name, value_N, value_N == values[1], numbers=False, meaning=f"{values[1]:g} is good")
    meaning = "a number, higher is better"
    if good_above is None:
        return Label(name, value_N, None, numbers=True, meaning=meaning)
    good_N = value_N >= good_above
    if not good_N.any() or not (value_N < good_above).any():  # meant for another label
        return Label(name, value_N, None, numbers=True, meaning=f"{meaning}; {good_above:g} does not divide it")
    return Label(name, value_N, good_N, numbers=True, meaning=f"{meaning}; good from {good_above:g} on")
