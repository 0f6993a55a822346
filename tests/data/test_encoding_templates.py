"""Encoding with the chat templates of the usual models: the ids that `apply_chat_template` gives, every answer
predicted with the token that ends it, and no special token that the template did not write.
"""

from copy import copy

import numpy as np
import pytest

from mygo.data.chat.rendering import render
from mygo.data.chat.special_tokens import SpecialTokens
from mygo.data.encoding import Encoder
from tests.data.template_tokenizers import MAKERS, template_tokenizer

TWICE = [
    {"role": "user", "content": "Hi?"},
    {"role": "assistant", "content": "Yo ü."},
    {"role": "user", "content": "And?"},
    {"role": "assistant", "content": "The answer."},
]
# What a model must say for itself, written by hand: both answers, each with what ends it.
PREDICTED = {
    "llama_2": "Yo ü. </s> The answer. </s>",
    "llama_3": "Yo ü.<|eot_id|>The answer.<|eot_id|>",
    "qwen2_5": "Yo ü.<|im_end|>The answer.<|im_end|>",
    "qwen3": "Yo ü.<|im_end|>The answer.<|im_end|>",
    "phi_3": "Yo ü.<|end|> The answer.<|end|>",
    "olmo": "Yo ü.<|endoftext|>The answer.<|endoftext|>",
    "smollm2": "Yo ü.<|im_end|>The answer.<|im_end|>",
    "gemma": "Yo ü.<end_of_turn>The answer.<end_of_turn>",
    "mistral_v1": "Yo ü.</s>The answer.</s>",
    "mistral_v3": "Yo ü.</s> The answer.</s>",
    "plain": "Yo ü.<|endoftext|>The answer.<|endoftext|>",
    "plain_added_bos": "Yo ü.<|endoftext|>The answer.<|endoftext|>",
    "plain_bos": "Yo ü.</s>The answer.</s>",
}
TEMPLATED = [name for name in MAKERS if not name.startswith("plain")]
SPELLED = [
    (name, token.content)
    for name in MAKERS
    for token in template_tokenizer(name).added_tokens_decoder.values()
    if token.special
]


def special_ids(name, ids):
    added = template_tokenizer(name).added_tokens_decoder
    return [i for i in ids.tolist() if i in added and added[i].special]


def with_contents(*contents):
    roles = ["user", "assistant"] * len(contents)
    return [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]


def random_chats(seed, count):
    rng = np.random.default_rng(seed)
    pieces = [*"ab \n<|>üß漢🙂'\"{}\ue000", "Yo", "</think>", "<think>", " the", "INST]"]
    return [with_contents(*("".join(rng.choice(pieces, 12)) for _ in range(4))) for _ in range(count)]


@pytest.mark.parametrize("name", MAKERS)
def test_every_answer_is_predicted_with_the_token_that_ends_it(name):
    tokenizer = template_tokenizer(name)
    for predict, field in (("assistant", "predicted"), ("assistant", "answer"), ("full", "answer")):
        encoded = Encoder(tokenizer, 1000, predict).encode([TWICE])[0]
        assert tokenizer.decode(encoded.input_ids[getattr(encoded, field)]) == PREDICTED[name]
    assert Encoder(tokenizer, 1000, "full").encode([TWICE])[0].predicted.tolist()[1:] == [True] * (
        len(encoded.input_ids) - 1
    )


@pytest.mark.parametrize("name", TEMPLATED)
def test_the_ids_are_those_of_apply_chat_template(name):
    tokenizer = template_tokenizer(name)
    chats = [TWICE, TWICE[:2], *random_chats(0, 30)]
    for chat, encoded in zip(chats, Encoder(tokenizer, 1000).encode(chats), strict=True):
        assert encoded.rejected is None
        assert encoded.input_ids.tolist() == tokenizer.apply_chat_template(chat, tokenize=True)["input_ids"]


@pytest.mark.parametrize("name", MAKERS)
def test_the_way_around_spelled_tokens_gives_the_same_ids_where_none_is_spelled(name):
    tokenizer = template_tokenizer(name)
    special = SpecialTokens.of(tokenizer)
    adds = tokenizer.chat_template is None
    for chat in [TWICE, *random_chats(1, 10)]:
        text, turns = render(tokenizer, chat, special)
        blank = "".join(
            " " if any(turn.start <= place < turn.end for turn in turns) else letter
            for place, letter in enumerate(text)
        )
        own = [found.start() for found in special.spelled.finditer(blank)]
        usual = tokenizer(text, add_special_tokens=adds, return_offsets_mapping=True)
        ids, offsets = special.encode_with_own(text, own, add_special_tokens=adds)
        assert ids.tolist() == usual["input_ids"]
        assert [tuple(pair) for pair in offsets.tolist()] == usual["offset_mapping"]


@pytest.mark.parametrize(("name", "token"), SPELLED)
def test_a_special_token_that_a_content_spells_stays_text(name, token):
    """The same special tokens in the same order as with harmless contents, and the answer reads as it was written."""
    tokenizer = template_tokenizer(name)
    encoder = Encoder(tokenizer, 1000, "assistant")
    spelled = with_contents(f"Hi {token}? {token}", f"The {token}{token}\n{token}answer.", f"{token}", "Yo.")
    harmless = with_contents("Hi x? x", "The x\nxanswer.", "x", "Yo.")
    one, other = encoder.encode([spelled, harmless])
    assert (one.rejected, one.end_tokens) == (None, 0)
    assert special_ids(name, one.input_ids) == special_ids(name, other.input_ids)
    ends = tokenizer.decode(other.input_ids[other.predicted]).replace("The x\nxanswer.", spelled[1]["content"])
    assert tokenizer.decode(one.input_ids[one.predicted]) == ends


@pytest.mark.parametrize("name", MAKERS)
def test_an_end_token_at_the_very_end_of_an_answer_is_taken_off_and_counted(name):
    tokenizer = template_tokenizer(name)
    encoder = Encoder(tokenizer, 1000)
    bare = encoder.encode([TWICE])[0]
    for end in ("</s>", "<|endoftext|>", tokenizer.eos_token):
        chat = with_contents("Hi?", f"Yo ü.{end}", "And?", f"The answer.{end}\n{end} ")
        ended = encoder.encode([chat])[0]
        assert (ended.end_tokens, ended.input_ids.tolist()) == (3, bare.input_ids.tolist())
    assert bare.end_tokens == 0


@pytest.mark.parametrize("name", ["llama_2", "gemma", "mistral_v1"])
def test_a_lone_answer_is_rejected_where_roles_must_alternate_and_the_rest_is_encoded(name):
    encoded = Encoder(template_tokenizer(name), 1000).encode([TWICE, TWICE[1:2], TWICE[:2]])
    assert [sample.rejected for sample in encoded] == [
        None,
        "the chat template refuses it: Conversation roles must alternate user/assistant/user/assistant/...",
        None,
    ]
    assert [array.tolist() for array in (encoded[1].input_ids, encoded[1].predicted, encoded[1].answer)] == [[]] * 3


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in ("llama_2", "gemma", "mistral_v1")])
def test_a_lone_answer_is_encoded_where_the_template_takes_it(name):
    tokenizer = template_tokenizer(name)
    encoded = Encoder(tokenizer, 1000, "assistant").encode([TWICE[3:]])[0]
    assert tokenizer.decode(encoded.input_ids[encoded.predicted]).startswith("The answer.")


def test_a_system_turn_that_a_template_moves_to_the_last_question_keeps_the_roles_apart():
    """Mistral v0.3 writes it there; three equal contents cannot be told apart by their text."""
    tokenizer = template_tokenizer("mistral_v3")
    chat = [{"role": "system", "content": "Yo"}, *with_contents("Yo", "Yo", "Hi?", "The answer.")]
    text, turns = render(tokenizer, chat, SpecialTokens.of(tokenizer))
    assert text == "<s>[INST] Yo[/INST] Yo</s>[INST] Yo\n\nHi?[/INST] The answer.</s>"
    assert [(turn.role, turn.start) for turn in turns[:3]] == [("system", 33), ("user", 10), ("assistant", 20)]
    encoded = Encoder(tokenizer, 1000, "assistant").encode([chat])[0]
    assert tokenizer.decode(encoded.input_ids[encoded.predicted]) == "Yo</s> The answer.</s>"


def test_what_the_tokenizer_puts_before_the_text_keeps_its_id_whatever_a_content_spells():
    tokenizer = template_tokenizer("plain_added_bos")
    bos = tokenizer.convert_tokens_to_ids("<|bos|>")
    assert tokenizer.convert_tokens_to_ids("<|endoftext|>") == 0
    assert bos == len(tokenizer) - 1 == tokenizer("Hi")["input_ids"][0]
    encoded = Encoder(tokenizer, 1000).encode(
        [with_contents(content, "Yo.") for content in ("Hi", "Hi <|endoftext|>", "Hi <|bos|>")]
    )
    for sample in encoded:
        assert special_ids("plain_added_bos", sample.input_ids) == [bos, 0]
        assert sample.input_ids[0] == bos
        assert (sample.predicted[0], sample.answer[0]) == (False, False)


def test_the_tokenizer_begins_the_plain_format_and_a_template_begins_its_own():
    for chat in (TWICE, with_contents("Hi </s>?", "Yo.")):
        encoded = Encoder(template_tokenizer("plain_bos"), 1000).encode([chat])[0]
        assert encoded.input_ids.tolist().count(1) == 1
        assert (encoded.input_ids[0], encoded.predicted[0], encoded.answer[0]) == (1, False, False)
    tokenizer = copy(template_tokenizer("plain_bos"))
    tokenizer.chat_template = template_tokenizer("gemma").chat_template.replace("bos_token", "''")
    for chat in (TWICE, with_contents("Hi </s>?", "Yo.")):
        assert 1 not in Encoder(tokenizer, 1000).encode([chat])[0].input_ids
