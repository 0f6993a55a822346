"""Row formats against rows written by hand."""

import pytest

from mygo.data.formats import FORMATS, columns_of, detect_format, row_id
from mygo.data.records import RowError, Unreadable


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


def text_part(text):
    return {"type": "text", "text": text, "image_url": None}


GOOD = [
    ("messages", {"messages": [user("Hi"), assistant("Ho")]}, [user("Hi"), assistant("Ho")]),
    (
        "messages",
        {"messages": [{"role": "system", "content": "Be kind"}, assistant("Ho")]},
        [{"role": "system", "content": "Be kind"}, assistant("Ho")],
    ),
    (
        "messages",
        {"messages": [{"role": "system", "content": " "}, user("Hi"), assistant(" Ho\n")]},
        [user("Hi"), assistant(" Ho\n")],
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho", "weight": None}]},
        [user("Hi"), assistant("Ho")],
    ),
    (
        "sharegpt",
        {"conversations": [{"role": "User", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
        [user("Hi"), assistant("Ho")],
    ),
    ("alpaca", {"instruction": "Add", "input": "1, 2", "output": "3"}, [user("Add\n\n1, 2"), assistant("3")]),
    ("alpaca", {"instruction": "Add", "input": "  ", "output": "3"}, [user("Add"), assistant("3")]),
    ("alpaca", {"instruction": "Add", "output": "3"}, [user("Add"), assistant("3")]),
    (
        "alpaca",
        {"instruction": "When?", "context": "In 2000.", "response": "2000"},
        [user("When?\n\nIn 2000."), assistant("2000")],
    ),
    ("prompt_completion", {"prompt": "A", "completion": "B<|endoftext|>"}, [user("A"), assistant("B<|endoftext|>")]),
    ("text", {"text": "Once upon a time\x00"}, [assistant("Once upon a time\x00")]),
    # What stands beside the turns becomes a turn.
    (
        "sharegpt",
        {"system": "Be kind", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]},
        [system("Be kind"), user("Hi"), assistant("Ho")],
    ),
    ("messages", {"system_prompt": "Be kind", "messages": [assistant("Ho")]}, [system("Be kind"), assistant("Ho")]),
    (
        "messages",
        {"system": "Be kind\n", "messages": [system("Be kind"), assistant("Ho")]},
        [system("Be kind"), assistant("Ho")],
    ),
    (
        "messages",
        {"system": " ", "system_prompt": None, "tools": "[]", "messages": [assistant("Ho")]},
        [assistant("Ho")],
    ),
    (
        "alpaca",
        {"instruction": "c", "output": "d", "system": "Be kind", "history": [["a", "b"], ["e", "f"]]},
        [system("Be kind"), user("a"), assistant("b"), user("e"), assistant("f"), user("c"), assistant("d")],
    ),
    ("alpaca", {"instruction": "c", "output": "d", "history": [], "system": ""}, [user("c"), assistant("d")]),
    ("alpaca", {"instruction": "c", "input": "", "context": "e", "output": "d"}, [user("c\n\ne"), assistant("d")]),
    ("prompt_completion", {"system": "s", "prompt": "A", "completion": "B"}, [system("s"), user("A"), assistant("B")]),
    ("prompt_completion", {"prompt": "A", "input": "1, 2", "completion": "B"}, [user("A\n\n1, 2"), assistant("B")]),
    ("prompt_completion", {"prompt": "A ", "context": " c", "completion": "B"}, [user("A \n\n c"), assistant("B")]),
    ("prompt_completion", {"prompt": "A ", "context": " ", "completion": "B"}, [user("A "), assistant("B")]),
    # Parts that are all text are one text; the answer of a tool is a turn of its own.
    (
        "messages",
        {"messages": [user([text_part("a"), "b"]), assistant([text_part("Ho")])]},
        [user("ab"), assistant("Ho")],
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "tool", "value": "42"}, {"from": "gpt", "value": "Ho", "weight": 1, "id": 3}]},
        [{"role": "tool", "content": "42"}, assistant("Ho")],
    ),
    (
        "messages",
        {
            "messages": [
                {"role": "developer", "content": "Be kind"},
                assistant("Ho") | {"tool_calls": [], "refusal": None},
            ]
        },
        [system("Be kind"), assistant("Ho")],
    ),
]


@pytest.mark.parametrize(("name", "row", "expected"), GOOD)
def test_good_rows_become_messages_and_are_recognised(name, row, expected):
    assert FORMATS[name](row) == expected
    assert detect_format(row | {"id": 1, "source": "x"}) == name


def test_every_format_has_a_good_row():
    assert {name for name, _, _ in GOOD} == set(FORMATS)


BAD = [
    ("messages", {}, "messages is missing"),
    ("messages", {"messages": "Hi"}, "messages is of type str, not a list"),
    ("messages", {"messages": []}, "no assistant turn"),
    ("messages", {"messages": [user("Hi")]}, "no assistant turn"),
    ("messages", {"messages": [user("Hi"), assistant(" \n\t")]}, "a turn has no text"),
    ("messages", {"messages": [user(""), assistant("Ho")]}, "a turn has no text"),
    ("messages", {"messages": [user("Hi"), assistant(None)]}, "a turn's content is missing"),
    (
        "messages",
        {"messages": [user([text_part("What is this?"), {"type": "image_url", "image_url": "x"}]), assistant("Ho")]},
        "a turn's content has a part of type 'image_url', which is not text",
    ),
    ("messages", {"messages": [user([3]), assistant("Ho")]}, "a part of a turn's content is of type int, not text"),
    ("messages", {"messages": [user("Hi"), {"role": "judge", "content": "42"}]}, "unknown role 'judge'"),
    ("messages", {"messages": [{"role": "\x1b[2J\n" + "x" * 99}]}, rf"unknown role '\x1b[2J\n{'x' * 18}...{'x' * 10}'"),
    (
        "messages",
        {"messages": [user("Hi"), assistant("Ho") | {"reasoning_content": "Let me see"}]},
        "a turn has reasoning_content, which a role and a text cannot hold",
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "gpt", "value": "Ho", "weight": 0}]},
        "a turn of the assistant has a weight other than 1, which a role and a text cannot hold",
    ),
    (
        "sharegpt",
        {"tools": '[{"name": "f"}]', "conversations": [{"from": "gpt", "value": "Ho"}]},
        "the row has tools, which a role and a text cannot hold",
    ),
    (
        "messages",
        {"system": "a", "messages": [system("b"), assistant("c")]},
        "it has a system text and a system turn that differ",
    ),
    (
        "messages",
        {"system": "a", "system_prompt": "b", "messages": [assistant("c")]},
        "it has both system and system_prompt, which differ",
    ),
    ("messages", {"system": ["a"], "messages": [assistant("c")]}, "system is of type list, not text"),
    ("alpaca", {"instruction": "a", "output": "b", "response": "c"}, "it has both output and response, which differ"),
    ("alpaca", {"instruction": "a", "output": "b", "history": "c"}, "history is of type str, not a list of pairs"),
    (
        "alpaca",
        {"instruction": "a", "output": "b", "history": [["c"]]},
        "history is not a list of pairs of text, an instruction and its response",
    ),
    ("alpaca", {"instruction": "a", "output": "b", "history": [["c", " "]]}, "a turn of the history has no text"),
    ("text", {"text": Unreadable("is not UTF-8")}, "text is not UTF-8"),
    ("text", {"text": "a", "tools": Unreadable("is not UTF-8")}, "tools is not UTF-8"),
    ("messages", {"messages": [user("Hi"), {"content": "Ho"}]}, "unknown role 'None'"),
    ("messages", {"messages": [user("Hi"), "Ho"]}, "a turn is of type str, not an object"),
    ("sharegpt", {"conversations": None}, "conversations is missing"),
    ("sharegpt", {"conversations": [{"from": "human", "value": 3}]}, "a turn's content is of type int, not text"),
    ("alpaca", {"instruction": "", "output": "3"}, "instruction has no text"),
    ("alpaca", {"instruction": "Add", "output": ""}, "output has no text"),
    ("alpaca", {"instruction": "Add"}, "output is missing"),
    ("alpaca", {"instruction": "Add", "input": 7, "output": "3"}, "input is of type int, not text"),
    ("prompt_completion", {"prompt": "A", "completion": None}, "completion is missing"),
    ("prompt_completion", {"prompt": "A", "context": ["c"], "completion": "B"}, "input is of type list, not text"),
    ("prompt_completion", {"prompt": ["A"], "completion": "B"}, "prompt is of type list, not text"),
    ("text", {"text": "\u2003\n"}, "text has no text"),
    ("text", {"text": True}, "text is of type bool, not text"),
]


@pytest.mark.parametrize(("name", "row", "reason"), BAD)
def test_bad_rows_say_why(name, row, reason):
    with pytest.raises(RowError) as error:
        FORMATS[name](row)
    assert str(error.value) == reason


def test_every_format_names_the_columns_that_it_reads():
    for name, row, messages in GOOD:
        columns = columns_of(name, ())
        assert FORMATS[name]({key: value for key, value in row.items() if key in columns}) == messages
        assert columns <= columns_of("auto", ())
    assert columns_of("text", ["quality", "judge"]) >= {"id", "text", "quality", "judge"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", "a"), (7, "7"), (0, "0"), (True, None), (1.5, None), (None, None), ("", None), ([], None)],
)
def test_only_text_and_whole_numbers_are_ids(value, expected):
    assert row_id({"id": value}) == expected
