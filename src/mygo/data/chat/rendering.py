"""Conversations to text: what the tokenizer's chat template makes of one, and where in it each turn stands."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from mygo.data.chat.plain import Turn, render_plain
from mygo.data.chat.special_tokens import SpecialTokens
from mygo.data.records import Message
from mygo.errors import shown

# Noncharacters, which no text holds, mark where a template puts the content of turn i: OPEN i MIDDLE content CLOSE.
OPEN, MIDDLE, CLOSE = MARKS = "\ufdd0\ufdd1\ufdd2"
MARKED = re.compile(f"{OPEN}([0-9]+){MIDDLE}(.*?){CLOSE}", re.DOTALL)
NO_TOOLS = "the chat template does not render tool turns"
NO_PLACES = "so masks cannot be placed"

AnyMessage = Mapping[str, Any]  # with `tool_calls` and the like, which only templates know
Span = tuple[int, int]  # characters, end excluded


class Tokenizer(Protocol):
    """The part of a fast Hugging Face tokenizer that is used here."""

    chat_template: Any

    def __call__(self, text: Any, **kwargs: Any) -> Any: ...
    def __getattr__(self, key: str) -> Any: ...  # eos_token, is_fast, added_tokens_decoder, backend_tokenizer
    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any: ...


class Refused(Exception):
    """Why a conversation cannot be encoded; it becomes `Encoded.rejected` and never stops a run."""


class Rendered(NamedTuple):
    """The text of a conversation, and where each turn stands in it, in the order of the messages."""

    text: str
    turns: list[Turn]


def render(tokenizer: Tokenizer, messages: Sequence[AnyMessage], special: SpecialTokens) -> Rendered:
    """What `apply_chat_template` gives, or the plain format where there is no template. Raises `Refused`."""
    for message in messages:
        if not isinstance(message.get("role"), str):
            raise Refused("a turn has no role")
        if not isinstance(message.get("content"), str) and not message.get("tool_calls"):
            raise Refused("the content of a turn is not text")
    if tokenizer.chat_template is None:
        if any(_uses_tools(message) for message in messages):
            raise Refused("the plain format does not render tool turns")
        rendered = Rendered(*render_plain(cast(Sequence[Message], messages), special.eos))
    else:
        rendered = _Template(tokenizer, messages).render(special)
    try:
        rendered.text.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"it is not Unicode text: {shown(error.object[error.start])} stands alone") from None
    return rendered


def _uses_tools(message: AnyMessage) -> bool:
    return message["role"] == "tool" or bool(message.get("tool_calls"))


class _Template:
    """A chat template at work on one conversation."""

    def __init__(self, tokenizer: Tokenizer, messages: Sequence[AnyMessage]) -> None:
        self.tokenizer, self.messages = tokenizer, messages
        self.uses_tools = any(_uses_tools(message) for message in messages)

    def render(self, special: SpecialTokens) -> Rendered:
        text = self._apply(self.messages)
        if any(mark in text for mark in MARKS):
            raise Refused("it holds one of the noncharacters U+FDD0 to U+FDD2")
        spans = self._all_at_once(text) or [self._place(text, i) for i in range(len(self.messages))]
        starts = sorted(start for start, _ in spans)
        turns = []
        for message, (start, end) in zip(self.messages, spans, strict=True):
            following = next((other for other in starts if other >= end and other > start), None)
            turns.append(Turn(message["role"], start, end, special.stop(text, end, following)))
        return Rendered(text, turns)

    def _apply(self, messages: Sequence[AnyMessage], **options: Any) -> str:
        try:
            return self.tokenizer.apply_chat_template(list(messages), tokenize=False, **options)
        except Exception as error:  # a template is a program; it may fail in any way
            reason = shown(str(error))
            raise Refused(
                f"{NO_TOOLS} ({reason})" if self.uses_tools else f"the chat template refuses it: {reason}"
            ) from None

    def _apply_part(self, messages: Sequence[AnyMessage], **options: Any) -> str:
        """What becomes of messages that are not quite those of a conversation which the template has taken."""
        try:
            return self._apply(messages, **options)
        except Refused:
            raise Refused(f"the chat template takes the conversation but no mark in it, {NO_PLACES}") from None

    def _all_at_once(self, text: str) -> list[Span] | None:
        """The spans of the contents from one more rendering, with marks around all of them; None if the template does
        not write the contents as they are.

        A template that trims contents gets them trimmed beforehand, so that both renderings agree. One that checks
        contents may refuse the marks.
        """
        if any(message.get("tool_calls") for message in self.messages):
            return None
        contents = [message["content"] for message in self.messages]
        for candidates in (contents, [content.strip() for content in contents]):
            marked_messages = [
                {**message, "content": f"{OPEN}{i}{MIDDLE}{content}{CLOSE}"}
                for i, (message, content) in enumerate(zip(self.messages, candidates, strict=True))
            ]
            try:
                marked = self._apply(marked_messages)
            except Refused:
                return None
            bare, spans = _take_marks(marked)
            if bare == text and sorted(i for i, _ in spans) == list(range(len(contents))):
                return [span for _, span in sorted(spans)]
        return None

    def _place(self, text: str, i: int) -> Span:
        """For templates that rewrite contents or write tool calls: what the text has where, with a mark as the content
        of turn i, it has the mark.

        Where the template writes more before an answer that is only a mark (an empty thought), the answer begins where
        the prompt for it ends.
        """
        message = self.messages[i]
        stand_in = {key: value for key, value in message.items() if key != "tool_calls"} | {"content": OPEN}
        marked = self._apply_part([*self.messages[:i], stand_in, *self.messages[i + 1 :]])
        before, mark, behind = marked.partition(OPEN)
        if not mark:
            dropped = "tool" if _uses_tools(message) else shown(message["role"])
            raise Refused(f"the chat template does not render {dropped} turns")
        if not text.startswith(before) and i and message["role"] == "assistant":
            before = self._apply_part(self.messages[:i], add_generation_prompt=True)
        start, end = len(before), len(text) - len(behind)
        if OPEN in behind or not text.startswith(before) or not text.endswith(behind) or end < start:
            raise Refused(f"the chat template rewrites turns, {NO_PLACES}")
        if message.get("tool_calls") and text[start:end].strip() in (message.get("content") or ""):
            raise Refused(NO_TOOLS)
        return start, end


def _take_marks(marked: str) -> tuple[str, list[tuple[int, Span]]]:
    """The text without the marks, and what they enclosed as (number, span)."""
    parts: list[str] = []
    spans: list[tuple[int, Span]] = []
    position = length = 0
    for found in MARKED.finditer(marked):
        start = length + found.start() - position
        spans.append((int(found[1]), (start, start + len(found[2]))))
        parts += [marked[position : found.start()], found[2]]
        position, length = found.end(), start + len(found[2])
    return "".join([*parts, marked[position:]]), spans
