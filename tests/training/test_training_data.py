"""The training data set and its collator."""

from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf

from mygo.data.encoding import Encoded
from mygo.errors import UserError
from mygo.params import FinetuneParams
from mygo.preparation.tokenizer import train_tokenizer
from mygo.training.dataset import ConversationDataset, PadCollator, encoder_for, pad_token_id
from tests.data.test_encoding import byte_tokenizer

DEFAULTS = OmegaConf.to_container(OmegaConf.load("params.yaml"))["finetune"]


class FixedEncoder:
    """Hands out what it is told to: (length, mask) is a sample, a text the reason why there is none."""

    max_length = 8

    def encode(self, conversations):
        return [self._one(conversation) for conversation in conversations]

    def _one(self, told):
        if isinstance(told, str):
            none = np.zeros(0, dtype=bool)
            return Encoded(none.astype(np.int32), none, none, False, told)
        length, mask = told
        marks = np.array(mask, dtype=bool)[: self.max_length]
        ids = np.arange(1, 1 + length, dtype=np.int32)[: self.max_length]
        cut = max(0, length - self.max_length)
        return Encoded(ids, marks, marks, cut > 0, cut=cut)


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


def test_what_was_cut_is_counted_and_said(capsys):
    told = [(3, [0, 1, 1]), (11, [0] + [1] * 10), (9, [0] * 8 + [1])]
    dataset = ConversationDataset([told], FixedEncoder(), 3, "warmup")
    assert dataset.metrics() == {
        "samples": 2,
        "left_out": 1,
        "rejected": 0,
        "truncated": 2,
        "tokens_cut": 4,
        "end_tokens_removed": 0,
        "tokens": 11,
        "predicted_tokens": 9,
    }
    assert capsys.readouterr().err == (
        "warmup: 2 samples, 11 tokens, 9 predicted; 2 cut at warmup.max_length=8, 4 tokens lost; "
        "1 left out, with nothing to predict\n"
    )


def test_nothing_cut_is_not_mentioned_and_other_processes_are_silent(capsys):
    ConversationDataset([[(3, [0, 1, 1])]], FixedEncoder(), 1, "warmup")
    assert capsys.readouterr().err == "warmup: 1 samples, 3 tokens, 2 predicted\n"
    ConversationDataset([[(3, [0, 1, 1])]], FixedEncoder(), 1, "warmup", speaks=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("speaks", [True, False])
def test_what_cannot_be_encoded_is_listed_by_row_with_its_reason(tmp_path, speaks):
    batches = [["no user turn", (3, [0, 1, 1])], [(3, [0, 1, 1]), "other"]]
    ConversationDataset(batches, FixedEncoder(), 4, "warmup", speaks).write_rejected(tmp_path)
    assert pq.read_table(tmp_path / "rejected.parquet").to_pylist() == [
        {"row": 0, "reason": "no user turn"},
        {"row": 3, "reason": "other"},
    ]


def test_what_cannot_be_encoded_is_left_out_counted_and_named(capsys):
    dataset = ConversationDataset([["no user turn"], [(3, [0, 1, 1])], ["other"]], FixedEncoder(), 3, "finetune")
    assert (len(dataset), dataset.rejected, dataset.left_out) == (1, 2, 0)
    assert dataset.metrics()["rejected"] == 2
    assert capsys.readouterr().err.endswith("; 2 cannot be encoded, the first: no user turn\n")


def test_a_stage_without_anything_to_train_on_stops_with_the_first_reason():
    with pytest.raises(UserError) as error:
        ConversationDataset([["no user turn", "other"]], FixedEncoder(), 2, "finetune")
    assert str(error.value) == "finetune: none of the 2 samples can be encoded; the first: no user turn"
    with pytest.raises(UserError) as error:
        ConversationDataset([["no user turn", (2, [0, 0])]], FixedEncoder(), 2, "finetune")
    assert str(error.value) == (
        "finetune: none of the 2 samples has a token to predict within finetune.max_length=8 (1 cannot be encoded; the "
        "first: no user turn)"
    )


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["<|user|>\namber brook\n<|assistant|>\ncedar dune ember frost\n"])


def encoded(tokenizer, **changes):
    params = FinetuneParams.model_validate({**DEFAULTS, **changes})
    messages = [{"role": "user", "content": "amber brook"}, {"role": "assistant", "content": "cedar dune"}]
    return encoder_for(params, tokenizer).encode([messages])[0]


def test_the_encoder_predicts_what_the_parameters_say(tokenizer):
    answer, full = encoded(tokenizer, predict="assistant"), encoded(tokenizer, predict="full")
    assert answer.predicted.tolist() == answer.answer.tolist()
    assert 0 < answer.predicted.sum() < full.predicted.sum() == len(full.input_ids) - 1
    contents = encoded(tokenizer, predict="full", mask_role_markers=True)
    assert answer.predicted.sum() < contents.predicted.sum() < full.predicted.sum()


def test_the_encoder_cuts_where_the_parameters_say_and_counts_it(tokenizer):
    whole, cut = encoded(tokenizer, max_length=256), encoded(tokenizer, max_length=8)
    assert len(cut.input_ids) == 8 < len(whole.input_ids)
    assert (whole.truncated, whole.cut) == (False, 0)
    assert (cut.truncated, cut.cut) == (True, len(whole.input_ids) - 8)


def test_padding_takes_the_token_that_there_is():
    def token(pad, eos):
        return pad_token_id(SimpleNamespace(pad_token_id=pad, eos_token_id=eos))

    assert (token(7, 3), token(None, 3), token(0, 3), token(None, None)) == (7, 3, 0, 0)


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


@pytest.mark.parametrize(
    ("settings", "predicted"),
    [
        ({"predict": "assistant", "mask_role_markers": False}, [26, 27, 28]),
        ({"predict": "full", "mask_role_markers": True}, [9, 10, 26, 27, 28]),
        ({"predict": "full", "mask_role_markers": False}, range(1, 30)),
        ({"predict": "assistant", "mask_role_markers": False, "max_length": 28}, [26, 27]),
    ],
)
def test_the_encoder_of_a_stage_predicts_what_its_parameters_say(settings, predicted):
    """One token a byte: `<|user|>` 0 to 7, `Hi` 9 and 10, `<|assistant|>` 12 to 24, `Yo` 26 and 27, `<|end|>` 28."""
    encoder = encoder_for(FinetuneParams.model_validate(DEFAULTS | settings), byte_tokenizer())
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]
    labels = ConversationDataset([[chat]], encoder, 1, "finetune")[0]["labels"]
    assert (labels != -100).nonzero().flatten().tolist() == list(predicted)


def test_end_tokens_of_the_data_are_taken_off_and_counted():
    encoder = encoder_for(FinetuneParams.model_validate(DEFAULTS), byte_tokenizer())
    chats = [[{"role": "assistant", "content": text}] for text in ("Yo", "Yo</s>", "Yo<|endoftext|></s>")]
    dataset = ConversationDataset([chats], encoder, 3, "finetune")
    assert dataset.metrics()["end_tokens_removed"] == 3
    assert len({len(sample["input_ids"]) for sample in dataset}) == 1
