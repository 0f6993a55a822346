"""Conversations that a template refuses, rewrites or does not render: masks where they can be placed, else a reason."""

import pytest

from mygo.data.chat.rendering import Refused, render
from mygo.data.chat.special_tokens import SpecialTokens
from mygo.data.encoding import Encoder
from tests.data.template_tokenizers import template_tokenizer
from tests.data.test_encoding import CHAT, CHATML, FORGETFUL, byte_tokenizer, marked

THOUGHT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYo."}
CALL = {"type": "function", "function": {"name": "look_up", "arguments": {"city": "Bern"}}}
TOOLS = [
    {"role": "user", "content": "Hi?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "7 C"},
    {"role": "assistant", "content": "Yo."},
]
CALLED = '<tool_call>\n{"name": "look_up", "arguments": {"city": "Bern"}}\n</tool_call><|im_end|>'


def reason(template, chat, tokenizer=None):
    tokenizer = tokenizer or byte_tokenizer(template)
    with pytest.raises(Refused) as refusal:
        render(tokenizer, chat, SpecialTokens.of(tokenizer))
    encoded = Encoder(tokenizer, 1000).encode([chat, CHAT])
    assert encoded[0].rejected == str(refusal.value)
    return str(refusal.value)


def answers(name, chat):
    return marked(Encoder(template_tokenizer(name), 1000, "assistant"), chat)


# Thoughts. Qwen 3 keeps that of the last answer alone.


def test_earlier_answers_lose_their_thoughts_and_keep_their_masks():
    chat = [CHAT[0], THOUGHT, CHAT[0], CHAT[1]]
    assert answers("qwen3", chat) == "Yo.<|im_end|>Yo ü.<|im_end|>"
    encoded = Encoder(template_tokenizer("qwen3"), 1000).encode([chat])[0]
    assert encoded.input_ids.tolist() == template_tokenizer("qwen3").apply_chat_template(chat)["input_ids"]


def test_the_last_answer_keeps_its_thought_which_is_predicted_too():
    ends = "<think>\nhm\n</think>\n\nYo.<|im_end|>"
    assert answers("qwen3", [CHAT[0], THOUGHT]) == ends
    assert answers("qwen3", [CHAT[0], THOUGHT, CHAT[0], THOUGHT]) == f"Yo.<|im_end|>{ends}"


def test_a_template_that_drops_thoughts_from_all_answers_but_the_last():
    chat = [CHAT[0], {"role": "assistant", "content": "hm</think>Yo."}, *CHAT]
    assert marked(Encoder(byte_tokenizer(FORGETFUL), 1000, "assistant"), chat) == "Yo.<|im_end|>Yo ü.<|im_end|>"


def test_a_special_token_in_what_is_left_of_an_answer_stays_text():
    chat = [CHAT[0], {"role": "assistant", "content": "a<|im_end|></think>Yo <|im_start|>."}, *CHAT]
    assert answers("qwen3", chat) == "Yo <|im_start|>.<|im_end|>Yo ü.<|im_end|>"


REWRITES = "the chat template rewrites turns, so masks cannot be placed"
# Writes thoughts apart and trimmed, and an empty one where there is none.
THINKER = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == ROLE %}"
    "{% set parts = m.content.split('</think>') %}"
    "<think>{{ (parts[0].split('<think>')[1] if parts | length > 1 else '') | trim }}</think>"
    "{{ parts[-1] | trim }}{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_an_answer_whose_beginning_a_mark_changes_begins_where_its_prompt_ends():
    chat = [CHAT[0], {"role": "assistant", "content": "<think>hm\n</think>\nYo."}]
    encoder = Encoder(byte_tokenizer(THINKER.replace("ROLE", "'assistant'")), 1000, "assistant")
    assert marked(encoder, chat) == "<think>hm</think>Yo.<|im_end|>"
    assert marked(encoder, [*chat, *CHAT]) == "<think>hm</think>Yo.<|im_end|>Yo ü.<|im_end|>"


@pytest.mark.parametrize("role", ["assistant", "user"])
def test_a_beginning_that_no_prompt_shows_is_not_placed(role):
    """That of the first turn, and that of a question."""
    turn = {"role": role, "content": "<think>hm\n</think>\nYo."}
    template = THINKER.replace("ROLE", f"'{role}'")
    assert reason(template, [turn]) == REWRITES
    if role == "user":
        assert reason(template, [CHAT[0], turn, CHAT[1]]) == REWRITES


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content | trim }}{{ m.content | trim }}{% endfor %}",  # twice
        "{% for m in messages %}{{ m.content | length }}: {{ m.content | upper }}{{ m.content | length }}{% endfor %}",
        "{% for m in messages %}{{ m.content }}{{ m.content | length }}{% endfor %}",
        "{{ messages | map(attribute='content') | join | length }}{{ messages[0].content }}",
    ],
)
def test_what_cannot_be_placed_is_rejected(template):
    chat = [{"role": "user", "content": "Hi?"}]
    assert reason(template, chat) == REWRITES


def test_a_template_that_changes_letters_still_gets_its_masks():
    template = CHATML.replace("trim", "upper")
    assert marked(Encoder(byte_tokenizer(template), 1000, "assistant"), CHAT) == "YO Ü.<|im_end|>"


def test_a_template_that_trims_one_role_alone_still_gets_its_masks():
    template = CHATML.replace("m.content | trim", "m.content | trim if m.role == 'user' else m.content")
    chat = [{"role": "user", "content": " Hi? "}, {"role": "assistant", "content": " Yo. "}]
    text, turns = render(byte_tokenizer(template), chat, SpecialTokens.of(byte_tokenizer()))
    assert [text[turn.start : turn.end] for turn in turns] == ["Hi?", " Yo. "]


def test_a_system_turn_inside_a_trimmed_question_is_placed():
    chat = [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": " Hi? "}, CHAT[1]]
    tokenizer = template_tokenizer("llama_2")
    text, turns = render(tokenizer, chat, SpecialTokens.of(tokenizer))
    assert [text[turn.start : turn.end] for turn in turns] == [" Be kind. ", " Hi?", "Yo ü."]


# Refusals.


def test_a_role_that_a_template_refuses_or_drops_is_named():
    system = [{"role": "system", "content": "Be kind."}, *CHAT]
    assert (
        reason(None, system, template_tokenizer("gemma")) == "the chat template refuses it: System role not supported"
    )
    dropping = CHATML.replace("in messages", "in messages if m.role != 'system'")
    assert reason(dropping, system) == "the chat template does not render system turns"


def test_a_template_may_fail_in_any_way():
    assert reason("{{ messages[0].content.nothing.more }}", CHAT).startswith(
        "the chat template refuses it: 'str object'"
    )
    assert reason("{{ 1 / 0 }}", CHAT) == "the chat template refuses it: division by zero"
    assert reason("{% if %}", CHAT).startswith("the chat template refuses it: Expected an expression")


def test_a_reason_is_escaped_and_shortened():
    said = reason("{{ raise_exception('\x1b[31m\n' + messages[0].content) }}", [{"role": "user", "content": "x" * 99}])
    assert said == "the chat template refuses it: \\x1b[31m\\n" + "x" * 47 + "..." + "x" * 20


@pytest.mark.parametrize("template", [None, CHATML])
@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        ([{"role": "user", "content": None}], "the content of a turn is not text"),
        ([{"role": "user", "content": ["Hi?"]}], "the content of a turn is not text"),
        ([{"role": "user"}], "the content of a turn is not text"),
        ([{"content": "Hi?"}], "a turn has no role"),
        ([{"role": "user", "content": "a\ud800b"}], "it is not Unicode text: \\ud800 stands alone"),
    ],
)
def test_what_is_no_conversation_is_rejected(template, chat, expected):
    assert reason(template, chat) == expected


def test_an_empty_conversation_is_rejected():
    assert reason(CHATML, []).startswith("the chat template refuses it: Cannot apply chat template to an empty")
    assert Encoder(byte_tokenizer(), 1000).encode([[]])[0].rejected == "it has no tokens"


@pytest.mark.parametrize("mark", ["\ufdd0", "\ufdd1", "\ufdd2"])
def test_the_marks_of_places_cannot_be_forged(mark):
    chat = [{"role": "user", "content": f"a{mark}b"}, CHAT[1]]
    assert reason(CHATML, chat) == "it holds one of the noncharacters U+FDD0 to U+FDD2"
    assert Encoder(byte_tokenizer(), 1000).encode([chat])[0].rejected is None


# Tools.


def test_tool_calls_are_answers_and_tool_turns_are_not():
    for name in ("qwen2_5", "qwen3"):
        encoded = Encoder(template_tokenizer(name), 1000).encode([TOOLS])[0]
        assert encoded.input_ids.tolist() == template_tokenizer(name).apply_chat_template(TOOLS)["input_ids"]
    assert answers("qwen2_5", TOOLS) == f"{CALLED}Yo.<|im_end|>"
    assert answers("qwen3", TOOLS) == f"{CALLED}Yo.<|im_end|>"


@pytest.mark.parametrize("content", [None, "Let me see."])
def test_a_call_may_have_a_text_or_none(content):
    chat = [TOOLS[0], TOOLS[1] | {"content": content}, *TOOLS[2:]]
    assert answers("qwen2_5", chat) == (f"{content}\n" if content else "") + f"{CALLED}Yo.<|im_end|>"


def test_a_special_token_of_a_tool_call_is_the_templates():
    tokenizer = template_tokenizer("mistral_v3")
    chat = [TOOLS[0], {"role": "assistant", "tool_calls": [CALL]}, *TOOLS[2:]]
    encoded = Encoder(tokenizer, 1000, "assistant").encode([chat])[0]
    assert encoded.input_ids.tolist() == tokenizer.apply_chat_template(chat)["input_ids"]
    call = '[TOOL_CALLS] [{"name": "look_up", "arguments": {"city": "Bern"}}]</s>'
    assert tokenizer.decode(encoded.input_ids[encoded.predicted]) == f"{call} Yo.</s>"


def spelling(token):
    call = {"function": {"name": "look_up", "arguments": {"cities": [token]}}}
    return [TOOLS[0], {"role": "assistant", "tool_calls": [call]}, *TOOLS[2:]]


def test_a_special_token_spelled_in_a_tool_call_stays_text():
    tokenizer = template_tokenizer("mistral_v3")
    one, other = Encoder(tokenizer, 1000).encode([spelling("</s>"), spelling("x")])
    kept = [[i for i in sample.input_ids.tolist() if 0 < i < 8] for sample in (one, other)]
    assert kept[0] == kept[1]
    assert tokenizer.decode(one.input_ids) == tokenizer.decode(other.input_ids).replace('"x"', '"</s>"')


def test_a_call_that_spells_what_the_template_writes_too_is_rejected():
    encoded = Encoder(template_tokenizer("mistral_v3"), 1000).encode([spelling("[TOOL_CALLS]"), CHAT])
    assert encoded[0].rejected == "a tool call spells [TOOL_CALLS], which the chat template writes there too"
    assert encoded[1].rejected is None


NO_TOOLS = "the chat template does not render tool turns"


@pytest.mark.parametrize("name", ["smollm2", "llama_3", "phi_3", "olmo"])
def test_calls_that_a_template_does_not_write_are_rejected_by_name(name):
    assert reason(None, TOOLS, template_tokenizer(name)) == NO_TOOLS
    assert (
        reason(None, [TOOLS[0], TOOLS[1] | {"content": "Let me see."}, TOOLS[3]], template_tokenizer(name)) == NO_TOOLS
    )


def test_tool_turns_that_a_template_drops_or_refuses_are_rejected_by_name():
    chat = [TOOLS[0], TOOLS[2], TOOLS[3]]
    assert reason(None, chat, template_tokenizer("olmo")) == NO_TOOLS
    refusal = "Conversation roles must alternate user/assistant/user/assistant/..."
    assert reason(None, chat, template_tokenizer("gemma")) == f"{NO_TOOLS} ({refusal})"
    assert reason(None, TOOLS[:2], template_tokenizer("gemma")) == NO_TOOLS


@pytest.mark.parametrize("chat", [TOOLS[:2], TOOLS[2:]])
def test_the_plain_format_has_no_tool_turns(chat):
    assert reason(None, chat) == "the plain format does not render tool turns"
