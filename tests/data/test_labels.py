"""Labels as text: what a user would call the same label is the same text."""

from decimal import Decimal

import pytest

from mygo.data import pool as pool_module
from mygo.data.labels import label_text, read_label_columns
from mygo.data.pool import write_pool
from mygo.data.records import RowError, Sample


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", ""),
        ("good", "good"),
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (0.1, "0.1"),
        (float("nan"), None),
        (float("-inf"), "-inf"),
        (-0.0, "0"),
        (1e-05, "0.00001"),
        (Decimal("2.50"), "2.5"),
    ],
)
def test_labels_become_text(value, expected):
    assert label_text(value) == expected


@pytest.mark.parametrize(
    "same",
    [
        (1, 1.0, "1", "1.0", "1.00", Decimal("1.0")),
        (-3, -3.0, "-3.0"),
        (0.5, "0.5", "0.50"),
        (10**17, 1e17, "100000000000000000"),
        (True, "true", "True", "TRUE"),
    ],
)
def test_the_same_label_in_other_words(same):
    assert len({label_text(value) for value in same}) == 1


@pytest.mark.parametrize("text", ["007", "1e3", "1.", ".5", "+1", "Good", " 1", "1_000", "\u0661"])
def test_other_texts_stay_as_they_are(text):
    assert label_text(text) == text


def test_true_is_not_one():
    assert label_text(True) != label_text(1)


def test_a_nested_label_is_refused():
    with pytest.raises(RowError, match="the label is of type list"):
        label_text([1])


def test_label_columns_are_read_in_the_order_of_the_pool_across_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "POOL_PART_ROWS", 2)
    said = [(("human", "1"), ("judge", None)), (), (("human", None), ("judge", "4.5")), (("human", "0"),)]
    messages = [{"role": "assistant", "content": "a"}]
    write_pool([Sample("s", i, f"s_{i}", messages, None, labels) for i, labels in enumerate(said)], tmp_path)
    assert read_label_columns(tmp_path) == {"human": ["1", None, None, "0"], "judge": [None, None, "4.5", None]}


def test_a_pool_without_labels_has_no_label_column(tmp_path):
    write_pool([Sample("s", 0, "s_0", [{"role": "assistant", "content": "a"}], None)], tmp_path)
    assert read_label_columns(tmp_path) == {}
