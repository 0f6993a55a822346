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
        "shards": [{"file": file.name, "rows": pq.read_metadata(file).num_rows} for file in files],
    }
    write_atomically(work / MANIFEST_FILE, json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n")
    (work / FINGERPRINT_FILE).unlink()


def published_from(fingerprint: dict[str, Any], out: Path) -> bool:
    """Whether `out` holds finished statistics of exactly this fingerprint."""
    manifest = out / MANIFEST_FILE
    return manifest.exists() and json.loads(manifest.read_text())["fingerprint"] == json.loads(json.dumps(fingerprint))


def shard_metrics(files: list[Path], params: CollectParams) -> dict[str, Any]:
    """Counts only: what depends on the clock or on the memory is printed, not tracked."""
    counts = dict.fromkeys(("samples", "tokens", "truncated", "not_gradable"), 0)
    for file in files:
        table = pq.read_table(file, columns=["n_tokens", "truncated", "nll"])
        counts["samples"] += table.num_rows
        counts["tokens"] += int(table["n_tokens"].to_numpy().sum())
        counts["truncated"] += int(table["truncated"].to_numpy().sum())
        counts["not_gradable"] += table["nll"].null_count
    return {**counts, "max_length": params.max_length, "shards": len(files)}
