"""The good label, in whatever way it is written."""

import pyarrow as pa
import pytest

from mygo.selection.report import read_labels


@pytest.mark.parametrize("good", [1, 1.0, "1", "1.0"])
def test_a_good_label_is_compared_as_the_number_that_it_is(good):
    # The pool holds labels as `mygo.data.labels.label_text` writes them.
    assert read_labels(pa.chunked_array([["1", "0", None, "true"]]), good).good_N.tolist() == [
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("good", [True, "true", "True"])
def test_a_good_label_may_be_true(good):
    assert read_labels(pa.chunked_array([["1", "true"]]), good).good_N.tolist() == [False, True]
