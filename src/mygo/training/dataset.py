"""Conversations as a map-style dataset of token ids and labels, and the collator that pads them."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

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
    """Encoded conversations in memory; those without a token to predict (cut off, or no answer) are left out and
    counted.
    """

    def __init__(
        self, batches: Iterable[Sequence[list[dict[str, str]]]], encoder: Encoder, total: int, stage: str
    ) -> None:
        self.samples: list[Encoded] = []
        self.left_out = 0
        with tqdm(total=total, desc=f"{stage}: encode", unit="sample", delay=3) as bar:
            for conversations in batches:
                encoded = encoder.encode(conversations)
                self.samples += [sample for sample in encoded if sample.predicted.any()]
                bar.update(len(encoded))
        self.left_out = total - len(self.samples)
        if not self.samples:
            raise UserError(
                f"{stage}: none of the {total} samples has a token to predict within "
                f"{stage}.max_length={encoder.max_length}"
            )
        print(
            f"{stage}: {len(self.samples):,} samples, {self.tokens:,} tokens, {self.predicted_tokens:,} predicted",
            file=sys.stderr,
        )

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
