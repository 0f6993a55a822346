"""Tables of agreement as Markdown to read, as CSV or JSON to compute with."""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence

from mygo.errors import shown
from mygo.selection.agreement.table import Row, Table

MARKUP = re.compile(r"[\\`*\[\]<>|&~]|\b_|_\b")  # an underscore within a word is none
DIGITS = 6  # significant ones; more of them depend on the machine


def markdown(tables: Sequence[Table]) -> str:
    """One table a label; intervals of 95 % in brackets; p beside Holm's."""
    return "\n\n".join(_markdown(table) for table in tables) + "\n"


def as_csv(tables: Sequence[Table]) -> str:
    """One line a score and label, all numbers; empty where something is not defined."""
    names = list(dict.fromkeys(name for table in tables for row in table.rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rounded(row) for table in tables for row in table.rows)
    return text.getvalue()


def as_json(tables: Sequence[Table]) -> str:
    """A list with an object a label: its name and meaning, what is held fixed, and its rows as in the CSV."""
    values = [
        {
            "label": table.label.name,
            "meaning": table.label.meaning,
            "held_fixed": table.held,
            "scores": [_rounded(row) for row in table.rows],
        }
        for table in tables
    ]
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {"markdown": markdown, "csv": as_csv, "json": as_json}


def _rounded(row: Row) -> Row:
    return {name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value for name, value in row.items()}


def _markdown(table: Table) -> str:
    columns = _columns(table)
    lines = [
        f"**{_plain(table.label.name)}** ({_plain(table.label.meaning)}); partial: given {', '.join(table.held)}",
        "",
        f"| {' | '.join(columns)} |",
        f"| --- {'| ---: ' * (len(columns) - 1)}|",
    ]
    return "\n".join([*lines, *(f"| {' | '.join(cell(row) for cell in columns.values())} |" for row in table.rows)])


def _columns(table: Table) -> dict[str, Callable[[Row], str]]:
    """The heads of a table's columns, and what stands below each."""
    columns: dict[str, Callable[[Row], str]] = {
        "score (best)": lambda row: f"{row['score']} ({row['order']})",
        "rows": lambda row: f"{row['rows']:,}",
    }
    if table.label.numbers:
        columns["Spearman"] = lambda row: _estimate(row, "spearman")
    if table.has_good:
        columns["AUC"] = lambda row: _estimate(row, "auc")
    main = "spearman" if table.label.numbers else "auc"
    columns["p (Holm)"] = lambda row: _p(row, main)
    if table.has_good:
        columns["common of kept (chance)"] = _overlap
        columns["times chance"] = lambda row: _estimate(row, "lift", 2)
    if any(row["pairs"] for row in table.rows):
        columns["pairs right"] = _pairs
    columns["partial"] = lambda row: _estimate(row, "partial")
    columns["p (Holm) of partial"] = lambda row: _p(row, "partial")
    return columns


def _estimate(row: Row, name: str, decimals: int = 3) -> str:
    if row[name] is None:
        return "-"
    value, low, high = (_number(row[key], decimals) for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value} [{low}, {high}]"


def _number(value: object, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def _p(row: Row, name: str) -> str:
    if row[f"{name}_p"] is None:
        return "-"
    return f"{_small(row[f'{name}_p'])} ({_small(row[f'{name}_p_holm'])})"


def _small(p: object) -> str:
    return "<.0001" if isinstance(p, float) and p < 0.0001 else f"{p:.2g}"


def _overlap(row: Row) -> str:
    if row["common"] is None:
        return "-"
    chance = f"{row['common_by_chance']:,.0f}, {row['chance_low']:,} to {row['chance_high']:,}"
    return f"{row['common']:,} of {row['kept']:,} ({chance})"


def _pairs(row: Row) -> str:
    return f"{_estimate(row, 'pairs_right')} of {row['pairs']:,}" if row["pairs"] else "-"


def _plain(text: str) -> str:
    """A name from data, of which Markdown makes nothing."""
    return MARKUP.sub(r"\\\g<0>", shown(text, 120))
