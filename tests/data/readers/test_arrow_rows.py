"""Parquet: which columns are read, and values that Python has no type for."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mygo.data.readers import read_rows
from mygo.data.records import Row, Unreadable

ROWS = [{"text": f"row {number}", "n": number} for number in range(3)]
NUMBERED = [Row(number, row) for number, row in enumerate(ROWS, 1)]
FAR = 2**50  # seconds or days: beyond every date that Python knows


def test_parquet_rows(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=2)
    assert list(read_rows(tmp_path / "a.parquet")) == NUMBERED


def test_only_the_columns_asked_for_are_read_and_the_others_keep_their_names(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert list(read_rows(tmp_path / "a.parquet", frozenset({"text", "other"}))) == [
        Row(number, {"text": row["text"], "n": None}) for number, row in enumerate(ROWS, 1)
    ]
    assert list(read_rows(tmp_path / "a.parquet", frozenset({"other"}))) == [
        Row(number, {"text": None, "n": None}) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    "bad",
    [
        pa.array([FAR, 0], pa.timestamp("s")),
        pa.array([2**31 - 1, 0], pa.date32()),
        pa.array([FAR, 0], pa.duration("s")),
        pa.array([0, None], pa.timestamp("s", tz="Mars/Olympus_Mons")),
    ],
    ids=["timestamp", "date", "duration", "zone"],
)
def test_what_python_has_no_type_for_costs_nothing_where_nobody_asks_and_one_value_where_one_does(tmp_path, bad):
    pq.write_table(pa.table({"text": ["a", "b"], "when": bad}), tmp_path / "a.parquet")
    assert [row.value for row in read_rows(tmp_path / "a.parquet", frozenset({"text"}))] == [
        {"text": "a", "when": None},
        {"text": "b", "when": None},
    ]
    first, second = (row.value for row in read_rows(tmp_path / "a.parquet"))
    assert (first["text"], second["text"]) == ("a", "b")
    assert isinstance(first["when"], Unreadable)
    assert first["when"].reason.startswith("cannot be read (")
    assert not isinstance(second["when"], Unreadable)


def test_text_of_parquet_that_is_not_utf8_costs_only_its_value(tmp_path):
    # Arrow does not look into strings that it is handed as buffers.
    binary = pa.array([b"good"] * 1500 + [b"\xff\xfe", b"fine"])
    text = pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    rows = list(read_rows(tmp_path / "a.parquet"))
    assert [row.line for row in rows] == list(range(1, 1503))
    assert rows[1499:] == [
        Row(1500, {"text": "good"}),
        Row(1501, {"text": Unreadable("is not UTF-8")}),
        Row(1502, {"text": "fine"}),
    ]
