"""Conversations to token ids, with a mask of the tokens that count; masks come from character offsets.

T tokens of a sample.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mygo.data.chat.plain import Turn
from mygo.data.chat.rendering import AnyMessage, Refused, Rendered, Tokenizer, render
from mygo.data.chat.special_tokens import OWN, SpecialTokens
from mygo.data.records import Message
from mygo.errors import UserError, shown
from mygo.params.choices import Predict

__all__ = ["Encoded", "Encoder", "Message"]


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
    end_tokens: int = 0  # how many were taken off the ends of its answers

    @classmethod
    def refused(cls, reason: str) -> "Encoded":
        nothing = np.zeros(0, dtype=bool)
        return cls(np.zeros(0, dtype=np.int32), nothing, nothing, False, reason)


@dataclass(frozen=True)
class Encoder:
    """Encodes conversations with the tokenizer's chat template, or `<|user|>\\n...\\n<|assistant|>\\n...` where it has
    none.

    `predict="full"` counts every token, `"assistant"` the assistant's turns with the token that ends them;
    `mask_role_markers` leaves everything outside the turns out. Longer samples are cut at `max_length` tokens. The ids
    are those of `apply_chat_template`, except where a content spells a special token: that stays the text it is. An end
    token at the very end of an answer is the data's, not the answer's: it is taken off.
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

    def encode(self, conversations: Sequence[Sequence[AnyMessage]]) -> list[Encoded]:
        """One `Encoded` per conversation, in order. A conversation that cannot be encoded is `rejected` and stops none
        of the others.
        """
        rows = [self._render(messages) for messages in conversations]
        tokens = self._tokenize([row.rendered.text for row in rows if isinstance(row, _Row)])
        return [row if isinstance(row, Encoded) else self._encoded(row, *next(tokens)) for row in rows]

    @cached_property
    def _special(self) -> SpecialTokens:
        return SpecialTokens.of(self.tokenizer)

    @property
    def _adds_special_tokens(self) -> bool:
        """A template writes the special tokens itself; the plain format leaves them to the tokenizer."""
        return self.tokenizer.chat_template is None

    def _render(self, messages: Sequence[AnyMessage]) -> "_Row | Encoded":
        bare, taken = [], 0
        try:
            for message in messages:
                message, count = self._without_end_tokens(message)
                bare.append(message)
                taken += count
            return _Row(bare, render(self.tokenizer, bare, self._special), taken)
        except Refused as refusal:
            return Encoded.refused(str(refusal))

    def _without_end_tokens(self, message: AnyMessage) -> tuple[AnyMessage, int]:
        """A message, an answer's without the end tokens at its end, and how many there were. Raises `Refused` if an
        answer is nothing else: it would be trained on and graded as an empty one.
        """
        if message.get("role") != "assistant" or not isinstance(message.get("content"), str):
            return message, 0
        content, count = self._special.without_end_tokens(message["content"])
        if not count:
            return message, 0
        if not content.strip() and not message.get("tool_calls"):
            raise Refused("an answer holds nothing but an end token")
        return {**message, "content": content}, count

    def _tokenize(self, texts: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Ids [T] and character offsets [T, 2] of each text."""
        if not texts:
            return
        batch = self.tokenizer(texts, add_special_tokens=self._adds_special_tokens, return_offsets_mapping=True)
        for ids, offsets in zip(batch["input_ids"], batch["offset_mapping"], strict=True):
            yield np.array(ids, dtype=np.int32), np.array(offsets, dtype=np.int64).reshape(len(ids), 2)

    def _encoded(self, row: "_Row", ids_T: np.ndarray, offsets_T2: np.ndarray) -> Encoded:
        if self._special_in_content(row, ids_T, offsets_T2):
            try:
                ids_T, offsets_T2 = self._content_as_text(row)
            except Refused as refusal:
                return Encoded.refused(str(refusal))
        if not len(ids_T):
            return Encoded.refused("it has no tokens")
        return self._mask(row, ids_T, offsets_T2)

    def _mask(self, row: "_Row", ids_T: np.ndarray, offsets_T2: np.ndarray) -> Encoded:
        turn_T = np.zeros(len(ids_T), dtype=bool)
        answer_T = np.zeros(len(ids_T), dtype=bool)
        for turn in row.rendered.turns:
            marker_T = self._special.is_added[ids_T] & (offsets_T2[:, 0] < turn.start)  # it may swallow a space
            content_T = _inside(offsets_T2, turn.start, turn.end) & ~marker_T
            inside_T = content_T | _starts_in(offsets_T2, turn.end, turn.stop)
            turn_T |= inside_T
            if turn.role == "assistant":
                answer_T |= inside_T
        full_T = turn_T if self.mask_role_markers else np.ones(len(ids_T), dtype=bool)
        predicted_T = answer_T if self.predict == "assistant" else full_T
        predicted_T[:1] = answer_T[:1] = False
        kept = slice(0, self.max_length)
        cut = max(0, len(ids_T) - self.max_length)
        return Encoded(
            ids_T[kept],
            predicted_T[kept],
            answer_T[kept],
            cut > 0,
            cut=cut,
            end_tokens=row.end_tokens,
        )

    def _special_in_content(self, row: "_Row", ids_T: np.ndarray, offsets_T2: np.ndarray) -> bool:
        special_S2 = offsets_T2[self._special.is_special[ids_T]]
        return any(_inside(special_S2, turn.start, turn.end).any() for turn in row.rendered.turns)

    def _content_as_text(self, row: "_Row") -> tuple[np.ndarray, np.ndarray]:
        """Ids and offsets with the template's special tokens alone. Raises `Refused` where the tokenizer cannot write a
        special token as text.
        """
        text = row.rendered.text
        encoding = (
            None
            if OWN in text
            else self._special.encode_with_own(text, self._own(row), add_special_tokens=self._adds_special_tokens)
        )
        if encoding is None:
            raise Refused("a turn spells a special token, and the tokenizer offers no way to write it as text")
        return encoding

    def _own(self, row: "_Row") -> list[int]:
        """Where the template wrote a special token: between the contents, and in the tool calls that spell none."""
        text, own, position = row.rendered.text, [], 0
        for turn, message in sorted(zip(row.rendered.turns, row.messages, strict=True), key=lambda pair: pair[0].start):
            own += [found.start() for found in self._special.spelled.finditer(text, position, turn.start)]
            own += self._own_in(text, turn, message)
            position = turn.end
        return own + [found.start() for found in self._special.spelled.finditer(text, position)]

    def _own_in(self, text: str, turn: Turn, message: AnyMessage) -> list[int]:
        """Those inside a turn. All are the content's, unless the template wrote more than the content: then those that
        the message spells nowhere are the template's. Raises `Refused` where both wrote the same.
        """
        found = list(self._special.spelled.finditer(text, turn.start, turn.end))
        if not found or text[turn.start : turn.end] in (message.get("content") or ""):
            return []
        written = Counter(match[0] for match in found)
        spelled = Counter(token for string in _strings(message) for token in self._special.spelled.findall(string))
        for token in written:
            if spelled[token] not in (0, written[token]):
                raise Refused(f"a tool call spells {shown(token)}, which the chat template writes there too")
        return [match.start() for match in found if not spelled[match[0]]]


class _Row(NamedTuple):
    """A conversation on its way: its messages without end tokens, their text, and how many were taken off."""

    messages: Sequence[AnyMessage]
    rendered: Rendered
    end_tokens: int


def _inside(offsets_T2: np.ndarray, start: int, end: int) -> np.ndarray:
    """Tokens of which a part stands in `[start, end)`; the first may begin with the space before it."""
    return (offsets_T2[:, 0] < end) & (offsets_T2[:, 1] > start) & (start < end)


def _starts_in(offsets_T2: np.ndarray, start: int, end: int) -> np.ndarray:
    return (offsets_T2[:, 0] >= start) & (offsets_T2[:, 0] < end)


def _strings(value: Any) -> Iterator[str]:
    """All texts in a message, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
