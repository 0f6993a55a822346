"""lm-eval's results on disk: what it aggregated as JSON, the outcome of every question as Parquet."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from mygo.workdir import atomic_folder

Results = Mapping[str, Any]  # lm_eval.result_schema.EvalResults

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
        ("metrics", pa.map_(pa.string(), pa.float64())),  # every metric that has a value for one question
        ("loglikelihoods", pa.list_(pa.float64())),  # one for each choice, nats; empty for tasks that generate
        ("response", pa.string()),  # what was generated, else null
        ("prompt_hash", pa.string()),
    ]
)


def write_results(results: Results, folder: Path, beside: Mapping[str, Any]) -> None:
    """Write `results.json`, `samples.parquet` and the JSON files of `beside` (name -> content); the folder appears
    complete or not at all.
    """
    kept = {key: results[key] for key in DETERMINISTIC if key in results}
    with atomic_folder(folder) as temporary:
        for name, content in {"results.json": kept, **beside}.items():
            options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY
            (temporary / name).write_bytes(orjson.dumps(content, option=options | orjson.OPT_APPEND_NEWLINE))
        samples = pa.Table.from_pylist(list(_sample_rows(results)), schema=SAMPLES_SCHEMA)
        pq.write_table(samples, temporary / "samples.parquet", compression="zstd")


def read_results(folder: Path) -> Results:
    """What `write_results` wrote, as lm-eval gives it: of a sample its number, filter and metrics."""
    results = orjson.loads((folder / "results.json").read_bytes())
    samples = defaultdict(list)
    table = pq.read_table(folder / "samples.parquet", columns=["task", "index", "filter", "metrics"])
    for row in table.to_pylist():
        samples[row["task"]].append({"doc_id": row["index"], "filter": row["filter"], **dict(row["metrics"])})
    return results | {"samples": dict(samples)}


def metric_keys(values: Mapping[str, Any]) -> list[str]:
    """lm-eval's keys are `metric,filter`, with `metric_stderr,filter` beside them."""
    return [key for key in values if "," in key and "_stderr," not in key]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)


def _sample_rows(results: Results) -> Iterator[dict[str, Any]]:
    for task in sorted(results["samples"]):
        values = results["results"][task]
        names = [key.split(",")[0] for key in metric_keys(values)]
        for sample in sorted(results["samples"][task], key=lambda sample: (sample["doc_id"], sample["filter"])):
            yield _sample_row(sample, names) | {"task": task, "subject": values["alias"]}


def _sample_row(sample: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """`names`: the task's metrics in lm-eval's order."""
    responses = sample["filtered_resps"]
    metrics = {name: float(sample[name]) for name in names if is_number(sample.get(name))}
    generated = isinstance(responses[0], str)
    return {
        "index": sample["doc_id"],
        "filter": sample["filter"],
        "target": str(sample["target"]),
        "correct": metrics.get(names[0]),
        "metrics": metrics,
        "loglikelihoods": [] if generated else [float(response[0]) for response in responses],
        "response": responses[0] if generated else None,
        "prompt_hash": sample["prompt_hash"],
    }
