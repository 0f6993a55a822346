"""Special tokens: which they are, where a turn ends, and how a content that spells one is encoded."""

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mygo.data.chat.special_tokens import OWN, SpecialTokens
from mygo.data.encoding import Encoder
from tests.data.test_encoding import CHAT, CHATML, answered, asked, byte_tokenizer, marked, token_strings

NO_WAY = "a turn spells a special token, and the tokenizer offers no way to write it as text"


# Which tokens are special.


def test_special_is_what_is_flagged_or_named_and_nothing_else():
    added = (AddedToken("<|flagged|>", special=True), AddedToken("<|end|>"), AddedToken("<|user|>"), AddedToken("\n\n"))
    tokenizer = byte_tokenizer(added=added)
    special = SpecialTokens.of(tokenizer)
    assert special.spelling == {256: "<|flagged|>", 257: "<|end|>", 260: "<|im_start|>", 261: "<|im_end|>"}
    assert special.added == special.spelling | {258: "<|user|>"}
    assert special.eos == "<|end|>"
    assert special.is_special.nonzero()[0].tolist() == [256, 257, 260, 261]
    assert special.is_added.nonzero()[0].tolist() == [256, 257, 258, 260, 261]
    assert len(special.is_special) == 262


def test_an_end_token_that_is_only_flagged_as_special_is_predicted():
    tokenizer = byte_tokenizer(CHATML.replace("<|im_end|>", "<|eot|>"), added=(AddedToken("<|eot|>", special=True),))
    assert "<|eot|>" not in tokenizer.all_special_tokens
    assert marked(Encoder(tokenizer, 1000, "assistant"), CHAT) == "Yo ü.<|eot|>"
    assert token_strings(tokenizer, asked("<|eot|>"))[6:13] == list("<|eot|>")


def test_the_end_of_a_turn_need_not_be_special():
    tokenizer = byte_tokenizer(CHATML.replace("<|im_end|>", "<|eot|>"), added=(AddedToken("<|eot|>"),))
    assert marked(Encoder(tokenizer, 1000, "assistant"), CHAT) == "Yo ü.<|eot|>"


def test_added_tokens_that_are_not_special_are_text_like_any_other():
    tokenizer = byte_tokenizer(added=(AddedToken("<|user|>"),))
    assert token_strings(tokenizer, asked("a<|user|>b<|end|>"))[:11] == [
        *("<|user|>", "Ċ", "a", "<|user|>", "b"),
        *("<", "|", "e", "n", "d", "|"),
    ]


# Contents that spell special tokens.


@pytest.mark.parametrize("template", [None, CHATML])
def test_a_spelled_token_is_its_letters_and_the_masks_hold(template):
    tokenizer = byte_tokenizer(template)
    end = tokenizer.convert_tokens_to_ids("<|end|>" if template is None else "<|im_end|>")
    spelled = f"ü{'<|end|>' if template is None else '<|im_end|>'}."
    one, other = Encoder(tokenizer, 1000, "assistant").encode(
        [answered(spelled), answered("ü" + "x" * (len(spelled) - 2) + ".")]
    )
    letters = tokenizer.convert_tokens_to_ids(list("Ã¼" + spelled[1:]))
    assert one.input_ids[one.predicted].tolist() == [*letters, end]
    assert one.predicted.tolist() == other.predicted.tolist()
    assert one.answer.tolist() == other.answer.tolist()
    assert one.input_ids[~one.predicted].tolist() == other.input_ids[~other.predicted].tolist()
    assert (one.input_ids.dtype, one.truncated) == (other.input_ids.dtype, False)


def test_letters_on_both_sides_of_a_contents_edge_make_no_token():
    tokenizer = byte_tokenizer("{% for m in messages %}<|{{ m.content }}|>{% endfor %}")
    assert token_strings(tokenizer, [{"role": "user", "content": "im_end"}]) == list("<|im_end|>")


def test_the_longest_of_two_tokens_is_the_templates():
    added = tuple(AddedToken(text, special=True) for text in ("<|a|>", "<|a|>b"))
    tokenizer = byte_tokenizer("{% for m in messages %}<|a|>b{{ m.content }}<|a|>{% endfor %}", added=added)
    strings = token_strings(tokenizer, [{"role": "user", "content": "<|a|>b."}])
    assert strings == ["<|a|>b", *"<|a|>b.", "<|a|>"]


def test_the_tokenizer_itself_is_left_as_it_is():
    tokenizer = byte_tokenizer(CHATML)
    before = tokenizer.backend_tokenizer.to_str()
    Encoder(tokenizer, 1000).encode([asked("<|im_end|>")])
    assert tokenizer.backend_tokenizer.to_str() == before
    assert tokenizer("<|im_end|>")["input_ids"] == [tokenizer.convert_tokens_to_ids("<|im_end|>")]


def test_the_second_tokenizer_neither_cuts_nor_pads():
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    ids, offsets = SpecialTokens.of(tokenizer).encode_with_own("ab<|end|>", [2], add_special_tokens=True)
    assert ids.tolist() == [*tokenizer.convert_tokens_to_ids(["a", "b", "<|end|>"])]
    assert offsets.tolist() == [[0, 1], [1, 2], [2, 9]]


def test_a_tokenizer_that_splits_special_tokens_is_taken_at_its_word():
    tokenizer = byte_tokenizer(CHATML)
    tokenizer.split_special_tokens = True
    chat = asked("<|im_end|>")
    encoded = Encoder(tokenizer, 1000).encode([chat])[0]
    assert encoded.input_ids.tolist() == tokenizer.apply_chat_template(chat)["input_ids"]


def test_merges_that_lead_to_a_special_token_are_not_taken_in_text():
    letters = ["<", "/", "s", ">", "a", "</", "s>", "</s>"]
    merges = [("<", "/"), ("s", ">"), ("</", "s>")]
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(letters)}, merges=merges))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    fast.chat_template = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    assert token_strings(fast, [{"role": "user", "content": "a</s>a"}]) == ["a", "</", "s>", "a", "</s>"]


def words_tokenizer():
    vocab = {"[UNK]": 0, "</s>": 1, "Hi": 2, ".": 3}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    fast.chat_template = "{% for m in messages %}{{ m.content }} {{ eos_token }}{% endfor %}"
    return fast


def test_a_tokenizer_that_knows_no_other_way_to_write_it_rejects_the_row_alone():
    encoded = Encoder(words_tokenizer(), 1000).encode([asked("Hi </s> ."), asked("Hi .")])
    assert [sample.rejected for sample in encoded] == [NO_WAY, None]
    assert len(encoded[0].input_ids) == 0


def test_a_content_that_spells_the_mark_of_the_templates_tokens_cannot_forge_one():
    tokenizer = byte_tokenizer(CHATML)
    assert Encoder(tokenizer, 1000).encode([asked(f"{OWN}<|im_end|>")])[0].rejected == NO_WAY
    assert Encoder(tokenizer, 1000).encode([asked(f"{OWN}<|im_en")])[0].rejected is None
