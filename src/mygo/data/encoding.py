"""Conversations to token ids, with a mask of the tokens that count; masks come from character offsets.

T tokens of a sample.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np

from mygo.data.chat import Span, Turns, render_plain
from mygo.data.records import Message
from mygo.errors import UserError
from mygo.params.choices import Predict

OPEN, CLOSE = "\ue000", "\ue001"  # private-use characters that mark where a template puts a turn's content


class Tokenizer(Protocol):
    """The part of a fast Hugging Face tokenizer that is used here."""

    chat_template: Any
    all_special_ids: Any

    def __call__(self, text: Any, **kwargs: Any) -> Any: ...
    def __getattr__(self, key: str) -> Any: ...  # eos_token, is_fast
    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any: ...


@dataclass(frozen=True)
class Encoded:
    """One sample. `predicted` marks the tokens a loss counts, `answer` those of the assistant's turns; neither marks
    token 0.
    """

    input_ids: np.ndarray  # int32 [T]
    predicted: np.ndarray  # bool [T]
    answer: np.ndarray  # bool [T]
    truncated: bool
    rejected: str | None = None  # why the conversation cannot be encoded; then the arrays are empty
    cut: int = 0  # tokens beyond the maximum length


@dataclass(frozen=True)
class Encoder:
    """Encodes conversations with the tokenizer's chat template, or `<|user|>\\n...\\n<|assistant|>\\n...` where it has
    none.

    `predict="full"` counts every token, `"assistant"` the assistant's turns with the token that ends them;
    `mask_role_markers` leaves everything outside the turns' contents out. Longer samples are cut at `max_length`
    tokens.
    """

    tokenizer: Tokenizer
    max_length: int
    predict: Predict = "full"
    mask_role_markers: bool = False

    def __post_init__(self) -> None:
        if not self.tokenizer.is_fast:
            raise UserError(
                f"{type(self.tokenizer).__name__} has no fast version, and masks need its character offsets; use "
                "a model with a fast tokenizer"
            )

    def encode(self, conversations: Sequence[Sequence[Message]]) -> list[Encoded]:
        """One `Encoded` per conversation, in order."""
        rendered = [render(self.tokenizer, messages) for messages in conversations]
        if not rendered:
            return []
        # A template writes the special tokens itself; the plain format leaves them to the tokenizer.
        batch = self.tokenizer(
            [text for text, _ in rendered],
            add_special_tokens=self.tokenizer.chat_template is None,
            return_offsets_mapping=True,
        )
        special = np.array(sorted(self.tokenizer.all_special_ids))
        return [
            self._mask(np.array(ids, dtype=np.int32), np.array(offsets, dtype=np.int64).reshape(-1, 2), turns, special)
            for ids, offsets, (_, turns) in zip(batch["input_ids"], batch["offset_mapping"], rendered, strict=True)
        ]

    def _mask(self, ids_T: np.ndarray, offsets_T2: np.ndarray, turns: Turns, special: np.ndarray) -> Encoded:
        is_special_T = np.isin(ids_T, special)
        content_T = np.zeros(len(ids_T), dtype=bool)
        answer_T = np.zeros(len(ids_T), dtype=bool)
        for role, span in turns:
            inside_T = _tokens_in(offsets_T2, is_special_T, span)
            content_T |= inside_T
            if role == "assistant":
                answer_T |= inside_T
        full_T = content_T if self.mask_role_markers else np.ones(len(ids_T), dtype=bool)
        predicted_T = answer_T if self.predict == "assistant" else full_T
        kept = slice(0, self.max_length)
        not_first_T = np.arange(len(ids_T)) > 0
        cut = max(0, len(ids_T) - self.max_length)
        return Encoded(ids_T[kept], (predicted_T & not_first_T)[kept], (answer_T & not_first_T)[kept], cut > 0, cut=cut)


def _tokens_in(offsets_T2: np.ndarray, is_special_T: np.ndarray, span: Span) -> np.ndarray:
    """Tokens that start inside the span, and the special token right behind it that ends the turn."""
    start_T, end_T = offsets_T2[:, 0], offsets_T2[:, 1]
    return (start_T >= span[0]) & (end_T > start_T) & ((start_T < span[1]) | ((start_T == span[1]) & is_special_T))


def render(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[str, Turns]:
    """The text of a conversation and where each turn's content stands in it, as (role, span)."""
    return (
        render_plain(messages, tokenizer.eos_token or "")
        if tokenizer.chat_template is None
        else _render_template(tokenizer, messages)
    )


def _render_template(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[str, Turns]:
    """Render twice, with and without marks around the contents; the marks' places are the spans.

    A template that trims contents gets them trimmed beforehand, so that both renderings agree; one that rewrites them
    is refused.
    """
    trimmed = [{**message, "content": message["content"].strip()} for message in messages]
    for turns in (messages, trimmed):
        text = tokenizer.apply_chat_template(list(turns), tokenize=False)
        marked = tokenizer.apply_chat_template(
            [{**turn, "content": f"{OPEN}{turn['content']}{CLOSE}"} for turn in turns], tokenize=False
        )
        bare, spans = _take_marks(marked)
        if bare == text and len(spans) == len(turns):
            return text, [(turn["role"], span) for turn, span in zip(turns, spans, strict=True)]
    return _render_by_prefixes(tokenizer, messages)


def _take_marks(marked: str) -> tuple[str, list[Span]]:
    """The text without the marks and the spans they enclosed; no spans if the marks do not come in pairs."""
    pieces = re.split(f"([{OPEN}{CLOSE}])", marked)
    texts, marks = pieces[::2], pieces[1::2]
    ends = list(accumulate(len(text) for text in texts[:-1]))
    spans = list(zip(ends[::2], ends[1::2], strict=False)) if marks == [OPEN, CLOSE] * (len(marks) // 2) else []
    return "".join(texts), spans


def _render_by_prefixes(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[str, Turns]:
    """For templates that change contents: a turn is what it adds to the conversation before it."""
    text = tokenizer.apply_chat_template(list(messages), tokenize=False)
    turns: Turns = []
    for i, message in enumerate(messages):
        is_answer = message["role"] == "assistant"
        before = (
            tokenizer.apply_chat_template(list(messages[:i]), tokenize=False, add_generation_prompt=is_answer)
            if i
            else ""
        )
        after = tokenizer.apply_chat_template(list(messages[: i + 1]), tokenize=False)
        if not text.startswith(after) or not after.startswith(before):
            reason = (
                "rewrites earlier turns, so masks cannot be placed; remove it from the tokenizer to use the plain "
                "format"
            )
            raise UserError(f"the chat template of {type(tokenizer).__name__} {reason}")
        turns.append((message["role"], (len(before), len(after))))
    return text, turns
