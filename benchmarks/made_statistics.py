"""Statistics that nobody collected, in the format of `collect`: Parquet shards with a manifest. For measuring select at
any size.

S samples of a shard, L layers, E experts, T tokens of a sample.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mygo.selection.clustering.kmeans import normalise

SHARD_ROWS = 4096
MEDIAN_TOKENS = 180
TOPICS = 60  # samples of a topic are routed alike
NOISE = 1.0  # within a topic, standard deviations of a router logit


@dataclass(frozen=True)
class Size:
    samples: int
    layers: int
    experts: int
    tokens: bool  # the token level in place of the router features


def write_statistics(folder: Path, size: Size, seed: int) -> None:
    """Write `size.samples` samples of four sources to `folder`, everything drawn from `seed`."""
    rng = np.random.default_rng(seed)
    topics_TD = rng.normal(0, 0.7, (TOPICS, size.layers * size.experts)).astype(np.float32)
    folder.mkdir(parents=True)
    shards = []
    for first in range(0, size.samples, SHARD_ROWS):
        rows = np.arange(first, min(first + SHARD_ROWS, size.samples))
        columns = _provenance(rows, rng) | _gates(len(rows), size, rng)
        columns |= (
            _token_level(columns["n_tokens"].to_numpy(), size, rng)
            if size.tokens
            else _router(len(rows), size, topics_TD, rng)
        )
        shards.append({"file": f"shard-{len(shards):05d}.parquet", "rows": len(rows)})
        options = {
            "use_dictionary": ["source_dataset"],
            "write_statistics": False,
            "max_rows_per_page": 16,
        }  # as collect writes them
        pq.write_table(pa.table(columns), folder / shards[-1]["file"], compression="zstd", **options)
    manifest = {
        "fingerprint": {},
        "layers": size.layers,
        "experts": size.experts,
        "hidden": 0,
        "records": ["gates", "routers"],
        "selector": True,
        "tokens": size.tokens,
        "shards": shards,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def made_router(size: Size, seed: int) -> np.ndarray:
    """Router features of `size.samples` samples as select clusters them: float32 [samples, layers * experts], rows of
    length 1.
    """
    rng = np.random.default_rng(seed)
    topics_TD = rng.normal(0, 0.7, (TOPICS, size.layers * size.experts)).astype(np.float32)
    x_RD = np.empty((size.samples, topics_TD.shape[1]), dtype=np.float32)
    for first in range(0, size.samples, SHARD_ROWS):
        x_SD = x_RD[first : first + SHARD_ROWS]
        x_SD[:] = _router_probs(len(x_SD), size, topics_TD, rng)
    return normalise(x_RD)


def _provenance(rows: np.ndarray, rng: np.random.Generator) -> dict[str, pa.Array]:
    n_tokens = np.clip(rng.lognormal(np.log(MEDIAN_TOKENS), 0.7, len(rows)), 2, 2048).astype(np.int32)
    return {
        "source_dataset": pa.array([f"set_{row % 4}" for row in rows]),
        "source_index": pa.array(rows // 4),
        "n_tokens": pa.array(n_tokens),
    }


def _gates(rows: int, size: Size, rng: np.random.Generator) -> dict[str, pa.Array]:
    """Gates of a sample, a tenth of them exactly as another sample's: ties are part of real pools (duplicates)."""
    gate_SL = rng.beta(4, 2, (rows, size.layers)).astype(np.float32)
    gate_SL[: rows // 10] = gate_SL[rows - rows // 10 :]
    return {"gate_weighted": _lists(gate_SL)}


def _router_probs(rows: int, size: Size, topics_TD: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    logits_SD = topics_TD[rng.integers(0, TOPICS, rows)] + NOISE * rng.standard_normal(
        (rows, topics_TD.shape[1]), dtype=np.float32
    )
    probs_SLE = np.exp(logits_SD).reshape(rows, size.layers, size.experts)
    return (probs_SLE / probs_SLE.sum(axis=2, keepdims=True)).reshape(rows, -1)


def _router(rows: int, size: Size, topics_TD: np.ndarray, rng: np.random.Generator) -> dict[str, pa.Array]:
    return {"router_probs": _lists(_router_probs(rows, size, topics_TD, rng))}


def _token_level(n_tokens_S: np.ndarray, size: Size, rng: np.random.Generator) -> dict[str, pa.Array]:
    """One blob per sample and signal: T - 1 float32 NLLs (nats), L x T float16 gate logits."""
    nll = [rng.exponential(2, count - 1).astype("<f4").tobytes() for count in n_tokens_S]
    gates = [rng.normal(0.5, 2, (size.layers, count)).astype("<f2").tobytes() for count in n_tokens_S]
    return {"token_nll": pa.array(nll, pa.binary()), "gate_logits": pa.array(gates, pa.binary())}


def _lists(values: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
