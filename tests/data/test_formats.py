"""Row formats against rows written by hand."""

import pytest

from mygo.data.formats import FORMATS, RowError, detect_format, label_text, row_id


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


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
        {"messages": [user("Hi"), assistant([{"type": "text", "text": "Ho"}])]},
        "a turn's content is of type list, not text",
    ),
    ("messages", {"messages": [user("Hi"), {"role": "tool", "content": "42"}, assistant("Ho")]}, "unknown role 'tool'"),
    ("messages", {"messages": [user("Hi"), {"content": "Ho"}]}, "unknown role 'None'"),
    ("messages", {"messages": [user("Hi"), "Ho"]}, "a turn is of type str, not an object"),
    ("sharegpt", {"conversations": None}, "conversations is missing"),
    ("sharegpt", {"conversations": [{"from": "human", "value": 3}]}, "a turn's content is of type int, not text"),
    ("alpaca", {"instruction": "", "output": "3"}, "instruction has no text"),
    ("alpaca", {"instruction": "Add", "output": ""}, "output has no text"),
    ("alpaca", {"instruction": "Add"}, "output is missing"),
    ("alpaca", {"instruction": "Add", "input": 7, "output": "3"}, "input is of type int, not text"),
    ("prompt_completion", {"prompt": "A", "completion": None}, "completion is missing"),
    ("prompt_completion", {"prompt": ["A"], "completion": "B"}, "prompt is of type list, not text"),
    ("text", {"text": "\u2003\n"}, "text has no text"),
    ("text", {"text": True}, "text is of type bool, not text"),
]


@pytest.mark.parametrize(("name", "row", "reason"), BAD)
def test_bad_rows_say_why(name, row, reason):
    with pytest.raises(RowError) as error:
        FORMATS[name](row)
    assert str(error.value) == reason


def test_the_richer_format_wins():
    assert detect_format({"prompt": "p", "completion": "c", "text": "t", "messages": []}) == "messages"


def test_a_row_of_no_format_names_its_columns():
    with pytest.raises(RowError, match=r"its columns \(question, answer\) fit none of the formats messages, sharegpt"):
        detect_format({"question": "q", "answer": "a"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", "a"), (7, "7"), (0, "0"), (True, None), (1.5, None), (None, None), ("", None), ([], None)],
)
def test_only_text_and_whole_numbers_are_ids(value, expected):
    assert row_id({"id": value}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("", ""), ("good", "good"), (True, "true"), (False, "false"), (1, "1"), (0.1, "0.1"), (4.0, "4.0")],
)
def test_labels_become_text(value, expected):
    assert label_text(value) == expected


def test_a_nested_label_is_refused():
    with pytest.raises(RowError, match="the label is of type list"):
        label_text([1])
