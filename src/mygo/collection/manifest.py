"""The manifest of a finished folder of statistics, and its counts: both from the shards, so that a resumed run says
what a whole one does.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mygo.params import CollectParams
from mygo.workdir import FINGERPRINT_FILE, write_atomically

MANIFEST_FILE = "manifest.json"


def write_manifest(
    work: Path, files: list[Path], config: Any, params: CollectParams, fingerprint: dict[str, Any]
) -> None:
    """Write `manifest.json`; the fingerprint moves into it. `config` is that of the model."""
    schema = pq.read_schema(files[0])
    gated = "gate_mean" in schema.names
    layers = schema.field("gate_mean").type.list_size if gated else config.num_hidden_layers
    manifest = {
        "fingerprint": fingerprint,
        "layers": layers,
        "experts": schema.field("router_probs").type.list_size // layers if "router_probs" in schema.names else 0,
        "hidden": config.hidden_size,
        "gated": gated,
        "tokens": params.tokens,
        "answer_alone": params.answer_alone,
        "base_nll": "base_nll" in schema.names,
        "hidden_states": params.hidden_states,
        "shards": [{"file": file.name, "rows": pq.read_metadata(file).num_rows} for file in files],
    }
    write_atomically(work / MANIFEST_FILE, json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n")
    (work / FINGERPRINT_FILE).unlink(missing_ok=True)  # gone where a run died between here and publishing


def published_from(fingerprint: dict[str, Any], out: Path) -> bool:
    """Whether `out` holds finished statistics of exactly this fingerprint, with all their shards."""
    try:
        manifest = json.loads((out / MANIFEST_FILE).read_text())
    except (OSError, ValueError):  # not there, or of nobody who writes whole files
        return False
    same = manifest.get("fingerprint") == json.loads(json.dumps(fingerprint))
    return same and all((out / shard["file"]).exists() for shard in manifest["shards"])


def published_shards(out: Path) -> list[Path]:
    return [out / shard["file"] for shard in json.loads((out / MANIFEST_FILE).read_text())["shards"]]


def shard_metrics(files: list[Path]) -> dict[str, Any]:
    """Counts only: what depends on the clock or on the memory is printed, not tracked. `not_gradable` has no predicted
    token, `rejected` could not be encoded; `end_tokens_removed` stood at the very end of an answer.
    """
    summed = {"tokens": "n_tokens", "truncated": "truncated", "end_tokens_removed": "end_tokens_removed"}
    counts = dict.fromkeys(("samples", *summed, "rejected", "not_gradable"), 0)
    for file in files:
        table = pq.read_table(file, columns=[*summed.values(), "nll", "rejected"])
        rejected = table.num_rows - table["rejected"].null_count
        counts["samples"] += table.num_rows
        for name, column in summed.items():
            counts[name] += int(table[column].to_numpy().sum())
        counts["rejected"] += rejected
        counts["not_gradable"] += table["nll"].null_count - rejected
    return counts
