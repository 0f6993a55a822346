"""Conversations as a map-style dataset of token ids and labels, and the collator that pads them."""

import sys
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from mygo.data.encoding import Encoded, Encoder
from mygo.errors import UserError
from mygo.params import TrainingParams

IGNORED = -100  # the label that cross-entropy leaves out
BATCH = 1000


class ConversationDataset(Dataset[dict[str, torch.Tensor]]):
    """Encoded conversations in memory. Left out and counted are those that cannot be encoded (`rejected`) and those
    without a token to predict (`left_out`: cut off, or no answer); what was cut at `max_length` is counted too.

    Raises `UserError` if none is left. `speaks` is false in all processes of a launch but one.
    """

    def __init__(
        self,
        batches: Iterable[Sequence[list[dict[str, str]]]],
        encoder: Encoder,
        total: int,
        stage: str,
        speaks: bool = True,
    ) -> None:
        self.stage, self.max_length = stage, encoder.max_length
        self.samples: list[Encoded] = []
        self.left_out = self.truncated = self.tokens_cut = self.end_tokens_removed = 0
        self.refused: dict[int, str] = {}  # why a conversation cannot be encoded, by its number, from 0
        with tqdm(
            total=total, desc=f"{stage}: encode", unit="sample", delay=3, disable=None if speaks else True
        ) as bar:
            rows = count()
            for conversations in batches:
                for sample in encoder.encode(conversations):
                    self._add(next(rows), sample)
                bar.update(len(conversations))
        if not self.samples:
            raise UserError(self._nothing_left(total))
        if speaks:
            print(self.summary(), file=sys.stderr)

    def _add(self, row: int, sample: Encoded) -> None:
        if sample.rejected is not None:
            self.refused[row] = sample.rejected
            return
        self.truncated += sample.truncated
        self.tokens_cut += sample.cut
        self.end_tokens_removed += sample.end_tokens
        if sample.predicted.any():
            self.samples.append(sample)
        else:
            self.left_out += 1

    def _nothing_left(self, total: int) -> str:
        if len(self.refused) == total:
            return f"{self.stage}: none of the {total} samples can be encoded; the first: {self._first_reason}"
        rejected = f" ({self.rejected} cannot be encoded; the first: {self._first_reason})" if self.refused else ""
        limit = f"{self.stage}.max_length={self.max_length}"
        return f"{self.stage}: none of the {total} samples has a token to predict within {limit}{rejected}"

    def summary(self) -> str:
        """What is trained on and what is not, in one sentence."""
        counts = f"{len(self):,} samples, {self.tokens:,} tokens, {self.predicted_tokens:,} predicted"
        limit = f"{self.stage}.max_length={self.max_length}"
        cut = f"; {self.truncated:,} cut at {limit}, {self.tokens_cut:,} tokens lost" if self.truncated else ""
        left_out = f"; {self.left_out:,} left out, with nothing to predict" if self.left_out else ""
        rejected = f"; {self.rejected:,} cannot be encoded, the first: {self._first_reason}" if self.refused else ""
        return f"{self.stage}: {counts}{cut}{left_out}{rejected}"

    def write_rejected(self, folder: Path) -> None:
        """What cannot be encoded, as `rejected.parquet`: `row` of what was read, from 0, and the reason."""
        rows = {"row": list(self.refused), "reason": list(self.refused.values())}
        schema = pa.schema({"row": pa.int64(), "reason": pa.string()})
        pq.write_table(pa.table(rows, schema), folder / "rejected.parquet")

    def metrics(self) -> dict[str, int]:
        return {
            "samples": len(self),
            "left_out": self.left_out,
            "rejected": self.rejected,
            "truncated": self.truncated,
            "tokens_cut": self.tokens_cut,
            "end_tokens_removed": self.end_tokens_removed,
            "tokens": self.tokens,
            "predicted_tokens": self.predicted_tokens,
        }

    @property
    def _first_reason(self) -> str:
        return next(iter(self.refused.values()))

    @property
    def rejected(self) -> int:
        return len(self.refused)

    @property
    def tokens(self) -> int:
        return sum(len(sample.input_ids) for sample in self.samples)

    @property
    def predicted_tokens(self) -> int:
        return sum(int(sample.predicted.sum()) for sample in self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        sample = self.samples[index]
        ids = torch.from_numpy(sample.input_ids).long()
        return {"input_ids": ids, "labels": torch.where(torch.from_numpy(sample.predicted), ids, IGNORED)}


class PadCollator:
    """Pads on the right to the longest sample of the batch; padding is masked and never predicted."""

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, samples: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return {
            "input_ids": self._pad([sample["input_ids"] for sample in samples], self.pad_token_id),
            "attention_mask": self._pad([torch.ones_like(sample["input_ids"]) for sample in samples], 0),
            "labels": self._pad([sample["labels"] for sample in samples], IGNORED),
        }

    @staticmethod
    def _pad(tensors: list[torch.Tensor], value: int) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)


def encoder_for(params: TrainingParams, tokenizer: PreTrainedTokenizerBase) -> Encoder:
    """The encoder that a training stage's parameters ask for."""
    return Encoder(tokenizer, params.max_length, params.predict, params.mask_role_markers)


def pad_token_id(tokenizer: Any) -> int:
    """The padding token, or the end-of-sequence token where a tokenizer has none (padding is masked, so any id will
    do).
    """
    return next(token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if token is not None)
