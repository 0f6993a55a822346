"""One turn of a conversation, in any spelling, and what every format says of a conversation beside its turns.

The record of a turn holds a role and a text. What has more to say, such as a call of a tool, rejects its row by name:
nothing is left out in silence. Names, ids and times of a turn are no content.
"""

from collections.abc import Mapping
from typing import Any

from mygo.data.records import Message, RowError, Unreadable, wrong_type
from mygo.errors import shown

ROLES = {
    "system": "system",
    "developer": "system",  # what OpenAI's newer models call it
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
    "tool": "tool",  # the answer of a tool, whatever its name; a template that has no such turn rejects it
    "observation": "tool",
    "function": "tool",
}
CALLS = ("function_call", "tool_call", "tool_calls")  # as a role or as a key: what only a structure of its own can hold
TURN_CONTENTS = (
    *CALLS,
    "refusal",
    "reasoning_content",
    "reasoning",
    "thinking",
    "audio",
    "image",
    "image_url",
    "images",
    "video",
    "videos",
    "file",
    "files",
    "attachments",
)
ROW_CONTENTS = ("tools", "functions", "image", "images", "audio", "audios", "video", "videos")
SYSTEM = ("system", "system_prompt")
EMPTY_TEXTS = ("", "[]", "{}", "null")


def read_turns(turns: Any, key: str) -> list[Message]:
    """A list of turns; a system turn without text is left out, any other without text makes the row a bad one."""
    if not isinstance(turns, list):
        raise wrong_type(key, turns, "a list")
    messages = [_turn(turn) for turn in turns]
    messages = [message for message in messages if message["role"] != "system" or message["content"].strip()]
    if not any(message["role"] == "assistant" for message in messages):
        raise RowError("no assistant turn")
    if not all(message["content"].strip() for message in messages):
        raise RowError("a turn has no text")
    return messages


def with_system(row: Mapping[str, Any], messages: list[Message]) -> list[Message]:
    """The conversation with the row's own `system` (or `system_prompt`) as its first turn.

    Raises `RowError` for a row that carries more than turns can hold, such as descriptions of tools.
    """
    refuse_contents(row, ROW_CONTENTS, "the row")
    system = only_of(row, *SYSTEM)
    if not holds_something(system):
        return messages
    if not isinstance(system, str):
        raise wrong_type("system", system, "text")
    if messages[0]["role"] != "system":
        return [{"role": "system", "content": system}, *messages]
    if messages[0]["content"].strip() != system.strip():
        raise RowError("it has a system text and a system turn that differ")
    return messages


def _turn(turn: Any) -> Message:
    if not isinstance(turn, dict):
        raise wrong_type("a turn", turn, "an object")
    name = turn.get("role") if turn.get("role") is not None else turn.get("from")
    if isinstance(name, str) and name.lower() in CALLS:
        raise RowError(f"it has a turn of {shown(name)}, which a role and a text cannot hold")
    if not isinstance(name, str) or name.lower() not in ROLES:
        raise RowError(f"unknown role '{shown(name, 40)}'")
    role = ROLES[name.lower()]
    refuse_contents(turn, TURN_CONTENTS, "a turn")
    if role == "assistant" and (turn.get("weight") not in (None, 1) or turn.get("train") is False):
        raise RowError("a turn of the assistant has a weight other than 1, which a role and a text cannot hold")
    return {"role": role, "content": _content(only_of(turn, "content", "value"))}


def _content(content: Any) -> str:
    """Text, or a list of parts that are all text, joined as they stand."""
    if isinstance(content, list):
        return "".join(_part(part) for part in content)
    if not isinstance(content, str):
        raise wrong_type("a turn's content", content, "text")
    return content


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise wrong_type("a part of a turn's content", part, "text")
    kind, text = part.get("type"), part.get("text")
    if kind not in (None, "text", "input_text", "output_text") or not isinstance(text, str):
        raise RowError(f"a turn's content has a part of type '{shown(kind, 40)}', which is not text")
    return text


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
