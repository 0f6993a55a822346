"""What `eval` writes: headline metrics with paired errors, a row for each subject, lm-eval's results and the outcome of
every question.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from mygo.workdir import atomic_folder

Results = Mapping[str, Any]  # lm_eval.result_schema.EvalResults
MODELS = ("base", "adapter")

# Of lm-eval's results, what does not change from run to run (configs carry paths).
DETERMINISTIC = ("results", "groups", "group_subtasks", "versions", "n-shot", "higher_is_better", "n-samples")

SAMPLES_SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("subject", pa.string()),
        ("index", pa.int64()),  # row of the question in its test split
        ("filter", pa.string()),
        ("target", pa.string()),
        ("correct", pa.float64()),  # the task's first metric; null if it has no value for one question
        ("loglikelihoods", pa.list_(pa.float64())),  # one for each choice, nats; empty for tasks that generate
        ("response", pa.string()),  # what was generated, else null
        ("prompt_hash", pa.string()),
    ]
)


def summarise(results: Mapping[str, Results]) -> dict[str, Any]:
    """Headline metrics: one row for each group (`mmlu`, `stem`, `humanities`, `social_sciences`, `other`) and each task
    outside of groups.

    A row holds `acc` (or the task's own metric), `stderr`, both again for the base, `gain` = adapter minus base,
    `gain_stderr` and `n` questions. A task with several metrics has a row `<task>_<metric>` for each. Values that
    lm-eval cannot give (a standard error of one question) are left out.
    """
    base, adapter = (results[model] for model in MODELS)
    rows: dict[str, Any] = {}
    for name in _headlines(adapter):
        keys = _metric_keys(adapter["results"][name])
        for key in keys:
            label = name.removeprefix("mmlu_") if len(keys) == 1 else f"{name}_{_label(key)}"
            rows[label] = _row(name, key, base, adapter)
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
            key = _metric_keys(values)[0]
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


def write_results(results: Mapping[str, Results], folder: Path) -> None:
    """Write `results_<model>.json` and `samples_<model>.parquet` for base and adapter; the folder appears complete or
    not at all.
    """
    with atomic_folder(folder) as temporary:
        for model in MODELS:
            kept = {key: results[model][key] for key in DETERMINISTIC if key in results[model]}
            options = (
                orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
            )
            (temporary / f"results_{model}.json").write_bytes(orjson.dumps(kept, option=options))
            samples = pa.Table.from_pylist(list(_sample_rows(results[model])), schema=SAMPLES_SCHEMA)
            pq.write_table(samples, temporary / f"samples_{model}.parquet", compression="zstd")


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
        (task, sample["doc_id"]): float(sample[metric])
        for task, sample in samples
        if isinstance(sample.get(metric), int | float | np.number)
    }


def _sample_rows(results: Results) -> Iterator[dict[str, Any]]:
    for task in sorted(results["samples"]):
        values = results["results"][task]
        metric = _metric_keys(values)[0].split(",")[0]
        for sample in sorted(results["samples"][task], key=lambda sample: (sample["doc_id"], sample["filter"])):
            yield _sample_row(sample, metric) | {"task": task, "subject": values["alias"]}


def _sample_row(sample: Mapping[str, Any], metric: str) -> dict[str, Any]:
    responses, value = sample["filtered_resps"], sample.get(metric)
    generated = isinstance(responses[0], str)
    return {
        "index": sample["doc_id"],
        "filter": sample["filter"],
        "target": str(sample["target"]),
        "correct": float(value) if isinstance(value, int | float | np.number) else None,
        "loglikelihoods": [] if generated else [float(response[0]) for response in responses],
        "response": responses[0] if generated else None,
        "prompt_hash": sample["prompt_hash"],
    }


def _metric_keys(values: Mapping[str, Any]) -> list[str]:
    """lm-eval's keys are `metric,filter`, with `metric_stderr,filter` beside them."""
    return [key for key in values if "," in key and "_stderr," not in key]


def _stderr(key: str) -> str:
    metric, filter_name = key.split(",")
    return f"{metric}_stderr,{filter_name}"


def _label(key: str) -> str:
    return key.removesuffix(",none").replace(",", "_")


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Finite numbers only: lm-eval writes the text N/A where it has no standard error."""
    return {key: float(value) for key, value in values.items() if not isinstance(value, str) and math.isfinite(value)}
