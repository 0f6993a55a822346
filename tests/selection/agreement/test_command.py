"""`python -m mygo agreement`, from files to tables."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from mygo.data.labels import read_label_columns
from mygo.data.pool import write_pool
from mygo.data.records import Sample
from mygo.errors import UserError
from mygo.params import check_params
from mygo.params.choices import LOW_IS_GOOD
from mygo.selection.agreement.command import agreement
from mygo.selection.statistics import open_statistics
from tests.launch.test_inputs import composed

PARAMS = Path(__file__).parents[3] / "params.yaml"
ROWS = 48


@pytest.fixture
def judged(write, made, monkeypatch):
    """Sixteen prompts of three answers in one source, labelled in three columns, with statistics of a gated model; one
    sample has no score.
    """
    monkeypatch.setattr("mygo.selection.agreement.bootstrap.RESAMPLES", 60)
    rng = np.random.default_rng(0)
    samples = [sample for sample in made.random_samples(200, longest=9) if sample.n_tokens > 1 or sample.index == 0]
    samples = samples[:ROWS]
    for i, sample in enumerate(samples):
        sample.dataset, sample.index = "judged", i
        answer = " ".join(["word"] * int(rng.integers(1, 30)))
        sample.messages = [{"role": "user", "content": f"Why {i // 3}?"}, {"role": "assistant", "content": answer}]
    folders = write(samples)
    quality = [None if i == 5 else str(round(value, 2)) for i, value in enumerate(rng.random(ROWS))]
    labels = {
        "nice": ["yes" if i % 3 == 0 else "no" for i in range(ROWS)],
        "quality": quality,
        "remark": [f"remark {i}" for i in range(ROWS)],
    }
    for path in folders.pool.iterdir():
        path.unlink()
    folders.pool.rmdir()
    columns = [tuple((name, texts[i]) for name, texts in labels.items()) for i in range(ROWS)]
    write_pool(
        [
            Sample(sample.dataset, sample.index, sample.key, sample.messages, columns[i][0][1], columns[i])
            for i, sample in enumerate(samples)
        ],
        folders.pool,
    )
    return folders


def run(folders, *arguments):
    places = ["--statistics", str(folders.statistics), "--pool", str(folders.pool), "--params", str(PARAMS)]
    result = CliRunner().invoke(agreement, [*places, *arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def rows_of(result, label):
    tables = {table["label"]: table for table in json.loads(result.stdout)}
    return {row["score"]: row for row in tables[label]["scores"]}


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
    alone = run(judged, "--format", "json", "--score", str(smallest["score"]))
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


def test_scores_that_cannot_be_taken_are_named_in_one_line(judged, write, made):
    samples = made.random_samples(ROWS)
    for sample in samples:
        sample.dataset = "judged"
    judged.statistics = write(samples, name="ungated", gated=False).statistics
    with pytest.raises(UserError):
        run(judged, "--score", "quality")
    result = run(judged, "--format", "json")
    (line,) = [line for line in result.stderr.splitlines() if "lack what they need" in line]
    assert re.search(r"quality, weighted, normalized, raw,.* external, combine$", line)
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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--score", "lenght"], "--score: got lenght; choose from .*length"),
        (["--score", "quality", "--score", "nothing"], "--score: got nothing"),
        (["--label", "nicer"], "--label: got nicer; the columns there are nice, quality, remark"),
        (["--label", "remark"], "--good: takes the good value of label remark"),
        (["--k", "3", "--ratio", "0.5"], "--k: got a --ratio too"),
    ],
)
def test_what_is_not_there_is_one_sentence(judged, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        run(judged, *arguments)


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        ("combine", "select.combine: is empty"),
        ("external", "select.external.path: got null"),
        ("ifd", "got ifd, which is made of .* set collect.answer_alone to true"),
    ],
)
def test_a_score_that_was_asked_for_says_what_it_lacks(judged, score, sentence):
    with pytest.raises(UserError, match=sentence):
        run(judged, "--score", score)


@pytest.mark.parametrize("path", sorted((PARAMS.parent / "conf/select").glob("*.yaml")), ids=lambda path: path.stem)
def test_scores_count_from_the_end_that_their_presets_keep(path):
    select = check_params(composed(f"select={path.stem}")).select
    assert select.order == ("lowest" if select.score in LOW_IS_GOOD else "highest")


def test_statistics_of_another_pool_are_refused(judged, write, made):
    judged.statistics = write(made.random_samples(ROWS - 1), name="other").statistics
    with pytest.raises(UserError, match="so it is of another pool"):
        run(judged)


def test_a_score_that_grades_nothing_is_not_in_the_table(judged, write, made):
    samples = [sample for sample in made.random_samples(300) if sample.n_tokens > 1][:ROWS]
    for i, sample in enumerate(samples):
        sample.dataset, sample.index, sample.nll = "judged", i, [float("nan")] * len(sample.nll)
    judged.statistics = write(samples, name="broken", gated=False).statistics
    with pytest.raises(UserError, match="--score: perplexity can grade none of the 48 samples"):
        run(judged, "--score", "perplexity")
    result = run(judged, "--format", "json")
    assert set(rows_of(result, "nice")) == {"length", "random"}
    assert "not known, so not held fixed: perplexity" in result.stderr


def test_a_pool_without_labels_says_where_they_come_from(write, made):
    with pytest.raises(UserError, match="--labels: the pool has no label column"):
        run(write(made.random_samples(9)))


def test_help_is_there_at_once_and_errors_are_one_line():
    command = [sys.executable, "-X", "importtime", "-m", "mygo", "agreement", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--good-above" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"numpy", "pyarrow", "scipy", "torch", "pydantic", "omegaconf"}
    done = subprocess.run(
        [sys.executable, "-m", "mygo", "agreement", "--pool", "nowhere", "--params", str(PARAMS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: nowhere: holds no pool")
