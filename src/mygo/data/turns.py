"""One turn of a conversation, in any spelling, and what every format says of a conversation beside its turns.

A turn holds a role, a text and calls of tools. What has more to say, such as a picture, rejects its row by name:
nothing is left out in silence. Names, ids and times of a turn are no content.
"""

from collections.abc import Mapping
from typing import Any

from mygo.data.records import Message, RowError, wrong_type
from mygo.data.tool_calls import CALLS, calls_beside, understood
from mygo.data.values import holds_something, only_of, refuse_contents
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
TURN_CONTENTS = (
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


def read_turns(turns: Any, key: str) -> list[Message]:
    """A list of turns; a system turn without text is left out, any other without text or a call makes the row a bad
    one.
    """
    if not isinstance(turns, list):
        raise wrong_type(key, turns, "a list")
    messages = [_turn(turn) for turn in turns]
    messages = [message for message in messages if message["role"] != "system" or message["content"].strip()]
    if not any(message["role"] == "assistant" for message in messages):
        raise RowError("no assistant turn")
    if not all(message["content"].strip() or message.get("tool_calls") for message in messages):
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
    if not isinstance(name, str) or name.lower() not in (*ROLES, *CALLS):
        raise RowError(f"unknown role '{shown(name, 40)}'")
    role = ROLES.get(name.lower(), "assistant")  # who else would call a tool
    refuse_contents(turn, TURN_CONTENTS, "a turn")
    if role == "assistant" and (turn.get("weight") not in (None, 1) or turn.get("train") is False):
        raise RowError("a turn of the assistant has a weight other than 1, which a role and a text cannot hold")
    content, calls = only_of(turn, "content", "value"), calls_beside(turn)
    if name.lower() in CALLS:
        if calls:
            raise RowError(f"a turn of {shown(name)} has calls beside its content")
        return {"role": role, "content": "", "tool_calls": understood(content, f"the content of a {shown(name)}")}
    if not calls:
        return {"role": role, "content": _content(content)}
    if role != "assistant":
        raise RowError(f"a turn of the {role} has tool calls, which only the assistant makes")
    return {"role": role, "content": "" if content is None else _content(content), "tool_calls": calls}


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
