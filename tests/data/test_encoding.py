"""Encoding: what is predicted, masks from offsets, truncation; token by token against hand-written expectations."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mygo.data.chat.rendering import render
from mygo.data.chat.special_tokens import SpecialTokens
from mygo.data.encoding import Encoder
from mygo.errors import UserError

CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yo ü."}]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Drops thoughts from all answers but the last, as reasoning models' templates do.
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content "
    "}}{% endif %}<|im_end|>\n{% endfor %}"
)


def byte_tokenizer(
    template: str | None = None, eos: str | None = "<|end|>", added: tuple[AddedToken, ...] = ()
) -> PreTrainedTokenizerFast:
    """One token per byte, so that a mask can be read as text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(list(added))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        **({"eos_token": eos} if eos else {}),
    )
    fast.chat_template = template
    return fast


def marked(encoder: Encoder, messages: list[dict[str, str]], field: str = "predicted") -> str:
    encoded = encoder.encode([messages])[0]
    return encoder.tokenizer.decode(encoded.input_ids[getattr(encoded, field)])


def rendered(template: str | None, messages: list[dict[str, str]]) -> tuple[str, list[str]]:
    """The text, and its turns' contents where `render` says they stand."""
    tokenizer = byte_tokenizer(template)
    text, turns = render(tokenizer, messages, SpecialTokens.of(tokenizer))
    return text, [text[turn.start : turn.end] for turn in turns]


def asked(content):
    return [{"role": "user", "content": content}, CHAT[1]]


def answered(content):
    return [CHAT[0], {"role": "assistant", "content": content}]


def token_strings(tokenizer, chat):
    return tokenizer.convert_ids_to_tokens(Encoder(tokenizer, 1000).encode([chat])[0].input_ids)


@pytest.mark.parametrize(
    ("template", "settings", "expected"),
    [
        (None, {"predict": "full"}, "|user|>\nHi?\n<|assistant|>\nYo ü.<|end|>\n"),  # all but the first token
        (None, {"predict": "full", "mask_role_markers": True}, "Hi?Yo ü.<|end|>"),
        (None, {"predict": "assistant"}, "Yo ü.<|end|>"),
        (None, {"predict": "assistant", "mask_role_markers": True}, "Yo ü.<|end|>"),
        (None, {}, "|user|>\nHi?\n<|assistant|>\nYo ü.<|end|>\n"),
        (CHATML, {"predict": "assistant"}, "Yo ü.<|im_end|>"),
        (CHATML, {"predict": "full", "mask_role_markers": True}, "Hi?<|im_end|>Yo ü.<|im_end|>"),
        (CHATML, {"predict": "full"}, "user\nHi?<|im_end|>\n<|im_start|>assistant\nYo ü.<|im_end|>\n"),
    ],
)
def test_what_is_predicted(template, settings, expected):
    assert marked(Encoder(byte_tokenizer(template), 1000, **settings), CHAT) == expected


def test_answer_marks_the_assistant_whatever_is_predicted():
    for settings in ({}, {"predict": "assistant"}, {"mask_role_markers": True}):
        assert marked(Encoder(byte_tokenizer(), 1000, **settings), CHAT, "answer") == "Yo ü.<|end|>"


def test_an_answer_that_repeats_the_question_is_found_by_place_not_by_text():
    chat = [{"role": "user", "content": "echo"}, {"role": "assistant", "content": "echo"}]
    encoded = Encoder(byte_tokenizer(), 1000, "assistant").encode([chat])[0]
    assert np.flatnonzero(encoded.predicted).tolist() == list(
        range(len("<|user|>\necho\n<|assistant|>\n"), len("<|user|>\necho\n<|assistant|>\necho") + 1)
    )


def test_a_template_that_trims_still_gets_its_masks():
    chat = [{"role": "user", "content": " Hi? "}, {"role": "assistant", "content": "\n Yo. "}]
    assert marked(Encoder(byte_tokenizer(CHATML), 1000, "assistant"), chat) == "Yo.<|im_end|>"


def test_a_template_that_rewrites_the_last_turn_still_gets_its_masks():
    template = CHATML.replace(
        "{{ m.content | trim }}",
        "{% if m.role == 'assistant' %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}",
    )
    chat = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "hm</think>Yo."}]
    assert marked(Encoder(byte_tokenizer(template), 1000, "assistant"), chat) == "Yo.<|im_end|>"


@pytest.mark.parametrize(
    ("max_length", "length", "truncated"), [(1, 1, True), (28, 28, True), (29, 29, False), (30, 29, False)]
)
def test_truncation_cuts_at_max_length_and_says_so(max_length, length, truncated):
    whole = Encoder(byte_tokenizer(), 1000).encode([[CHAT[1]]])[0]
    # <|assistant|>\n 14, Yo ü. 6 bytes, <|end|> 1, \n 1, and 7 letters more: 29
    chat = [CHAT[1] | {"content": "letters" + CHAT[1]["content"]}]
    cut, uncut = (Encoder(byte_tokenizer(), length).encode([chat])[0] for length in (max_length, 1000))
    assert (len(whole.input_ids), len(uncut.input_ids)) == (22, 29)
    assert (len(cut.input_ids), cut.truncated, cut.cut) == (length, truncated, 29 - length)
    for field in ("input_ids", "predicted", "answer"):
        assert getattr(cut, field).tolist() == getattr(uncut, field)[:max_length].tolist()


def test_arrays_are_of_the_promised_types():
    for chat in (CHAT, []):
        encoded = Encoder(byte_tokenizer(), 1000).encode([chat])[0]
        assert [array.dtype for array in (encoded.input_ids, encoded.predicted, encoded.answer)] == [
            np.int32,
            bool,
            bool,
        ]
        assert (encoded.truncated, encoded.cut, encoded.end_tokens) == (False, 0, 0)


@pytest.mark.parametrize("role", ["assistant", "user"])
def test_the_first_token_is_never_predicted(role):
    encoded = Encoder(byte_tokenizer("{{ messages[0].content }}"), 1000).encode([[{"role": role, "content": "Yo"}]])[0]
    assert encoded.predicted.tolist() == [False, True]
    assert encoded.answer.tolist() == [False, role == "assistant"]


def test_an_empty_answer_predicts_its_end_alone():
    for content in ("", " \n"):
        chat = [CHAT[0], {"role": "assistant", "content": content}]
        assert marked(Encoder(byte_tokenizer(CHATML), 1000, "assistant"), chat) == "<|im_end|>"
        assert marked(Encoder(byte_tokenizer(), 1000, "assistant"), chat) == "<|end|>"
        assert marked(Encoder(byte_tokenizer(eos=None), 1000, "assistant"), chat) == ""


def test_nothing_is_encoded_of_nothing():
    assert Encoder(byte_tokenizer(), 1000).encode([]) == []
    assert [sample.rejected for sample in Encoder(byte_tokenizer(), 1000).encode([[], []])] == ["it has no tokens"] * 2


def test_samples_come_back_in_order_whatever_happens_to_them():
    chats = [[CHAT[1] | {"content": text}] for text in ("a", "<|im_end|>b", "c</s>", None, "d")]
    encoded = Encoder(byte_tokenizer(), 1000, "assistant").encode(chats)
    texts = [byte_tokenizer().decode(sample.input_ids[sample.predicted]) for sample in encoded]
    assert texts == ["a<|end|>", "<|im_end|>b<|end|>", "c<|end|>", "", "d<|end|>"]
    assert [sample.end_tokens for sample in encoded] == [0, 0, 1, 0, 0]
    assert [sample.rejected is None for sample in encoded] == [True, True, True, False, True]


@pytest.mark.parametrize("role", ["agent", "user", "critic"])
def test_the_assistant_alone_gives_answers(role):
    assert marked(Encoder(byte_tokenizer(CHATML), 1000), [{"role": role, "content": "Hi?"}], "answer") == ""


def test_a_sample_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Encoder(byte_tokenizer(), 1000).encode([CHAT])[0].cut = 1  # type: ignore[misc]


def test_the_plain_format_is_open_instructs():
    text, contents = rendered(None, [{"role": "system", "content": " Be kind. "}, *CHAT])
    assert text == "<|system|>\nBe kind.\n<|user|>\nHi?\n<|assistant|>\nYo ü.<|end|>\n"
    assert contents == ["Be kind.", "Hi?", "Yo ü."]


def test_spans_survive_random_contents():
    rng = np.random.default_rng(0)
    letters = list("ab \n<|>üß漢🙂'\"{}\ue000\ue001")
    for _ in range(50):
        contents = ["x" + "".join(rng.choice(letters, 12)) + "y" for _ in range(4)]
        chat = [
            {"role": role, "content": content}
            for role, content in zip(["user", "assistant"] * 2, contents, strict=True)
        ]
        for template in (None, CHATML):
            assert rendered(template, chat)[1] == contents


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(UserError, match=r"^Slow has no fast version, .* use a model with a fast tokenizer$"):
        Encoder(Slow(), 10)  # type: ignore[arg-type]
