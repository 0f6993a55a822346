"""Epochs of one warm-up side by side: the table by hand, what is kept and refused, and a comparison from end to end."""

import csv
import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mygo.comparison.__main__ as command
from mygo.comparison.epochs import (
    EpochCell,
    chosen_epochs,
    compare_epochs,
    keep,
    kept,
    measured,
    selected_rows,
    with_overlap,
    write_epochs,
)
from mygo.comparison.workspace import open_workspace
from mygo.errors import UserError
from tests.comparison.test_workspace import ROOT, SMALL, stages_run

CELL = EpochCell("key", 0, 1, 0.6, 0.55, 2, 8, "a machine")


def four_cells():
    """Two epochs of two seeds, with what each has selected of eight rows."""
    cells = [
        replace(CELL, seed=seed, epoch=epoch, auc=0.5 + 0.1 * epoch + 0.02 * seed)
        for seed in (0, 1)
        for epoch in (1, 2)
    ]
    rows = {(0, 1): [1, 2], (0, 2): [2, 3], (1, 1): [4, 5], (1, 2): [4, 5]}
    return with_overlap(cells, {key: np.array(value) for key, value in rows.items()})


def test_overlap_is_with_the_last_epoch_of_the_same_seed():
    assert {(cell.seed, cell.epoch): cell.overlap for cell in four_cells()} == {
        (0, 1): 0.5, (0, 2): 1.0, (1, 1): 1.0, (1, 2): 1.0,
    }  # fmt: skip


def test_the_table_by_hand(tmp_path):
    text = write_epochs(four_cells(), tmp_path / "out")
    lines = text.splitlines()
    assert lines[0].endswith("| share of its selection that epoch 2 keeps too |")
    # epoch 1: AUC .60 and .62, overlap .5 and 1: sd .5 / sqrt 2
    assert lines[2] == "| 1 | 0.610 ± 0.014 | 0.550 ± 0.000 | 0.750 ± 0.354 |"
    assert lines[3] == "| 2 | 0.710 ± 0.014 | 0.550 ± 0.000 | 1.000 ± 0.000 |"
    assert "Two selections of 25% by chance have 0.250 of each other." in text
    assert "a machine" in text
    with (tmp_path / "out/epochs.csv").open() as file:
        assert [(row["seed"], row["epoch"], row["overlap"]) for row in csv.DictReader(file)] == [
            ("0", "1", "0.5"), ("0", "2", "1.0"), ("1", "1", "1.0"), ("1", "2", "1.0"),
        ]  # fmt: skip
    assert json.loads((tmp_path / "out/epochs.json").read_text())["1"]["accuracy"] is None


def test_accuracy_has_a_column_where_it_was_measured(tmp_path):
    cells = [replace(CELL, accuracy=0.5, overlap=1.0), replace(CELL, epoch=2, auc=None, clean=None, overlap=1.0)]
    lines = write_epochs(cells, tmp_path).splitlines()
    assert lines[0].endswith("| accuracy after fine-tuning |")
    assert lines[2] == "| 1 | 0.600 | 0.550 | 1.000 | 0.500 |"
    assert lines[3] == "| 2 | n/a | n/a | 1.000 | n/a |"


def test_an_epoch_is_kept_for_its_params_and_code_and_for_what_was_asked(tmp_path):
    keep(CELL, np.array([1, 4]), tmp_path, "one")
    assert kept(tmp_path, "one", "key", finetune=False) == CELL
    assert kept(tmp_path, "one", "key", finetune=True) is None
    assert kept(tmp_path, "one", "other", finetune=False) is None
    assert kept(tmp_path, "two", "key", finetune=False) is None
    keep(replace(CELL, accuracy=0.5), np.array([1, 4]), tmp_path, "one")
    assert kept(tmp_path, "one", "key", finetune=True) == replace(CELL, accuracy=0.5)


def test_what_is_read_of_a_run(tmp_path):
    for folder in ("metrics", "data/selected"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "metrics/select.json").write_text(json.dumps({"auc": 0.6, "precision_at_budget": 0.55, "selected": 2}))
    (tmp_path / "metrics/eval.json").write_text(json.dumps({"mmlu": {"acc": 0.75}}))
    selected = [False, True, False, False, True, False, False, False]
    pq.write_table(pa.table({"selected": selected}), tmp_path / "data/selected/scores.parquet")
    params = {"seed": 0, "eval": {"tasks": ["mmlu"]}}
    assert selected_rows(tmp_path).tolist() == [1, 4]
    cell = replace(measured(params, tmp_path, "key", 1, False), machine="a machine")
    assert cell == CELL
    assert measured(params, tmp_path, "key", 1, True).accuracy == 0.75


def test_epochs_are_all_of_the_warm_up_or_those_named():
    params = {"warmup": {"epochs": 3}, "collect": {"base_model": None}}
    assert chosen_epochs(params, None) == chosen_epochs(params, []) == [1, 2, 3]
    assert chosen_epochs(params, [3, 1, 3]) == [1, 3]
    with pytest.raises(UserError, match=r"^--epochs: got 4; takes numbers from 1 to warmup\.epochs=3$"):
        chosen_epochs(params, [1, 4])
    with pytest.raises(UserError, match=r"^--epochs: collect\.base_model=gpt2 grades, and no epoch; takes "):
        chosen_epochs({**params, "collect": {"base_model": "gpt2"}}, [1])


def test_fine_tuning_is_of_epochs_only(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mygo.comparison", "--finetune"])
    with pytest.raises(SystemExit):
        command.main()
    assert "error: --finetune: goes with --epochs" in capsys.readouterr().err


@pytest.mark.slow
def test_epochs_share_a_warm_up_and_are_not_fine_tuned(tmp_path):
    workspace = open_workspace(ROOT, tmp_path / "repository", tmp_path / "cache")
    settings = [*SMALL, "warmup.epochs=2"]
    cells = compare_epochs(workspace, None, [0], settings, False, tmp_path)
    assert [(cell.epoch, cell.rows, cell.kept) for cell in cells] == [(1, 200, 50), (2, 200, 50)]
    assert stages_run(tmp_path / "logs/epoch_1-seed0.log") == ["prepare", "convert", "warmup", "collect", "select"]
    assert stages_run(tmp_path / "logs/epoch_2-seed0.log") == ["collect", "select"]
    assert 0.25 < cells[0].overlap <= cells[1].overlap == 1.0
    assert cells[0].auc is not None
    again = compare_epochs(workspace, [1, 2], [0], settings, False, tmp_path)
    assert again == cells
    assert "| 1 |" in write_epochs(cells, tmp_path)
