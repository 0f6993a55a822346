"""The real data sets that may lie beside the repository, read whole."""

from collections import Counter
from pathlib import Path

import pytest

from mygo.data.records import Rejected, Sample
from mygo.data.sources import read_pool_source
from mygo.errors import UserError
from mygo.params import load_params

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


def read(path, label_column: str | list[str] | None = None):
    """The rows of a folder, without the notes that lie beside the data."""
    changes = {"source": "local", "path": str(path), "label_column": label_column}
    source = read_pool_source(load_params(PARAMS).prepare.model_copy(update=changes))
    return [row for row in source if isinstance(row, Sample | Rejected)]


def test_less_layout_of_real_data(shared_data):
    rows = read(shared_data / "less_like" / "train" / "processed")
    assert Counter(row.source_dataset for row in rows) == {"cot": 420, "dolly": 300, "flan_v2": 283, "oasst1": 926}
    # Seven of flan_v2 have an empty answer.
    assert Counter((row.source_dataset, row.reason) for row in rows if isinstance(row, Rejected)) == {
        ("flan_v2", "a turn has no text"): 7
    }
    samples = [row for row in rows if isinstance(row, Sample)]
    assert all(row.id == f"{row.source_dataset}_{row.source_index}" for row in samples)
    assert rows[0].messages[0]["role"] == "user"


def test_all_of_alpaca(shared_data):
    rows = read(shared_data / "alpaca", label_column="in_alpagasus_claude_t45")
    assert [row.source_index for row in rows] == list(range(52_002))
    assert Counter(row.reason for row in rows if isinstance(row, Rejected)) == {"output has no text": 28}
    # AlpaGasus kept 5,305 rows, four of which have an empty output.
    assert Counter(row.label for row in rows if isinstance(row, Sample)) == {"true": 5301, "false": 51_974 - 5301}
    assert rows[0].messages[0]["content"] == "Give three tips for staying healthy."


def test_dolly_puts_the_context_after_the_instruction(shared_data):
    rows = read(shared_data / "dolly")
    assert len(rows) == 15_015
    assert (
        rows[0]
        .messages[0]["content"]
        .startswith("When did Virgin Australia start operating?\n\nVirgin Australia, the trading name")
    )


def test_completions_keep_their_end_of_text(shared_data):
    rows = read(shared_data / "t0_p3")
    assert len(rows) == 55_185
    assert rows[0].messages[1]["content"] == "subjective idealism<|endoftext|>"


@pytest.mark.parametrize(("folder", "samples"), [("oasst1_val_en", 2022), ("gpteacher", 14_131), ("text_corpus", 348)])
def test_other_layouts(shared_data, folder, samples):
    assert sum(isinstance(row, Sample) for row in read(shared_data / folder)) == samples


@pytest.mark.parametrize("folder", ["flan_cot", "gsm8k"])
def test_questions_and_answers_are_no_conversations(shared_data, folder):
    with pytest.raises(UserError, match=r"its columns \(.*question, .*\) fit none of the formats"):
        read(shared_data / folder)


def test_alpaca_says_what_three_selections_kept(shared_data):
    kept = ["in_cherry_5pct", "in_alpagasus_claude_t45", "cherry_5pct_pos"]
    rows = [row for row in read(shared_data / "alpaca", label_column=kept) if isinstance(row, Sample)]
    assert [name for name, _ in rows[0].labels] == kept
    assert all(row.label == row.labels[0][1] for row in rows)
    assert Counter(row.label for row in rows)["true"] == 3111
    assert all((row.labels[0][1] == "true") is (row.labels[2][1] is not None) for row in rows)
