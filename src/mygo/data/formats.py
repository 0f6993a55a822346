"""Row formats: each turns one row of a source into messages, or says in a `RowError` why it cannot."""

from collections.abc import Callable
from typing import Any

from mygo.data.records import Message

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "model": "assistant",
    "bot": "assistant",
}


class RowError(Exception):
    """Why a row is rejected; it becomes the `reason` in `rejected.parquet` and never stops a run."""


def from_messages(row: dict[str, Any]) -> list[Message]:
    """`messages` of `role` and `content`: LESS, open-instruct, OpenAI."""
    return _turns(row, "messages")


def from_sharegpt(row: dict[str, Any]) -> list[Message]:
    """`conversations` of `from` and `value`, with ShareGPT's role names."""
    return _turns(row, "conversations")


def from_alpaca(row: dict[str, Any]) -> list[Message]:
    """`instruction`, optional `input` and `output`; Dolly calls the last two `context` and `response`.

    The input follows the instruction after an empty line, as in open-instruct, which wrote LESS's data.
    """
    instruction = _text(row, "instruction")
    extra = _first_of(row, "input", "context")
    if not isinstance(extra, str | None):
        raise _wrong_type("input", extra, "text")
    prompt = f"{instruction}\n\n{extra}" if extra and extra.strip() else instruction
    return _exchange(prompt, _text({"output": _first_of(row, "output", "response")}, "output"))


def from_prompt_completion(row: dict[str, Any]) -> list[Message]:
    """`prompt` and `completion`, both as they stand."""
    return _exchange(_text(row, "prompt"), _text(row, "completion"))


def from_text(row: dict[str, Any]) -> list[Message]:
    """Plain `text`, which becomes one turn of the assistant."""
    return [{"role": "assistant", "content": _text(row, "text")}]


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


def detect_format(row: dict[str, Any]) -> str:
    """The name of the format that the row's columns fit. Raises `RowError` if there is none."""
    for name, signature in SIGNATURES:
        if signature <= row.keys():
            return name
    raise RowError(f"its columns ({', '.join(row) or 'none'}) fit none of the formats {', '.join(FORMATS)}")


def row_id(row: dict[str, Any]) -> str | None:
    """The row's own `id` as text, if it is a string or a whole number."""
    value = row.get("id")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def label_text(value: Any) -> str | None:
    """A quality label as text: true, false, a number as Python writes it. Raises `RowError` for anything nested."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise _wrong_type("the label", value, "text, a number, true or false")


def _turns(row: dict[str, Any], key: str) -> list[Message]:
    """A list of turns in either spelling; a system turn without text is left out, any other makes the row a bad one."""
    turns = row.get(key)
    if not isinstance(turns, list):
        raise _wrong_type(key, turns, "a list")
    messages = [_turn(turn) for turn in turns]
    messages = [message for message in messages if message["role"] != "system" or message["content"].strip()]
    if not any(message["role"] == "assistant" for message in messages):
        raise RowError("no assistant turn")
    if not all(message["content"].strip() for message in messages):
        raise RowError("a turn has no text")
    return messages


def _turn(turn: Any) -> Message:
    if not isinstance(turn, dict):
        raise _wrong_type("a turn", turn, "an object")
    role, content = _first_of(turn, "role", "from"), _first_of(turn, "content", "value")
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise RowError(f"unknown role {str(role)[:40]!r}")
    if not isinstance(content, str):
        raise _wrong_type("a turn's content", content, "text")
    return {"role": ROLES[role.lower()], "content": content}


def _exchange(prompt: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def _first_of(row: dict[str, Any], *keys: str) -> Any:
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _text(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise _wrong_type(key, value, "text")
    if not value.strip():
        raise RowError(f"{key} has no text")
    return value


def _wrong_type(what: str, value: Any, wanted: str) -> RowError:
    return RowError(
        f"{what} is missing" if value is None else f"{what} is of type {type(value).__name__}, not {wanted}"
    )
