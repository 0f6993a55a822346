"""The values of a row: whether there is content in one, and which of two spellings of the same holds it."""

from collections.abc import Mapping
from typing import Any

from mygo.data.records import RowError, Unreadable, wrong_type

EMPTY_TEXTS = ("", "[]", "{}", "null")


def refuse_contents(holder: Mapping[str, Any], keys: tuple[str, ...], what: str) -> None:
    """Raise `RowError` if one of the keys holds something."""
    if holder.keys().isdisjoint(keys):
        return
    for key in keys:
        value = holder.get(key)
        if isinstance(value, Unreadable):
            raise wrong_type(key, value, "empty")
        if holds_something(value):
            raise RowError(f"{what} has {key}, which a role and a text cannot hold")


def holds_something(value: Any) -> bool:
    """Whether there is content in a value: not in None, false, blank text or an empty list, however nested."""
    if isinstance(value, str):
        return value.strip() not in EMPTY_TEXTS
    if isinstance(value, dict):
        return any(map(holds_something, value.values()))
    if isinstance(value, list):
        return any(map(holds_something, value))
    return value is not None and value is not False


def only_of(row: Mapping[str, Any], *keys: str) -> Any:
    """The value of the key that is there: one that is not blank before one that is. Raises `RowError` if two of them
    say different things.
    """
    there = [key for key in keys if row.get(key) is not None]
    full = [key for key in there if not _is_blank(row[key])]
    if len(full) > 1 and any(row[key] != row[full[0]] for key in full):
        raise RowError(f"it has both {full[0]} and {full[1]}, which differ")
    return row[(full or there)[0]] if there else None


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()
