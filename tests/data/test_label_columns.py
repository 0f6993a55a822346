"""The columns of a source that hold labels: from a file to a sample."""

import pytest

from mygo.errors import UserError
from mygo.params import check_params
from tests.data.test_sources import GOOD, read, write_lines
from tests.launch.test_inputs import composed


def test_of_several_label_columns_the_first_is_the_label(tmp_path):
    write_lines(tmp_path / "a.jsonl", GOOD | {"human": 1, "judge": 4.5}, GOOD | {"judge": "3"}, GOOD)
    assert [(row.label, row.labels) for row in read(tmp_path, label_columns=["human", "judge"])] == [
        ("1", (("human", "1"), ("judge", "4.5"))),
        (None, (("human", None), ("judge", "3"))),
        (None, (("human", None), ("judge", None))),
    ]
    with pytest.raises(UserError, match=r"prepare.label_column: got 'jury'; the columns there are human, judge, text"):
        read(tmp_path, label_columns=["judge", "jury"])


def test_labels_of_json_and_csv_are_the_same(tmp_path):
    write_lines(tmp_path / "a.jsonl", GOOD | {"label": 1}, GOOD | {"label": 1.0}, GOOD | {"label": None})
    (tmp_path / "b.csv").write_text("text,label\ngood,1.0\ngood,1\ngood,\n")
    rows = read(tmp_path, label_columns=["label"])
    assert [row.label for row in rows] == ["1", "1", None, "1", "1", None]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["judge", "judge"], r"prepare.label_column: got \['judge', 'judge'\]; takes each column once"),
        ([], r"prepare.label_column: got \[\]; takes null, a name, or a list of names$"),
        ([1], r"prepare.label_column: got \[1\]; takes a valid string"),
    ],
)
def test_label_columns_that_are_none_are_refused(named, message):
    raw = composed()
    raw["prepare"]["label_column"] = named
    with pytest.raises(UserError, match=message):
        check_params(raw)
