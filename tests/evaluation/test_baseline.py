"""The base's own results: what eval accepts, and what it gets from them."""

import re
import shutil

import pytest

from mygo.errors import UserError
from mygo.evaluation.baseline import baseline_settings, check_baseline, write_baseline
from mygo.evaluation.harness import evaluate_base
from mygo.evaluation.results import read_results
from mygo.evaluation.target import evaluate_target
from mygo.runtime import start_runtime


@pytest.fixture(scope="module")
def baseline(world, make_params, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured") / "baseline"
    params, runtime = make_params(), start_runtime(0)
    results = evaluate_base(params, runtime, world / "benchmark")
    write_baseline(results, baseline_settings(params, runtime, world / "benchmark"), folder)
    return folder


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("seed=1", "with seed 0, eval asks for 1"),
        ("eval.tasks=[mmlu_stem]", r"with eval\.tasks \['mmlu'\], eval asks for \['mmlu_stem'\]"),
        ("eval.num_fewshot=2", r"with eval\.num_fewshot 0, eval asks for 2"),
        ("eval.limit=1", r"with eval\.limit None, eval asks for 1"),
        ("eval.dtype=bfloat16", r"with eval\.dtype 'float32', eval asks for 'bfloat16'"),
        ("eval.max_length=300", r"with eval\.max_length None, eval asks for 300"),
        ("finetune.revision=abc", r"with finetune\.revision None, eval asks for 'abc'"),
        ("finetune.base_model=elsewhere", r"with finetune\.base_model '.*base', eval asks for 'elsewhere'"),
    ],
)
def test_a_baseline_of_something_else_is_refused_before_a_model_is_loaded(
    baseline, world, make_params, change, sentence
):
    with pytest.raises(
        UserError, match=f"^.*baseline: the base was measured {sentence}; run the stage baseline again$"
    ):
        evaluate_target(make_params(change), start_runtime(0), world / "adapter", world / "benchmark", baseline)


def test_what_does_not_touch_the_base_is_accepted(baseline, world, make_params):
    params = make_params("eval.merge_adapter=true", "eval.batch_size=4", "finetune.epochs=1")
    check_baseline(baseline, baseline_settings(params, start_runtime(0), world / "benchmark"))


@pytest.mark.parametrize("changed", ["base/config.json", "benchmark/benchmark.json"])
def test_other_files_under_the_same_name_are_refused(baseline, world, make_params, tmp_path, changed):
    shutil.copytree(world, tmp_path / "world")
    copy = tmp_path / "world"
    runtime = start_runtime(0)
    params = make_params(f"finetune.base_model={copy / 'base'}")
    settings = baseline_settings(params, runtime, copy / "benchmark")
    write_baseline(read_raw(baseline), settings, tmp_path / "baseline")
    (copy / changed).write_text((copy / changed).read_text() + "\n")
    sentence = r"baseline: the base was measured with (base model|benchmark) files \(digest\) .*; run"
    with pytest.raises(UserError, match=sentence):
        check_baseline(tmp_path / "baseline", baseline_settings(params, runtime, copy / "benchmark"))


def read_raw(folder):
    """Results without a question: enough to be written."""
    return read_results(folder) | {"samples": {}}


def test_no_baseline_is_one_sentence(world, make_params, tmp_path):
    sentence = f"{tmp_path}: there is no settings.json; takes the folder that the stage baseline writes"
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        evaluate_target(make_params(), start_runtime(0), world / "adapter", world / "benchmark", tmp_path)
