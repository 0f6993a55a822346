"""What `python -m mygo agreement` refuses, and what it says."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from mygo.__main__ import COMMANDS, mygo
from mygo.errors import UserError
from mygo.params import check_params
from mygo.params.choices import LOW_IS_GOOD
from tests.launch.test_inputs import composed
from tests.selection.agreement.running import PARAMS, ROWS, rows_of, run


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--score", "lenght"], "--score: got lenght; choose from .*length"),
        (["--score", "quality", "--score", "nothing"], "--score: got nothing"),
        (["--label", "nicer"], "--label: got nicer; the columns there are nice, quality, remark"),
        (["--label", "remark"], "--good: takes the good value of label remark"),
        (["--k", "3", "--ratio", "0.5"], "--k: got a --ratio too"),
        (["--labels", "nowhere.csv"], "^--labels: got nowhere.csv, which is not there$"),
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


def test_statistics_of_which_no_score_can_be_taken_are_refused(judged, write, made):
    samples = [sample for sample in made.random_samples(999) if sample.n_tokens == 1][:ROWS]
    for i, sample in enumerate(samples):
        sample.dataset, sample.index = "judged", i
    judged.statistics = write(samples, name="short", gated=False).statistics
    with pytest.raises(UserError, match=r"^--score: none can be taken of "):
        run(judged)


def test_a_pool_without_labels_says_where_they_come_from(write, made):
    with pytest.raises(UserError, match="--labels: the pool has no label column"):
        run(write(made.random_samples(9)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name):
    result = CliRunner().invoke(mygo, [name, "--help"])
    assert (result.exit_code, f" {name} " in result.output) == (0, True)


def test_an_unknown_command_is_no_traceback():
    result = CliRunner().invoke(mygo, ["agreements"])
    assert (result.exit_code, "No such command" in result.output) == (2, True)


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
