"""Encoding: what is predicted, masks from offsets, templates, truncation; token by token against hand-written
expectations.
"""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mygo.data.encoding import Encoder, render
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


def byte_tokenizer(template: str | None = None) -> PreTrainedTokenizerFast:
    """One token per byte, so that a mask can be read as text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", additional_special_tokens=["<|im_start|>", "<|im_end|>"]
    )
    fast.chat_template = template
    return fast


def marked(encoder: Encoder, messages: list[dict[str, str]], field: str = "predicted") -> str:
    encoded = encoder.encode([messages])[0]
    return encoder.tokenizer.decode(encoded.input_ids[getattr(encoded, field)])


@pytest.mark.parametrize(
    ("template", "settings", "expected"),
    [
        (None, {"predict": "full"}, "|user|>\nHi?\n<|assistant|>\nYo ü.<|end|>\n"),  # all but the first token
        (None, {"predict": "full", "mask_role_markers": True}, "Hi?Yo ü.<|end|>"),
        (None, {"predict": "assistant"}, "Yo ü.<|end|>"),
        (CHATML, {"predict": "assistant"}, "Yo ü.<|im_end|>"),
        (CHATML, {"predict": "full", "mask_role_markers": True}, "Hi?<|im_end|>Yo ü.<|im_end|>"),
    ],
)
def test_what_is_predicted(template, settings, expected):
    assert marked(Encoder(byte_tokenizer(template), 1000, **settings), CHAT) == expected


def test_answer_marks_the_assistant_whatever_is_predicted():
    assert marked(Encoder(byte_tokenizer(), 1000, "full"), CHAT, "answer") == "Yo ü.<|end|>"


def test_an_answer_that_repeats_the_question_is_found_by_place_not_by_text():
    chat = [{"role": "user", "content": "echo"}, {"role": "assistant", "content": "echo"}]
    encoded = Encoder(byte_tokenizer(), 1000, "assistant").encode([chat])[0]
    assert np.flatnonzero(encoded.predicted).tolist() == list(
        range(len("<|user|>\necho\n<|assistant|>\n"), len("<|user|>\necho\n<|assistant|>\necho") + 1)
    )


def test_a_template_that_trims_still_gets_its_masks():
    chat = [{"role": "user", "content": " Hi? "}, {"role": "assistant", "content": "\n Yo. "}]
    assert marked(Encoder(byte_tokenizer(CHATML), 1000, "assistant"), chat) == "Yo.<|im_end|>"


def test_a_template_that_rewrites_the_last_turn_falls_back_to_prefixes():
    template = CHATML.replace(
        "{{ m.content | trim }}",
        "{% if m.role == 'assistant' %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}",
    )
    chat = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "hm</think>Yo."}]
    assert marked(Encoder(byte_tokenizer(template), 1000, "assistant"), chat) == "Yo.<|im_end|>\n"


def test_a_template_that_rewrites_earlier_turns_is_refused():
    chat = [*CHAT[:1], {"role": "assistant", "content": "hm</think>Yo."}, *CHAT]
    with pytest.raises(UserError, match="rewrites earlier turns"):
        Encoder(byte_tokenizer(FORGETFUL), 1000, "assistant").encode([chat])


def test_truncation_cuts_at_max_length_and_says_so():
    short, long = (Encoder(byte_tokenizer(), length, "full").encode([CHAT])[0] for length in (10, 1000))
    assert (len(short.input_ids), short.truncated, long.truncated) == (10, True, False)
    assert short.input_ids.tolist() == long.input_ids[:10].tolist()


def test_the_first_token_is_never_predicted():
    encoded = Encoder(byte_tokenizer("{{ messages[0].content }}"), 1000, "full").encode(
        [[{"role": "assistant", "content": "Yo"}]]
    )[0]
    assert encoded.predicted.tolist() == [False, True]
    assert encoded.answer.tolist() == [False, True]


def test_the_plain_format_is_open_instructs():
    text, turns = render(byte_tokenizer(), [{"role": "system", "content": " Be kind. "}, *CHAT])
    assert text == "<|system|>\nBe kind.\n<|user|>\nHi?\n<|assistant|>\nYo ü.<|end|>\n"
    assert [text[slice(*span)] for _, span in turns] == ["Be kind.", "Hi?", "Yo ü."]


def test_spans_survive_random_contents():
    rng = np.random.default_rng(0)
    letters = list("ab \n<|>üß漢🙂'\"{}")
    for _ in range(50):
        contents = ["x" + "".join(rng.choice(letters, 12)) + "y" for _ in range(4)]
        chat = [
            {"role": role, "content": content}
            for role, content in zip(["user", "assistant"] * 2, contents, strict=True)
        ]
        for template in (None, CHATML):
            text, turns = render(byte_tokenizer(template), chat)
            assert [text[slice(*span)] for _, span in turns] == contents


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(UserError, match="no fast version"):
        Encoder(Slow(), 10)  # type: ignore[arg-type]
