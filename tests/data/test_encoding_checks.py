"""Chat templates that look at what turns hold: a mark may be refused where the conversation itself is not."""

import pytest

from mygo.data.chat.rendering import Refused, render
from mygo.data.chat.special_tokens import SpecialTokens
from mygo.data.encoding import Encoder
from tests.data.test_encoding import CHATML, byte_tokenizer, marked

NO_MARK = "the chat template takes the conversation but no mark in it, so masks cannot be placed"
CHAT = [{"role": "user", "content": "A or B?"}, {"role": "assistant", "content": "A"}]


def checked(condition):
    """A template that refuses turns for which the condition holds."""
    return CHATML.replace(
        "<|im_start|>", f"{{% if {condition} %}}{{{{ raise_exception('no') }}}}{{% endif %}}<|im_start|>", 1
    )


def test_a_row_whose_marks_are_refused_is_placed_turn_by_turn():
    template = checked("m.content | length > 7")  # one mark alone is short enough, those around a content are not
    assert marked(Encoder(byte_tokenizer(template), 1000, "assistant"), CHAT) == "A<|im_end|>"


def test_a_row_of_which_no_mark_is_taken_is_not_called_refused():
    tokenizer = byte_tokenizer(checked("m.role == 'assistant' and m.content not in ['A', 'B']"))
    encoded = Encoder(tokenizer, 1000).encode([CHAT, [CHAT[0], CHAT[1] | {"content": "C"}]])
    assert [sample.rejected for sample in encoded] == [NO_MARK, "the chat template refuses it: no"]


def test_a_prompt_without_its_answer_may_be_refused_too():
    template = (
        "{% if messages | length < 2 %}{{ raise_exception('no') }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{% if m.content.startswith('<think>') %}<think>{% else %}"
        "<think></think>{% endif %}{{ m.content.split('</think>')[-1] }}{% endfor %}"
    )
    tokenizer = byte_tokenizer(template)
    with pytest.raises(Refused, match=NO_MARK):
        render(tokenizer, [CHAT[0], CHAT[1] | {"content": "<think>hm</think>A"}], SpecialTokens.of(tokenizer))
