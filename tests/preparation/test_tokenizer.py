"""The mini world's tokenizer: any text comes back, markers are one token, nothing is added."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mygo.data.mini_world import EOS, build
from mygo.params import MiniWorldParams
from mygo.preparation.tokenizer import MAX_LENGTH, PAD, VOCABULARY, train_tokenizer

PARAMS = MiniWorldParams(facts=240, samples=100, corrupted=0.5, known=0.5, pretrain_steps=1)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(build(PARAMS, seed=0).corpus())


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\n a  b\t c \r\n",
        "naïve café",
        "Ω 语言 🙂‍↔️",
        "\x00\x7f",
        "Don't , stop !",
        "<|user|>\nHi?\n<|assistant|>\n",
        f"a{EOS}\n",
        "e\u0301 vs é",
    ],
)
def test_any_text_comes_back(tokenizer: PreTrainedTokenizerFast, text: str):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_every_byte_has_a_token(tokenizer: PreTrainedTokenizerFast):
    for point in [*range(0x20, 0x250), *range(0x4E00, 0x4E40), *range(0x1F600, 0x1F640)]:
        assert tokenizer.decode(tokenizer(chr(point))["input_ids"]) == chr(point)


def test_vocabulary_special_tokens_and_length(tokenizer: PreTrainedTokenizerFast):
    assert len(tokenizer) == VOCABULARY == 1024
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (None, EOS, PAD)
    assert tokenizer.model_max_length == MAX_LENGTH
    assert tokenizer.chat_template is None


def test_encoding_adds_nothing_and_markers_are_one_token(tokenizer: PreTrainedTokenizerFast):
    ids = tokenizer(f"<|user|>\nred\n<|assistant|>\nred{EOS}\n")["input_ids"]
    assert [ids[0], ids[-2]] == [tokenizer.vocab["<|user|>"], tokenizer.vocab[EOS]]
    assert ids.count(tokenizer.vocab["<|assistant|>"]) == 1
    kept = tokenizer.decode(ids, skip_special_tokens=True)
    assert kept == "<|user|>\nred\n<|assistant|>\nred\n"  # markers are text


def test_a_continuation_begins_with_a_token_of_its_own(tokenizer: PreTrainedTokenizerFast):
    prompt = "<|user|>\nWhat is the colour of Drexo?\n<|assistant|>\n"
    ids = tokenizer(prompt)["input_ids"]
    assert tokenizer(prompt + "The colour of Drexo is red.")["input_ids"][: len(ids)] == ids


def test_training_is_deterministic_and_saving_keeps_everything(tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    tokenizer.save_pretrained(tmp_path / "a")
    train_tokenizer(build(PARAMS, seed=0).corpus()).save_pretrained(tmp_path / "b")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    loaded = AutoTokenizer.from_pretrained(tmp_path / "a")
    text = "<|user|>\nWhat is the colour of Drexo? 语"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert (loaded.eos_token, loaded.pad_token, loaded.model_max_length) == (EOS, PAD, MAX_LENGTH)
