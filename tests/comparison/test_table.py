"""Cells and the table, by hand: what is read, kept, shown and written."""

import csv
import json
from dataclasses import replace

import pytest

from mygo.comparison.cells import Cell, Strategy, keep, kept, measured, parse_strategy
from mygo.comparison.table import summarise, write_table
from mygo.errors import UserError

CELL = Cell("key", "quality", 0, 0.7, 0.65, 750, 0.6, 0.5, 0.1, 0.02, 480, "a machine")


def cells():
    quality = [replace(CELL, seed=seed, accuracy=a, gain=a - 0.5) for seed, a in ((0, 0.60), (1, 0.64))]
    random = [
        replace(cell, strategy="random", auc=None, accuracy=a) for cell, a in zip(quality, (0.58, 0.58), strict=True)
    ]
    return quality + random


def test_a_row_by_hand():
    row = summarise(cells(), "quality", "random")
    assert (row["accuracy"].mean, row["accuracy"].sd) == pytest.approx((0.62, 0.04 / 2**0.5))
    # d = (0.02, 0.06): mean 0.04, sd 0.02 sqrt(2), t(1, .975) = 12.7062, half = 12.7062 * 0.02
    assert (row["difference"].mean, row["difference"].high) == pytest.approx((0.04, 0.04 + 0.254124), abs=1e-6)
    assert summarise(cells(), "random", "random")["difference"] is None
    assert summarise(cells()[:2], "quality", "random")["difference"] is None  # the reference was not run


def test_the_table_says_what_its_numbers_are(tmp_path):
    text = write_table(cells(), "random", tmp_path / "out")
    lines = text.splitlines()
    assert (
        lines[2] == "| quality | 0.70 ± 0.00 | 0.65 ± 0.00 | 0.620 ± 0.028 | +0.120 ± 0.028 | +0.040 [-0.214, +0.294] |"
    )
    assert lines[3].startswith("| random | n/a | 0.65 ± 0.00 | 0.580 ± 0.000 |")
    assert lines[3].endswith("| n/a |")
    assert "Seeds 0, 1" in text
    assert "480 questions" in text
    assert "a machine" in text
    with (tmp_path / "out/cells.csv").open() as file:
        assert [(row["strategy"], row["seed"], row["accuracy"]) for row in csv.DictReader(file)] == [
            ("quality", "0", "0.6"), ("quality", "1", "0.64"), ("random", "0", "0.58"), ("random", "1", "0.58"),
        ]  # fmt: skip
    summary = json.loads((tmp_path / "out/table.json").read_text())
    assert summary["quality"]["difference"]["n"] == 2


def test_one_seed_claims_no_spread(tmp_path):
    text = write_table([cells()[0], cells()[2]], "random", tmp_path)
    assert text.splitlines()[2] == "| quality | 0.70 | 0.65 | 0.600 | +0.100 | +0.020 |"
    assert json.loads((tmp_path / "table.json").read_text())["quality"]["accuracy"]["sd"] is None


def test_a_cell_is_kept_for_its_params_and_code_only(tmp_path):
    keep(CELL, tmp_path)
    assert kept(tmp_path, "quality", 0, "key") == CELL
    assert kept(tmp_path, "quality", 0, "another key") is None
    assert kept(tmp_path, "quality", 1, "key") is None
    assert kept(tmp_path, "random", 0, "key") is None


def test_what_is_read_of_a_run(tmp_path):
    row = {"acc": 0.6, "base_acc": 0.5, "gain": 0.1, "gain_stderr": 0.02, "n": 480, "stderr": 0.02}
    (tmp_path / "eval.json").write_text(json.dumps({"mmlu": row, "arc": {"acc_norm": 1}}))
    (tmp_path / "select.json").write_text(json.dumps({"auc": 0.7, "precision_at_budget": 0.65, "selected": 750}))
    params = {"seed": 3, "select": {"strategy": "top"}, "eval": {"tasks": ["mmlu"]}}
    cell = measured(params, tmp_path, "key", "quality")
    assert replace(cell, machine="a machine") == replace(CELL, seed=3)
    assert (
        measured(params | {"select": {"strategy": "random"}}, tmp_path, "key", "random").auc is None
    )  # no score decides
    with pytest.raises(UserError, match=r"^eval\.tasks: got 'arc' first, which has no accuracy"):
        measured(params | {"eval": {"tasks": ["arc"]}}, tmp_path, "key", "quality")


def test_strategies_by_preset_or_by_their_settings():
    assert parse_strategy("random") == Strategy("random", ("select=random",))
    assert parse_strategy("small:select=quality,select.ratio=0.1") == Strategy(
        "small", ("select=quality", "select.ratio=0.1")
    )
    for wrong in ("../x", "a:b", ":select=quality", ""):
        with pytest.raises(UserError, match=r"^strategy: got "):
            parse_strategy(wrong)
