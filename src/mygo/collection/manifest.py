"""The manifest of a finished folder of statistics, and its counts: both from the shards, so that a resumed run says
what a whole one does.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mygo.models.routers import experts_of
from mygo.params import CollectParams
from mygo.params.families import family_of
from mygo.workdir import FINGERPRINT_FILE, write_atomically

MANIFEST_FILE = "manifest.json"
ROUTERS = ("router_layers", "experts", "experts_per_token", "trash_experts")


RECORDED = {"gates": "gate_mean", "routers": "router_probs", "hidden": "hidden_mean"}  # the column that shows it


def write_manifest(
    work: Path, files: list[Path], config: Any, params: CollectParams, fingerprint: dict[str, Any], *, warmed: bool
) -> None:
    """Write `manifest.json`; the fingerprint moves into it. `config` is that of the model.

    `layers` are those of the per-layer columns: all that have a gate, else all that have a router. `router_layers`
    times (`experts` + `trash_experts`) is the width of the columns of routers, trash experts last. `selector`: `nll` is
    of a selector, the base's own is in `base_nll`.
    """
    schema = pq.read_schema(files[0])
    recorded = [name for name, column in RECORDED.items() if column in schema.names]
    routers = _routers(schema, config) if "routers" in recorded else dict.fromkeys(ROUTERS, 0)
    gated = schema.field("gate_mean").type.list_size if "gates" in recorded else 0
    manifest = {
        "fingerprint": fingerprint,
        "layers": gated or routers["router_layers"] or config.num_hidden_layers,
        "hidden": config.hidden_size,
        "records": recorded,
        "selector": warmed or family_of(config.to_dict()) is not None,
        "tokens": params.tokens,
        "answer_alone": params.answer_alone,
        "base_nll": "base_nll" in schema.names,
        "hidden_states": params.hidden_states,
        "shards": [{"file": file.name, "rows": pq.read_metadata(file).num_rows} for file in files],
    }
    write_atomically(work / MANIFEST_FILE, json.dumps(manifest | routers, indent=1, sort_keys=True).encode() + b"\n")
    (work / FINGERPRINT_FILE).unlink(missing_ok=True)  # gone where a run died between here and publishing


def _routers(schema: pa.Schema, config: Any) -> dict[str, int]:
    """How many there are, what each of them chooses among, and how many of these are chosen."""
    trash = getattr(config, "trash_experts", None) or 0
    experts, top_k = experts_of(config) or 0, getattr(config, "num_experts_per_tok", None) or 0
    width = schema.field("router_probs").type.list_size
    return dict(zip(ROUTERS, (width // (experts + trash), experts, top_k, trash), strict=True))


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
