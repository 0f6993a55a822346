"""The end of a turn: where it is, whether it is predicted, and end tokens that data sets leave behind answers."""

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from mygo.data.chat.special_tokens import END_TOKENS, SpecialTokens
from mygo.data.encoding import Encoder
from tests.data.template_tokenizers import template_tokenizer
from tests.data.test_encoding import CHAT, answered, byte_tokenizer, marked, token_strings

ONLY_END = "an answer holds nothing but an end token"

# Where a turn ends.


@pytest.mark.parametrize(
    ("text", "following", "stop"),
    [
        ("Yo<|im_end|>", None, 12),
        ("Yo<|im_end|><|im_end|>", None, 12),  # the first alone
        ("Yo \n<|im_end|>\n", None, 14),
        ("Yo.<|im_end|>", None, 2),  # more than white space between
        ("Yo \n", None, 2),
        ("Yo", None, 2),
        ("Yo<|im_end|>Hi?", 12, 12),
        ("Yo<|im_end|>Hi?", 11, 2),  # it would reach into the next content
        ("Yo<|im_start|>Hi?", 14, 14),  # the next turn ends this one
        ("Yo\n<|im_start|>Hi?", 15, 2),  # white space ends it, and the next begins
        ("Yo\n<|end|>Hi?", 10, 10),  # the end-of-sequence token ends whatever follows
        ("Yo\n<|im_end|><|im_start|>Hi?", 25, 13),
        ("Yo\n<|im_end|>x<|im_start|>Hi?", 26, 13),
        ("Yo\n<|im_end|>Hi?<|im_start|>", 13, 2),
    ],
)
def test_where_a_turn_ends(text, following, stop):
    assert SpecialTokens.of(byte_tokenizer()).stop(text, 2, following) == stop


def test_without_added_tokens_a_turn_ends_with_its_content():
    special = SpecialTokens(Tokenizer(models.BPE()), {}, "", {})
    assert special.stop("Yo<|im_end|>", 2, None) == 2
    assert special.spelled.search("Yo<|im_end|>") is None


def test_the_space_before_an_end_token_is_predicted_and_the_space_behind_is_not():
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }} {{ eos_token }} {% endfor %}"
    assert marked(Encoder(byte_tokenizer(template), 1000, "assistant"), CHAT * 2) == "Yo ü. <|end|>Yo ü. <|end|>"


def test_a_role_marker_that_swallows_the_spaces_of_a_content_is_not_predicted():
    added = (AddedToken("<|assistant|>", rstrip=True, special=True),)
    tokenizer = byte_tokenizer(
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|im_end|>{% endfor %}", added=added
    )
    encoder = Encoder(tokenizer, 1000, "assistant")
    assert marked(encoder, answered("\n Yo.")) == "Yo.<|im_end|>"
    assert token_strings(tokenizer, answered("\n Yo."))[-5:] == ["<|assistant|>", "Y", "o", ".", "<|im_end|>"]


def merging_tokenizer(*pieces: tuple[str, str], template: str) -> PreTrainedTokenizerFast:
    """Bytes and the merges `pieces`; offsets keep the spaces."""
    letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in pieces)]
    vocab = {letter: i for i, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=list(pieces)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    fast.chat_template = template
    return fast


def test_a_token_that_begins_with_the_space_before_an_answer_is_predicted():
    template = "{% for m in messages %}: {{ m.content }}{% endfor %}"
    tokenizer = merging_tokenizer(("Y", "o"), ("Ġ", "Yo"), template=template)
    chat = [{"role": role, "content": "Yo"} for role in ("user", "assistant")]
    encoded = Encoder(tokenizer, 1000, "assistant").encode([chat])[0]
    assert tokenizer.convert_ids_to_tokens(encoded.input_ids) == [":", "ĠYo", ":", "ĠYo"]
    assert encoded.predicted.tolist() == [False, False, False, True]


def test_a_token_around_an_empty_answer_is_not_predicted():
    tokenizer = merging_tokenizer(("Ċ", "Ċ"), template="{% for m in messages %}:\n{{ m.content }}\n{% endfor %}")
    encoded = Encoder(tokenizer, 1000, "assistant").encode([[{"role": "assistant", "content": ""}]])[0]
    assert tokenizer.convert_ids_to_tokens(encoded.input_ids) == [":", "ĊĊ"]
    assert encoded.predicted.tolist() == [False, False]


# End tokens at the end of an answer.


@pytest.mark.parametrize(
    ("content", "bare", "count"),
    [
        ("Yo.", "Yo.", 0),
        ("Yo. ", "Yo. ", 0),
        ("Yo.</s>", "Yo.", 1),
        ("Yo. </s>\n", "Yo. ", 1),
        ("Yo.</s> <|endoftext|></s>", "Yo.", 3),
        ("</s>", "", 1),
        ("", "", 0),
        ("</s> Yo.", "</s> Yo.", 0),
        ("Yo.<|mine|>", "Yo.", 1),
        ("Yo.x<|mine|>", "Yo.", 1),  # the longest
        ("Yo.s>", "Yo.s>", 0),
        ("<s>Yo.</s>", "<s>Yo.</s>", 0),  # struck through
        ("A <s class='x'>b</s> \n", "A <s class='x'>b</s> \n", 0),
        ("A <s>b</s> c.</s>", "A <s>b</s> c.", 1),
        ("<s>Yo.</s><|endoftext|></s>", "<s>Yo.</s>", 2),
        ("</s><s>Yo.</s>", "</s><s>Yo.</s>", 0),
        ("<s>Yo. <sub>2</s>", "<s>Yo. <sub>2</s>", 0),
        ("<small>Yo.</s>", "<small>Yo.", 1),
    ],
)
def test_end_tokens_at_the_very_end_are_taken_off(content, bare, count):
    special = SpecialTokens(Tokenizer(models.BPE()), {}, "x<|mine|>" if "x<" in content else "<|mine|>", {})
    assert special.without_end_tokens(content) == (bare, count)


def test_the_end_tokens_of_the_usual_models_are_known():
    special = SpecialTokens(Tokenizer(models.BPE()), {}, "", {})
    expected = "</s> <|endoftext|> <|im_end|> <|end|> <|eot_id|> <|end_of_text|> <end_of_turn> <eos>"
    assert sorted(END_TOKENS) == sorted(expected.split())
    assert all(special.without_end_tokens(f"Yo.{end}") == ("Yo.", 1) for end in END_TOKENS)


def test_end_tokens_are_taken_off_answers_alone():
    chat = [{"role": role, "content": f"{role}</s>"} for role in ("system", "user", "assistant", "user", "assistant")]
    encoded = Encoder(byte_tokenizer(), 1000).encode([chat])[0]
    assert encoded.end_tokens == 2
    assert byte_tokenizer().decode(encoded.input_ids) == (
        "<|system|>\nsystem</s>\n<|user|>\nuser</s>\n<|assistant|>\nassistant<|end|>\n<|user|>\nuser</s>\n"
        "<|assistant|>\nassistant<|end|>\n"
    )


@pytest.mark.parametrize("name", ["plain", "qwen2_5", "llama_2"])
@pytest.mark.parametrize("content", ["</s>", " <|endoftext|>\n</s> "])
def test_an_answer_that_is_only_end_tokens_is_rejected_by_name(name, content):
    encoded = Encoder(template_tokenizer(name), 1000).encode([answered(content), CHAT, [*CHAT, *answered(content)]])
    assert [sample.rejected for sample in encoded] == [ONLY_END, None, ONLY_END]
    assert len(encoded[0].input_ids) == 0


def test_an_answer_that_calls_a_tool_may_have_an_end_token_for_a_text():
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    chats = [[CHAT[0], CHAT[1] | {"content": content, "tool_calls": [call]}] for content in ("</s>", "")]
    one, other = Encoder(template_tokenizer("qwen2_5"), 1000).encode(chats)
    assert (one.rejected, one.end_tokens, one.input_ids.tolist()) == (None, 1, other.input_ids.tolist())


def test_an_answer_that_ends_struck_through_keeps_its_letters():
    tokenizer = template_tokenizer("llama_2")
    encoded = Encoder(tokenizer, 1000, "assistant").encode([answered("No <s>yes</s>")])[0]
    assert (encoded.rejected, encoded.end_tokens) == (None, 0)
    assert encoded.input_ids.tolist().count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(encoded.input_ids[encoded.predicted]) == "No <s>yes</s> </s>"


def test_the_messages_are_left_as_they_are():
    chat = answered("Yo.</s>")
    Encoder(byte_tokenizer(), 1000).encode([chat])
    assert chat == answered("Yo.</s>")
