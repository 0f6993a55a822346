"""The plain chat format, open-instruct's: `<|role|>\\ncontent\\n`, for tokenizers without a chat template."""

from collections.abc import Sequence

from mygo.data.records import Message

Span = tuple[int, int]  # characters, end excluded
Turns = list[tuple[str, Span]]  # role, and where the turn's content stands in the text


def plain_text(messages: Sequence[Message], eos: str = "") -> str:
    """The conversation as text, with `eos` behind every assistant's content."""
    return render_plain(messages, eos)[0]


def render_plain(messages: Sequence[Message], eos: str) -> tuple[str, Turns]:
    """The text, and where each turn's content stands in it."""
    parts: list[str] = []
    turns: Turns = []
    length = 0
    for message in messages:
        role, content = message["role"], message["content"].strip()
        marker = f"<|{role}|>\n"
        text = f"{marker}{content}{eos if role == 'assistant' else ''}\n"
        turns.append((role, (length + len(marker), length + len(marker) + len(content))))
        parts.append(text)
        length += len(text)
    return "".join(parts), turns
