"""`python -m mygo agreement`, from files to tables."""

import csv
import io
import json
import re

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from mygo.data.labels import read_label_columns
from mygo.errors import UserError, shown
from mygo.selection.reading.statistics import open_statistics
from tests.selection.agreement.running import ROWS, rows_of, run


def test_every_score_is_held_against_every_label(judged, made):
    result = run(judged, "--format", "json")
    tables = json.loads(result.stdout)
    assert [table["label"] for table in tables] == ["nice", "quality"]
    assert "left out: --good: takes the good value of label remark" in result.stderr
    statistics = open_statistics(judged.statistics)
    length = made.score("length", statistics)
    there = ~np.isnan(length)
    nice = rows_of(result, "nice")["length"]
    good = np.arange(ROWS) % 3 == 0
    assert nice["rows"] == there.sum()
    assert nice["auc"] == pytest.approx(roc_auc_score(good[there], length[there]), rel=1e-5)
    assert (nice["good"], nice["kept"]) == (good[there].sum(), good[there].sum())
    quality = rows_of(result, "quality")["length"]
    labelled = there & (np.arange(ROWS) != 5)
    texts = read_label_columns(judged.pool)["quality"]
    numbers = np.array([np.nan if text is None else float(text) for text in texts])
    expected = spearmanr(length[labelled], numbers[labelled])
    assert quality["spearman"] == pytest.approx(expected.statistic, rel=1e-5)
    assert "auc" not in quality


def test_perplexity_counts_from_its_low_end(judged, made):
    row = rows_of(run(judged, "--format", "json", "--score", "perplexity"), "nice")["perplexity"]
    score = made.score("perplexity", open_statistics(judged.statistics))
    there = ~np.isnan(score)
    good = np.arange(ROWS) % 3 == 0
    assert row["order"] == "lowest"
    assert row["auc"] == pytest.approx(roc_auc_score(good[there], -score[there]), rel=1e-5)


def test_holm_counts_every_score_of_the_table(judged):
    rows = list(rows_of(run(judged, "--format", "json"), "nice").values())
    smallest = min(rows, key=lambda row: row["auc_p"])
    assert len(rows) >= 6
    assert smallest["auc_p_holm"] == pytest.approx(min(1, smallest["auc_p"] * len(rows)), rel=1e-4)
    alone = run(judged, "--format", "json", *["--score", str(smallest["score"])] * 2, *["--label", "nice"] * 2)
    assert len(json.loads(alone.stdout)) == len(json.loads(alone.stdout)[0]["scores"]) == 1
    assert rows_of(alone, "nice")[smallest["score"]]["auc_p_holm"] == smallest["auc_p"]


def test_pairs_are_answers_to_one_prompt(judged):
    row = rows_of(run(judged, "--format", "json", "--score", "length"), "nice")["length"]
    # of each prompt's three answers the first is good: two pairs; sample 0 has one token and no score
    assert (row["pairs"], row["pair_prompts"], row["prompts"]) == (2 * 15, 15, 16)


def test_a_score_that_is_held_fixed_has_no_partial_correlation(judged):
    rows = rows_of(run(judged, "--format", "json"), "nice")
    assert rows["length"]["partial"] is None
    assert rows["raw"]["partial_low"] < rows["raw"]["partial"] < rows["raw"]["partial_high"]


def test_a_threshold_adds_the_area(judged):
    row = rows_of(run(judged, "--label", "quality", "--good-above", "0.5", "--format", "json"), "quality")["raw"]
    assert row["spearman"] is not None
    assert 0 < row["auc"] < 1


@pytest.mark.parametrize(("arguments", "kept"), [(["--k", "5"], 5), (["--ratio", "0.1"], 5), (["--k", "999"], 47)])
def test_the_size_of_the_overlap(judged, arguments, kept):
    row = rows_of(run(judged, "--label", "nice", "--score", "raw", "--format", "json", *arguments), "nice")["raw"]
    assert row["kept"] == kept


def test_labels_from_a_file(judged, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("key,mine\n" + "".join(f"judged-{i},{i % 2}\n" for i in range(40)))
    result = run(judged, "--labels", str(path), "--id-column", "key", "--label", "mine", "--format", "json")
    assert rows_of(result, "mine")["raw"]["rows"] == 39
    assert f"8 of {ROWS} samples are not in {path}" in result.stderr


def test_what_a_file_of_labels_does_is_said(judged, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("id,nice,*a|b*\n" + "".join(f"judged-{i},{i % 2},{i % 2}\n" for i in range(ROWS)) + "cut\n")
    result = run(judged, "--labels", str(path))
    assert f"nice: taken from {shown(path, 200)}, not from the pool" in result.stderr
    assert f"{shown(path, 200)}: 1 of its rows cannot be read, and label nothing" in result.stderr
    assert r"**\*a\|b\*** (1 is good)" in result.stdout


def test_scores_that_cannot_be_taken_are_named_in_one_line(judged, write, made):
    samples = made.random_samples(ROWS)
    for sample in samples:
        sample.dataset = "judged"
    judged.statistics = write(samples, name="ungated", gated=False).statistics
    with pytest.raises(UserError):
        run(judged, "--score", "quality")
    result = run(judged, "--format", "json")
    (line,) = [line for line in result.stderr.splitlines() if "lack what they need" in line]
    assert re.search(r"quality, weighted, normalized, raw,.* external, combine, dsir, rds$", line)
    assert "perplexity" in rows_of(result, "nice")


def test_markdown_has_a_table_for_each_label(judged):
    text = run(judged).stdout
    nice, quality = text.split("\n\n**quality**")
    assert nice.startswith("**nice** (yes is good); partial: given length, words, perplexity")
    assert "| score (best) | rows | AUC | p (Holm) | common of kept (chance) | times chance | pairs right |" in nice
    assert "| perplexity (lowest) | 47 |" in nice
    assert "Spearman" in quality
    assert "AUC" not in quality
    widths = {line.count("|") for line in nice.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_csv_holds_what_json_holds(judged, tmp_path):
    out = tmp_path / "tables" / "agreement.csv"
    result = run(judged, "--format", "csv", "--out", str(out))
    assert result.stdout == ""
    table = list(csv.DictReader(io.StringIO(out.read_text())))
    of_json = rows_of(run(judged, "--format", "json"), "nice")["raw"]
    of_csv = next(row for row in table if (row["label"], row["score"]) == ("nice", "raw"))
    assert {name: of_csv[name] for name in of_json} == {
        name: "" if value is None else str(value) for name, value in of_json.items()
    }


def test_the_same_seed_gives_the_same_bytes(judged):
    texts = [run(judged, "--seed", seed, "--format", "json").stdout for seed in ("3", "3", "4")]
    assert texts[0] == texts[1] != texts[2]
