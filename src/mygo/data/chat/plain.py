"""The plain chat format, open-instruct's: `<|role|>\\ncontent\\n`, for tokenizers without a chat template."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from mygo.data.records import Message


class Turn(NamedTuple):
    """Where a turn stands in the text of a conversation, in characters: its content is `[start, end)`, and up to `stop`
    goes what ends the turn.
    """

    role: str
    start: int
    end: int
    stop: int


def plain_text(messages: Sequence[Message], eos: str = "") -> str:
    """The conversation as text, with `eos` behind every assistant's content, to which calls of tools are added as
    JSON.
    """
    return render_plain([{**message, "content": _with_calls(message)} for message in messages], eos)[0]


def _with_calls(message: Message) -> str:
    if "tool_calls" not in message:
        return message["content"]
    return f"{message['content']}\n{json.dumps(message['tool_calls'], ensure_ascii=False)}"


def render_plain(messages: Sequence[Message], eos: str) -> tuple[str, list[Turn]]:
    """The text, and where each turn stands in it."""
    parts: list[str] = []
    turns: list[Turn] = []
    length = 0
    for message in messages:
        role, content = message["role"], message["content"].strip()
        marker, ending = f"<|{role}|>\n", eos if role == "assistant" else ""
        start = length + len(marker)
        end = start + len(content)
        turns.append(Turn(role, start, end, end + len(ending)))
        parts.append(f"{marker}{content}{ending}\n")
        length += len(parts[-1])
    return "".join(parts), turns
