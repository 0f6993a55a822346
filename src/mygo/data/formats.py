"""Row formats: each turns one row of a source into messages, or says in a `RowError` why it cannot."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mygo.data.records import Message, RowError, wrong_type
from mygo.data.turns import ROW_CONTENTS, SYSTEM, read_turns, with_system
from mygo.data.values import holds_something, only_of
from mygo.errors import listed, shown


def from_messages(row: dict[str, Any]) -> list[Message]:
    """`messages` of `role` and `content`: LESS, open-instruct, OpenAI."""
    return with_system(row, read_turns(row.get("messages"), "messages"))


def from_sharegpt(row: dict[str, Any]) -> list[Message]:
    """`conversations` of `from` and `value`, with ShareGPT's role names, and an optional `system` beside them."""
    return with_system(row, read_turns(row.get("conversations"), "conversations"))


def from_alpaca(row: dict[str, Any]) -> list[Message]:
    """`instruction`, optional `input` and `output`; Dolly calls the last two `context` and `response`. LLaMA-Factory
    adds `system` and `history`, a list of earlier instructions with their responses.

    The input follows the instruction after an empty line, as in open-instruct, which wrote LESS's data.
    """
    instruction = _text(row, "instruction")
    answer = _text({"output": only_of(row, "output", "response")}, "output")
    return _exchange(row, _with_input(instruction, row), answer)


def from_prompt_completion(row: dict[str, Any]) -> list[Message]:
    """`prompt` and `completion`, both as they stand; an `input` or `context` follows the prompt as in Alpaca's rows."""
    return _exchange(row, _with_input(_text(row, "prompt"), row), _text(row, "completion"))


def from_text(row: dict[str, Any]) -> list[Message]:
    """Plain `text`, which becomes one turn of the assistant."""
    return with_system(row, [{"role": "assistant", "content": _text(row, "text")}])


FORMATS: dict[str, Callable[[dict[str, Any]], list[Message]]] = {
    "messages": from_messages,
    "sharegpt": from_sharegpt,
    "alpaca": from_alpaca,
    "prompt_completion": from_prompt_completion,
    "text": from_text,
}
# The columns that give a format away; where several fit, the first.
SIGNATURES = (
    ("messages", {"messages"}),
    ("sharegpt", {"conversations"}),
    ("alpaca", {"instruction", "output"}),
    ("alpaca", {"instruction", "response"}),
    ("prompt_completion", {"prompt", "completion"}),
    ("text", {"text"}),
)
# The columns that rows are read for; a file may have others.
SHARED_COLUMNS = {"id", *SYSTEM, *ROW_CONTENTS}
COLUMNS = {
    "messages": {"messages"},
    "sharegpt": {"conversations"},
    "alpaca": {"instruction", "input", "context", "output", "response", "history"},
    "prompt_completion": {"prompt", "completion", "input", "context", "history"},
    "text": {"text"},
}


def columns_of(row_format: str, label_columns: Iterable[str]) -> frozenset[str]:
    """The columns that a format of `FORMATS`, or `auto`, reads of a row, its id and its labels with them."""
    own = COLUMNS[row_format] if row_format in COLUMNS else set().union(*COLUMNS.values())
    return frozenset(own | SHARED_COLUMNS | set(label_columns))


def detect_format(row: dict[str, Any]) -> str:
    """The name of the format that the row's columns fit, those that hold a value before those that are only there.

    Raises `RowError` if there is none.
    """
    found = _fitting(_held(row)) or _fitting(row)
    if found is None:
        raise _fits_none(row)
    return found


def read_row(row: dict[str, Any], file_format: str) -> list[Message]:
    """The messages of a row of a file with this format; a row that has nothing of it is read by its own.

    Raises `RowError`.
    """
    try:
        return FORMATS[file_format](row)
    except RowError:
        held = _held(row)
        own = _fitting(held)
        if row.keys().isdisjoint(COLUMNS[file_format]) and _fitting(row) is None:
            raise _fits_none(row) from None
        if own is None or held & COLUMNS[file_format]:
            raise
        return FORMATS[own](row)


def row_id(row: dict[str, Any]) -> str | None:
    """The row's own `id` as text, if it is a string or a whole number."""
    value = row.get("id")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _held(row: dict[str, Any]) -> set[str]:
    """The columns with a value; a blank text is one, and bad, but an empty list is none."""
    return {name for name, value in row.items() if isinstance(value, str) or holds_something(value)}


def _fitting(names: Iterable[str]) -> str | None:
    there = set(names)
    return next((name for name, signature in SIGNATURES if signature <= there), None)


def _fits_none(row: Mapping[str, Any]) -> RowError:
    """Why a row has no format. Files that wrap their rows in one object are common enough to be called by name."""
    for name, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and _fitting(value[0]):
            return RowError(f"it is one object that holds a list under '{shown(name, 40)}'; takes the list itself")
    return RowError(f"its columns ({listed(row)}) fit none of the formats {', '.join(FORMATS)}")


def _with_input(instruction: str, row: Mapping[str, Any]) -> str:
    extra = only_of(row, "input", "context")
    if not isinstance(extra, str | None):
        raise wrong_type("input", extra, "text")
    return f"{instruction}\n\n{extra}" if extra and extra.strip() else instruction


def _exchange(row: dict[str, Any], prompt: str, answer: str) -> list[Message]:
    return with_system(row, [*_history(row.get("history")), *_pair(prompt, answer)])


def _history(history: Any) -> list[Message]:
    if not holds_something(history):
        return []
    if not isinstance(history, list):
        raise wrong_type("history", history, "a list of pairs")
    for pair in history:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise RowError("history is not a list of pairs of text, an instruction and its response")
        if not all(text.strip() for text in pair):
            raise RowError("a turn of the history has no text")
    return [turn for prompt, answer in history for turn in _pair(prompt, answer)]


def _pair(prompt: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def _text(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise wrong_type(key, value, "text")
    if not value.strip():
        raise RowError(f"{key} has no text")
    return value
