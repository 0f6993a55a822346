"""What `eval` writes: the accuracy of base and adapter with paired errors, and a row for each subject."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mygo.evaluation.results import Results, is_number, metric_keys, write_results

MODELS = ("base", "adapter")
ONLY_IN_SUMMARY = {"base_stderr"}
ONLY_OF_THE_WHOLE = {"stderr", "gain", "gain_stderr", "n"}


def headline(results: Mapping[str, Results]) -> dict[str, Any]:
    """The few numbers of `metrics/eval.json`: `summarise` without the base's error, and of a group's parts the two
    accuracies alone.

    The names are lm-eval's: `mmlu` comes before `mmlu_stem`, so that `dvc metrics diff`, which sorts, begins with it.
    """
    parts = {part for names in results["adapter"]["group_subtasks"].values() for part in names}
    short: dict[str, Any] = {}
    for name, row in summarise(results).items():
        if isinstance(row, dict):
            dropped = ONLY_IN_SUMMARY | (ONLY_OF_THE_WHOLE if name in parts else set())
            short[name] = {key: value for key, value in row.items() if key not in dropped}
    return short


def summarise(results: Mapping[str, Results]) -> dict[str, Any]:
    """One row for each group (`mmlu`, `mmlu_stem`, ...) and each task outside of groups; goes to `summary.json`.

    A row holds `acc` (or the task's own metric), `stderr`, both again for the base, `gain` = adapter minus base,
    `gain_stderr` and `n` questions. A task with several metrics has a row `<task>_<metric>` for each. Values that
    lm-eval cannot give (a standard error of one question) are left out.
    """
    base, adapter = (results[model] for model in MODELS)
    rows: dict[str, Any] = {}
    for name in _headlines(adapter):
        keys = metric_keys(adapter["results"][name])
        for key in keys:
            rows[name if len(keys) == 1 else f"{name}_{_label(key)}"] = _row(name, key, base, adapter)
    shots = {adapter["n-shot"][task] for task in adapter["n-samples"]}
    return rows | ({"num_fewshot": shots.pop()} if len(shots) == 1 else {})


def subject_rows(results: Mapping[str, Results]) -> list[dict[str, Any]]:
    """Rows `subject, model, acc, stderr, n` for the plot: every subject (every task), base before adapter; `acc` is the
    task's first metric.
    """
    rows = []
    for task in sorted(results["base"]["n-samples"]):
        for model in MODELS:
            values = results[model]["results"][task]
            key = metric_keys(values)[0]
            stderr = _finite({"stderr": values[_stderr(key)]}).get("stderr")
            rows.append(
                {
                    "subject": values["alias"],
                    "model": model,
                    "acc": values[key],
                    "stderr": stderr,
                    "n": values["sample_len"],
                }
            )
    return rows


def write_evaluation(results: Mapping[str, Results], folder: Path) -> None:
    """Write the adapter's results as `write_results` does, and `summary.json` beside them."""
    write_results(results["adapter"], folder, {"summary.json": summarise(results)})


def paired_gain(base: Mapping[Any, float], adapter: Mapping[Any, float]) -> tuple[float, float]:
    """Mean difference over the same questions and its standard error.

    With d_i = adapter_i - base_i over n questions: gain = mean(d), stderr = sd(d) / sqrt(n), sd with n - 1; NaN for n =
    1. Both models answer the same questions, so this error is smaller than that of two independent accuracies.
    """
    difference = np.array([adapter[question] - base[question] for question in adapter])
    n = len(difference)
    return float(difference.mean()), float(difference.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan


def _headlines(results: Results) -> list[str]:
    """Groups that lm-eval aggregates, then the tasks that are in none of them."""
    groups = list(results.get("groups", {}))
    inside = {task for group in groups for task in _leaves(results, group)}
    return groups + [task for task in results["n-samples"] if task not in inside]


def _leaves(results: Results, name: str) -> list[str]:
    children = results["group_subtasks"].get(name)
    return [name] if children is None else [task for child in children for task in _leaves(results, child)]


def _row(name: str, key: str, base: Results, adapter: Results) -> dict[str, float]:
    metric = _label(key)
    old, new = base["results"][name], adapter["results"][name]
    gain, gain_stderr = _gain(name, key, base, adapter)
    return _finite(
        {
            metric: new[key],
            "stderr": new[_stderr(key)],
            f"base_{metric}": old[key],
            "base_stderr": old[_stderr(key)],
            "gain": gain,
            "gain_stderr": gain_stderr,
        }
    ) | {"n": new["sample_len"]}


def _gain(name: str, key: str, base: Results, adapter: Results) -> tuple[float, float]:
    """The paired gain where the metric is a mean over questions; else (perplexity, F1, ...) the plain difference and no
    error.
    """
    difference = adapter["results"][name][key] - base["results"][name][key]
    old, new = (_outcomes(name, key, results) for results in (base, adapter))
    gain, stderr = paired_gain(old, new) if old and old.keys() == new.keys() else (math.nan, math.nan)
    return difference, stderr if math.isclose(gain, difference, abs_tol=1e-9) else math.nan


def _outcomes(name: str, key: str, results: Results) -> dict[tuple[str, int], float]:
    """(task, question) -> value of the metric, of all tasks below `name`."""
    metric, filter_name = key.split(",")
    samples = (
        (task, sample)
        for task in _leaves(results, name)
        for sample in results["samples"][task]
        if sample["filter"] == filter_name
    )
    return {
        (task, sample["doc_id"]): float(sample[metric]) for task, sample in samples if is_number(sample.get(metric))
    }


def _stderr(key: str) -> str:
    metric, filter_name = key.split(",")
    return f"{metric}_stderr,{filter_name}"


def _label(key: str) -> str:
    return key.removesuffix(",none").replace(",", "_")


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Finite numbers only: lm-eval writes the text N/A where it has no standard error."""
    return {key: float(value) for key, value in values.items() if not isinstance(value, str) and math.isfinite(value)}
