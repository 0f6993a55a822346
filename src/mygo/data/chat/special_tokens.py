"""A tokenizer's special tokens: which they are, how they are spelled, and a second tokenizer that finds only those that
a chat template wrote.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from tokenizers import Tokenizer

OWN = "\ufdd3"  # stands before the special tokens that a template wrote; a noncharacter, so no text holds it
# What data sets leave at the end of an answer, whatever tokenizer reads it: the end tokens of the usual models.
END_TOKENS = (
    *("</s>", "<|endoftext|>", "<|im_end|>", "<|end|>", "<|eot_id|>"),
    *("<|end_of_text|>", "<end_of_turn>", "<eos>"),
)
STRUCK_THROUGH = re.compile(r"<s(?:\s[^<>]*)?>|</s>")


@dataclass(frozen=True)
class SpecialTokens:
    """Special is what the tokenizer says is: `special` in its added tokens (`added_tokens_decoder`) or named by it
    (`eos_token` and the like). Other added tokens are text like any other.
    """

    backend: Tokenizer
    spelling: dict[int, str]  # id -> how it is spelled, of the special ones
    eos: str
    added: dict[int, str]  # the same of every added token that is not blank

    @classmethod
    def of(cls, tokenizer: Any) -> "SpecialTokens":
        """Those of a fast Hugging Face tokenizer."""
        added = tokenizer.added_tokens_decoder
        named = set(tokenizer.all_special_ids)
        spelling = {i: token.content for i, token in added.items() if token.special or i in named}
        visible = {i: token.content for i, token in added.items() if token.content.strip()}
        return cls(tokenizer.backend_tokenizer, spelling, tokenizer.eos_token or "", visible)

    @cached_property
    def spelled(self) -> re.Pattern[str]:
        """Matches a special token in a text."""
        return _any_of(self.spelling.values())

    @cached_property
    def is_special(self) -> np.ndarray:
        """bool [vocabulary]"""
        return self._table(self.spelling)

    @cached_property
    def is_added(self) -> np.ndarray:
        """bool [vocabulary]"""
        return self._table(self.added)

    def _table(self, ids: Iterable[int]) -> np.ndarray:
        table = np.zeros(1 + max(self.backend.get_vocab().values()), dtype=bool)
        table[list(ids)] = True
        return table

    @cached_property
    def _ends_a_turn(self) -> re.Pattern[str]:
        return re.compile(rf"(\s*)({_any_of(self.added.values()).pattern})")

    def stop(self, text: str, end: int, following: int | None) -> int:
        """Where a turn whose content ends at `end` is over: behind the added token that the template wrote there, if
        at most white space lies between. `following` is where the next content starts, None if there is none.

        A token behind white space that is the only one before the next content opens the next turn and ends none,
        unless it is the end-of-sequence token.
        """
        limit = len(text) if following is None else following
        found = self._ends_a_turn.match(text, end, limit)
        if found is None:
            return end
        gap, token = found.groups()
        opens_the_next = gap and token != self.eos and following is not None
        if opens_the_next and self._ends_a_turn.search(text, found.end(), limit) is None:
            return end
        return found.end()

    def without_end_tokens(self, content: str) -> tuple[str, int]:
        """An answer without the end tokens at its very end, and how many there were. A `</s>` that closes an `<s>` of
        the answer strikes text through and ends nothing.
        """
        count = 0
        while (bare := content.rstrip()).endswith(self._ends):
            end = max((end for end in self._ends if bare.endswith(end)), key=len)
            if end == "</s>" and _closes_at_its_end(bare):
                break
            content = bare.removesuffix(end)
            count += 1
        return content, count

    @cached_property
    def _ends(self) -> tuple[str, ...]:
        return (*END_TOKENS, self.eos) if self.eos else END_TOKENS

    def encode_with_own(
        self, text: str, own: Sequence[int], *, add_special_tokens: bool
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Ids [T] and character offsets [T, 2] of a text in which the special tokens that start at `own` (in order)
        are tokens and all others are the text they are. None if the tokenizer makes a special token of plain text all
        the same.
        """
        tokenizer, ids_of, respelled = self._respelled
        edges = [0, *own, len(text)]
        encoding = tokenizer.encode(
            OWN.join(text[start:end] for start, end in pairwise(edges)), add_special_tokens=add_special_tokens
        )
        raw_T = np.array(encoding.ids, dtype=np.int64)
        offsets_T2 = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        around_T = np.array(encoding.special_tokens_mask, dtype=bool)  # put around the text, with ids of the original
        ids_T = np.where(around_T, raw_T, ids_of[raw_T])
        own_T = np.isin(raw_T, respelled) & ~around_T
        marks_M = np.array([start + i for i, start in enumerate(own)], dtype=np.int64)
        found_M = np.searchsorted(offsets_T2[own_T, 1], marks_M, side="right") < np.searchsorted(
            offsets_T2[own_T, 0], marks_M, side="right"
        )
        if not found_M.all():  # a normalizer hides some from the tokenizer, here as everywhere
            visible = [start for start, found in zip(own, found_M, strict=True) if found]
            return self.encode_with_own(text, visible, add_special_tokens=add_special_tokens)
        if (self.is_special[ids_T] & ~own_T & ~around_T).any():
            return None
        return ids_T.astype(np.int32), offsets_T2 - np.searchsorted(marks_M, offsets_T2)

    @cached_property
    def _respelled(self) -> tuple[Tokenizer, np.ndarray, np.ndarray]:
        """A copy of the tokenizer whose special tokens are spelled with `OWN` in front, its ids as ids of the original
        [vocabulary], and the ids that these tokens have in the copy.

        A copy, since the original may be encoding in another thread.
        """
        state = json.loads(self.backend.to_str())
        for token in state["added_tokens"]:
            if token["id"] in self.spelling:
                token["content"] = OWN + token["content"]
        if "merges" in state["model"]:  # text must not be merged into a special token either
            spelled = set(self.spelling.values())
            state["model"]["merges"] = [pair for pair in state["model"]["merges"] if "".join(pair) not in spelled]
        copy = Tokenizer.from_str(json.dumps(state))
        copy.no_truncation()
        copy.no_padding()
        ids_of = np.arange(1 + max(*copy.get_vocab().values(), *self.backend.get_vocab().values()))
        for token in state["added_tokens"]:
            ids_of[copy.token_to_id(token["content"])] = token["id"]
        respelled = [copy.token_to_id(OWN + spelling) for spelling in self.spelling.values()]
        return copy, ids_of, np.array(respelled)


def _closes_at_its_end(text: str) -> bool:
    """Whether the `</s>` at the end of the text closes an `<s>`."""
    open_tags, closes = 0, False
    for tag in STRUCK_THROUGH.finditer(text):
        closes = tag[0] == "</s>" and open_tags > 0
        open_tags = open_tags + 1 if tag[0] != "</s>" else max(0, open_tags - 1)
    return closes


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the texts, the longest that fits; nothing if there is none."""
    return re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)) or "(?!)")
