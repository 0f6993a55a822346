"""The training data set and its collator."""

import numpy as np
import pytest
import torch

from mygo.data.encoding import Encoded
from mygo.errors import UserError
from mygo.training.dataset import ConversationDataset, PadCollator


class FixedEncoder:
    """Hands out what it is told to."""

    max_length = 8

    def encode(self, conversations):
        return [
            Encoded(
                np.arange(1, 1 + length, dtype=np.int32), np.array(mask, dtype=bool), np.array(mask, dtype=bool), False
            )
            for length, mask in conversations
        ]


def test_labels_are_the_predicted_tokens_and_nothing_else():
    dataset = ConversationDataset([[(3, [0, 1, 1])]], FixedEncoder(), 1, "finetune")
    assert dataset[0]["input_ids"].tolist() == [1, 2, 3]
    assert dataset[0]["labels"].tolist() == [-100, 2, 3]


def test_samples_with_nothing_to_predict_are_left_out_and_counted():
    dataset = ConversationDataset([[(2, [0, 0]), (2, [0, 1])]], FixedEncoder(), 2, "finetune")
    assert (len(dataset), dataset.left_out, dataset.tokens, dataset.predicted_tokens) == (1, 1, 2, 1)
    with pytest.raises(
        UserError, match=r"finetune: none of the 1 samples has a token to predict within finetune\.max_length=8"
    ):
        ConversationDataset([[(2, [0, 0])]], FixedEncoder(), 1, "finetune")


def test_padding_is_masked_and_never_predicted():
    batch = PadCollator(9)(
        [
            {"input_ids": torch.tensor([1, 2, 3]), "labels": torch.tensor([-100, 2, 3])},
            {"input_ids": torch.tensor([4]), "labels": torch.tensor([4])},
        ]
    )
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 2, 3], [4, -100, -100]]
