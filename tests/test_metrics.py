"""Metrics and plot files."""

import json

import numpy as np
import pytest

from mygo.errors import UserError
from mygo.metrics import LONGEST, harmless, write_metrics, write_plot


def test_metrics_are_sorted_rounded_and_end_with_a_newline(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_metrics(
        path, {"b": 1 / 3, "a": {"y": np.float32(0.1), "x": np.int64(3)}, "c": [True, None, "größer"], "d": -1e-9}
    )
    expected = (
        '{\n  "a": {\n    "x": 3,\n    "y": 0.1\n  },\n  "b": 0.333333,\n  '
        '"c": [\n    true,\n    null,\n    "größer"\n  ],\n  "d": 0.0\n}\n'
    )
    assert path.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("-inf")])
def test_not_finite_is_refused_by_name_and_leaves_the_old_file(tmp_path, value):
    path = tmp_path / "a.json"
    write_metrics(path, {"loss": 1})
    with pytest.raises(
        UserError, match=r"a\.json: outer\.losses\[1\]: got (nan|inf|-inf); a metric takes a finite number"
    ):
        write_metrics(path, {"outer": {"losses": [1.0, value]}})
    assert json.loads(path.read_text()) == {"loss": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_what_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"shape: set is neither"):
        write_metrics(tmp_path / "a.json", {"shape": {1, 2}})


def test_plot_rows(tmp_path):
    path = tmp_path / "new" / "a.csv"
    write_plot(
        path, [{"step": 1, "loss": 2 / 3, "name": "a,b"}, {"name": None, "loss": np.float64(0.5), "step": np.int64(2)}]
    )
    assert path.read_bytes() == b'step,loss,name\n1,0.666667,"a,b"\n2,0.5,\n'


def test_plots_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    with pytest.raises(ValueError, match="at least one row"):
        write_plot(path, [])
    with pytest.raises(ValueError, match="row 1 has the columns"):
        write_plot(path, [{"x": 1}, {"x": 1, "y": 2}])
    with pytest.raises(UserError, match=r"a\.csv: row 0, x: got nan"):
        write_plot(path, [{"x": float("nan")}])
    with pytest.raises(ValueError, match="row 0 has the columns"):
        write_plot(path, [{"x": 1}], ("y",))
    assert not list(tmp_path.iterdir())


def test_a_plot_may_have_columns_and_no_row(tmp_path):
    write_plot(tmp_path / "a.csv", [], ("step", "loss"))
    assert (tmp_path / "a.csv").read_text() == "step,loss\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("professional_law", "professional_law"),
        ("größer > 🙂 & „so“", "größer > 🙂 & „so“"),
        ("</script>", "\u2039/script>"),
        ("<!-- a < b", "\u2039!-- a \u2039 b"),
        ("\x1b[31m\r\n", "\\x1b[31m\\r\\n"),
        ("\u2028\u202e\ud800\x00", "\\u2028\\u202e\\ud800\\x00"),
        ("x" * LONGEST, "x" * LONGEST),
        ("x" * (LONGEST + 1), "x" * (LONGEST - 1) + "…"),
    ],
)
def test_names_from_data_are_made_harmless(text, expected):
    assert harmless(text) == expected


def test_names_are_harmless_wherever_they_stand(tmp_path):
    write_metrics(tmp_path / "a.json", {"<b": {"c\n": ["</script>", {"d": "\ud800"}]}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"\u2039b": {"c\\n": ["\u2039/script>", {"d": "\\ud800"}]}}
    write_plot(tmp_path / "a.csv", [{"label": "<!--", "n": 1}])
    assert (tmp_path / "a.csv").read_text() == "label,n\n\u2039!--,1\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "metrics").touch()
    for write, name, values in ((write_metrics, "a.json", {"x": 1}), (write_plot, "a.csv", [{"x": 1}])):
        with pytest.raises(UserError, match=rf"metrics/{name}: cannot be written \((Not a directory|File exists)\)"):
            write(tmp_path / "metrics" / name, values)
    (tmp_path / "b.json").mkdir()
    with pytest.raises(UserError, match=r"b\.json: cannot be written \(Is a directory\)"):
        write_metrics(tmp_path / "b.json", {"x": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json", "metrics"]
