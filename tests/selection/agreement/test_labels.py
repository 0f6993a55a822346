"""Columns of labels as numbers, and labels joined from a user's file."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mygo.errors import UserError
from mygo.selection.agreement.labels import joined_columns, read_label


@pytest.mark.parametrize(
    ("texts", "good", "above", "expected"),
    [
        (["true", "false", None], None, None, [1, 0, None]),
        (["no", "Yes"], None, None, [0, 1]),
        (["0", "1", "1"], None, None, [0, 1, 1]),
        (["2.5", "-1"], None, None, [1, 0]),
        (["clean", "wrong", "cut", None], "Clean", None, [1, 0, 0, None]),
        (["3", "1", "2"], "2.0", None, [0, 0, 1]),
        (["true", "false"], "false", None, [0, 1]),
        (["true", "false"], "clean", None, [1, 0]),  # a good value that another label has
        (["0.5", "0.75", "1"], None, 0.75, [0, 1, 1]),
        (["0", "1"], None, 0.5, [0, 1]),
    ],
)
def test_which_values_are_good(texts, good, above, expected):
    label = read_label("x", texts, good, above)
    assert [None if text is None else bool(is_good) for text, is_good in zip(texts, label.good_N, strict=True)] == [
        None if value is None else bool(value) for value in expected
    ]
    assert np.isnan(label.value_N).tolist() == [value is None for value in expected]


def test_numbers_are_taken_as_they_are():
    label = read_label("rank", ["-2", "0", None, "0.5"], "clean", None)
    assert label.numbers
    assert label.good_N is None
    assert label.value_N[[0, 1, 3]].tolist() == [-2, 0, 0.5]
    assert math.isnan(label.value_N[2])


def test_small_numbers_as_csv_writes_them():
    label = read_label("reward", ["3e-05", "0.5", "-1.25E+2", None], "clean", None)
    assert label.value_N[:3].tolist() == [3e-05, 0.5, -125]


def test_numbers_with_a_threshold_stay_numbers():
    label = read_label("quality", ["0.25", "0.5", "1"], None, 0.5)
    assert label.numbers
    assert label.value_N.tolist() == [0.25, 0.5, 1]


@pytest.mark.parametrize("above", [7.0, 1.0])
def test_a_threshold_that_is_meant_for_another_label(above):
    label = read_label("x", ["1", "2", "3"], None, above)
    assert label.good_N is None
    assert label.meaning == f"a number, higher is better; {above:g} does not divide it"


@pytest.mark.parametrize(
    ("texts", "good", "above", "sentence"),
    [
        (["a", None], None, None, "--label: x has a for a value; takes a label of two values or more"),
        ([None], None, None, "--label: x has none for a value"),
        (["a", "b", "c"], "d", None, "--good: takes the good value of label x, one of a, b, c; got d"),
        (["Good", "good"], "good", None, "all samples with label x are good"),
    ],
)
def test_what_is_no_label_is_one_sentence(texts, good, above, sentence):
    with pytest.raises(UserError, match=sentence.replace("(", r"\(")):
        read_label("x", texts, good, above)


def test_labels_of_a_file_are_joined_by_id(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("key,stars,nice\nb_1,3,True\nb_0,1.0,False\n7,5,\n")
    joined = joined_columns(path, "key", ["b_0", "a", "b_1", "7.0"])
    assert joined.columns == {"stars": ["1", None, "3", "5"], "nice": ["false", None, "true", None]}
    assert (joined.found, joined.unreadable) == (3, 0)


def test_parquet_and_nested_values(tmp_path):
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"id": [0, 1], "kept": [True, None], "turns": [["a"], []]}), path)
    assert joined_columns(path, "id", ["1", "0"]).columns == {"kept": [None, "true"], "turns": [None, None]}


def test_rows_that_cannot_be_read_are_counted_and_an_index_is_no_label(tmp_path):
    path = tmp_path / "labels.csv"  # as pandas writes it
    path.write_text(",id,x\n0,1,5\n1,2\n2,3,6\n")
    joined = joined_columns(path, "id", ["1", "2", "3"])
    assert (joined.columns, joined.found, joined.unreadable) == ({"x": ["5", None, "6"]}, 2, 1)


@pytest.mark.parametrize(
    ("text", "id_column", "sentence"),
    [
        ("id,x\n1,2\n1,3\n", "id", "has the id 1 twice"),
        ("id,x\n1,2\n", "key", "--id-column: got key; the columns of .*labels.csv are id, x"),
        ("id,x\n8,2\n9,2\n", "id", "none of the pool's ids is in column id of .*; the first are 1 and 8"),
    ],
)
def test_a_file_that_cannot_be_joined_is_one_sentence(tmp_path, text, id_column, sentence):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        joined_columns(path, id_column, ["1", "2"])
