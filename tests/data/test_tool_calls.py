"""Calls of tools from the spellings that files have them in, through the pool, to tokens, masks and the selection."""

import json

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mygo.collection.collect import COLUMNS, encode_shard
from mygo.data.encoding import Encoder
from mygo.data.files import find_files
from mygo.data.formats import FORMATS
from mygo.data.pool import iter_batches, write_pool
from mygo.data.readers import read_rows
from mygo.data.records import Rejected, RowError, from_records
from mygo.data.sources import SourceFile, read_files
from mygo.selection.choosing import Chosen
from mygo.selection.grading import Graded
from mygo.selection.result.output import scores_table, write_selection
from tests.data.template_tokenizers import template_tokenizer

ARGUMENTS = {"city": "Bern", "days": [1, 2.5], "deep": {"a": None}}
FUNCTION = {"name": "look_up", "arguments": ARGUMENTS}
CALL = {"type": "function", "function": FUNCTION}
TEXT = json.dumps(FUNCTION)
HI = {"role": "user", "content": "Hi?"}
SEVEN = {"role": "tool", "content": "7 C"}
YO = {"role": "assistant", "content": "Yo."}


def called(*calls, content=""):
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def messages_of(turn, name="messages"):
    return FORMATS[name]({"messages" if name == "messages" else "conversations": [HI, turn, SEVEN, YO]})


GOOD = [
    ({"role": "assistant", "content": None, "tool_calls": [CALL | {"id": "c1"}]}, called(CALL | {"id": "c1"})),
    ({"role": "assistant", "content": "Hm.", "tool_calls": [CALL, CALL]}, called(CALL, CALL, content="Hm.")),
    ({"role": "assistant", "content": "", "tool_calls": [FUNCTION]}, called(CALL)),
    ({"role": "assistant", "tool_calls": json.dumps([CALL])}, called(CALL)),
    (
        {"role": "assistant", "tool_calls": [{"function": {"name": "look_up", "arguments": json.dumps(ARGUMENTS)}}]},
        called(CALL),
    ),
    (
        {
            "role": "assistant",
            "content": [],
            "tool_calls": [{"id": None, "type": None, "index": 0, "function": FUNCTION | {"strict": None}}],
            "function_call": {"name": None, "arguments": None},
        },
        called({"index": 0} | CALL),
    ),
    ({"role": "assistant", "content": None, "function_call": FUNCTION | {"arguments": "{}"}}, None),
    ({"role": "assistant", "content": None, "tool_call": FUNCTION}, called(CALL)),
    ({"from": "function_call", "value": TEXT}, called(CALL)),
    ({"from": "Tool_Call", "value": f" {TEXT}\n"}, called(CALL)),
    ({"from": "tool_calls", "value": f"[{TEXT}, {TEXT}]"}, called(CALL, CALL)),
    ({"role": "function_call", "content": FUNCTION}, called(CALL)),
]


@pytest.mark.parametrize(("turn", "expected"), GOOD)
def test_calls_in_any_spelling_are_one_list(turn, expected):
    expected = expected or called({"type": "function", "function": {"name": "look_up", "arguments": {}}})
    assert messages_of(turn) == messages_of(turn, "sharegpt") == [HI, expected, SEVEN, YO]


BAD = [
    (
        {"from": "function_call", "value": "look_up(Bern)"},
        "the content of a function_call is not the JSON of a tool call",
    ),
    ({"from": "function_call", "value": "7"}, "the content of a function_call is of type int, not a tool call"),
    ({"from": "function_call", "value": None}, "the content of a function_call is missing"),
    ({"from": "tool_calls", "value": "[]"}, "the content of a tool_calls holds no tool call"),
    (
        {"from": "function_call", "value": TEXT, "tool_calls": [CALL]},
        "a turn of function_call has calls beside its content",
    ),
    ({"from": "function_call", "value": '{"name": "f"}'}, "the arguments of a tool call are not an object"),
    (called({"name": "f", "arguments": "Bern"}), "the arguments of a tool call are not an object"),
    (called({"name": "f", "arguments": "[1]"}), "the arguments of a tool call are not an object"),
    (called({"function": {"arguments": {}}, "id": "a"}), "a tool call names no function"),
    (called({"function": "f", "id": "a"}), "the function of a tool call is of type str, not an object"),
    (called({"type": "custom\n", "name": "f"}), r"a tool call is of type 'custom\n', not function"),
    (called("f"), "a tool call is of type str, not an object"),
    (called({"name": "f", "arguments": {"a": b"\xff"}}), "a tool call cannot be written as JSON (Type is not JSON"),
    (called(CALL) | {"function_call": FUNCTION}, "a turn has both tool_calls and function_call"),
    (called(CALL) | {"role": "user"}, "a turn of the user has tool calls, which only the assistant makes"),
    (called(CALL) | {"role": "tool"}, "a turn of the tool has tool calls, which only the assistant makes"),
    (called(CALL, content=3), "a turn's content is of type int, not text"),
    (called() | {"content": None}, "a turn's content is missing"),
]


@pytest.mark.parametrize(("turn", "reason"), BAD)
def test_calls_that_are_not_understood_are_rejected_by_name(turn, reason):
    with pytest.raises(RowError) as error:
        messages_of(turn)
    assert str(error.value).startswith(reason)


def samples_of(path):
    files = [SourceFile(file.source_dataset, file.name, read_rows(file.path)) for file in find_files(path).files]
    return list(read_files({"here": files}, "auto", ()))


ROWS = [
    {"messages": [HI, called(CALL), SEVEN, YO]},
    {"messages": [HI, YO]},
    {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "function_call", "value": TEXT}]},
]
CONVERSATIONS = [ROWS[0]["messages"], ROWS[1]["messages"], [HI, called(CALL)]]


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    write_pool(samples_of(path), tmp_path / "pool")
    return tmp_path / "pool"


def test_the_pool_gives_back_what_the_file_held(pool):
    column = next(iter_batches(pool, ["messages"], 10))["messages"]
    assert from_records(column) == CONVERSATIONS
    assert from_records(pa.chunked_array([column])) == CONVERSATIONS


def test_parquet_fills_the_keys_that_a_call_lacks_and_they_are_left_out(tmp_path):
    turns = [HI, called(CALL | {"id": "c1"}), called(FUNCTION), YO]
    pq.write_table(pa.Table.from_pylist([{"messages": turns}]), tmp_path / "a.parquet")
    (sample,) = samples_of(tmp_path)
    assert sample.messages == [HI, called(CALL | {"id": "c1"}), called(CALL), YO]


def test_descriptions_of_tools_are_still_rejected_by_name(tmp_path):
    lines = [{"messages": CONVERSATIONS[0], "tools": [{"name": "look_up"}]}, ROWS[1]]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    rejected = samples_of(tmp_path)[0]
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "the row has tools, which a role and a text cannot hold"


def test_from_file_to_tokens_where_the_template_takes_calls(pool):
    tokenizer = template_tokenizer("qwen2_5")
    batch = next(iter_batches(pool, COLUMNS, 10))
    encoded = encode_shard(Encoder(tokenizer, 1000), 0, batch).encoded
    assert [sample.rejected for sample in encoded] == [None] * 3
    call = f'<tool_call>\n{{"name": "look_up", "arguments": {json.dumps(ARGUMENTS)}}}\n</tool_call><|im_end|>'
    for sample, chat, answer in zip(
        encoded, CONVERSATIONS, [f"{call}Yo.<|im_end|>", "Yo.<|im_end|>", call], strict=True
    ):
        assert sample.input_ids.tolist() == tokenizer.apply_chat_template(chat)["input_ids"]
        assert tokenizer.decode(sample.input_ids[sample.answer]) == answer


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("plain", "the plain format does not render tool turns"),
        ("llama_3", "the chat template does not render tool turns"),
    ],
)
def test_from_file_to_a_reason_where_nothing_renders_calls(pool, name, reason):
    encoded = encode_shard(Encoder(template_tokenizer(name), 1000), 0, next(iter_batches(pool, COLUMNS, 10))).encoded
    assert [sample.rejected for sample in encoded] == [reason, None, reason]


def test_the_selection_holds_real_calls_and_its_text_all_of_them(pool, tmp_path):
    keys = pa.Table.from_batches(iter_batches(pool, ["source_dataset", "source_index", "id", "label"], 10))
    ranked = np.arange(3)
    none = np.full(3, -1)
    chosen = Chosen(np.ones(3, bool), none, none, np.zeros(3, bool), 3, None)
    scores = scores_table(keys, Graded(ranked, np.ones(3), np.ones(3), ranked), chosen, ["", "", ""])
    write_selection(tmp_path / "out", pool, scores, ranked)
    lines = [orjson.loads(line) for line in (tmp_path / "out" / "selected.jsonl").read_bytes().splitlines()]
    assert [line["messages"] for line in lines] == CONVERSATIONS
    assert lines[0]["text"] == (
        f"<|user|>\nHi?\n<|assistant|>\n{json.dumps([CALL])}\n<|tool|>\n7 C\n<|assistant|>\nYo.\n"
    )
    assert lines[1]["text"] == "<|user|>\nHi?\n<|assistant|>\nYo.\n"
