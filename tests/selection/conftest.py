"""Pools and statistics made by hand. Sample-level columns are computed sample by sample in plain Python, apart from the
code under test.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mygo.data.records import POOL_SCHEMA
from mygo.params import SelectParams

DEFAULTS: dict[str, Any] = {
    "score": "quality",
    "strategy": "top",
    "order": "highest",
    "ratio": 0.2,
    "clusters": None,
    "alpha": 1.0,
    "eps": 1e-8,
    "tau": 0.0,
    "good_label": "clean",
}


@dataclass
class Sample:
    """`nll`: T - 1 values; `logits`: [L][T], the gates before the sigmoid; `features`: what it is clustered by, None
    where collect had no token of it.
    """

    dataset: str
    index: int
    nll: Sequence[float]
    logits: np.ndarray
    label: str | None = None
    messages: list[dict[str, str]] = field(
        default_factory=lambda: [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
    )
    features: Sequence[float] | None = None

    @property
    def key(self) -> str:
        return f"{self.dataset}-{self.index}"


@dataclass
class Folders:
    pool: Path
    statistics: Path


def make_params(**changes: Any) -> SelectParams:
    return SelectParams(**(DEFAULTS | changes))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def logit(g: float) -> float:
    return math.log(g / (1 - g))


def naive_gates(sample: Sample, alpha: float) -> list[float]:
    """s_l = sum_t p_t^alpha g_{l,t} / sum_u p_u^alpha, token by token, as DESIGN section 6 writes it."""
    if max(sample.nll) > 700:
        return [math.nan] * len(sample.logits)
    powers = [math.exp(nll) ** alpha for nll in sample.nll]
    return [
        sum(p * sigmoid(x) for p, x in zip(powers, layer[1:], strict=True)) / sum(powers)
        for layer in sample.logits.tolist()
    ]


def write_folders(
    root: Path,
    samples: Sequence[Sample],
    shard_rows: int = 3,
    tokens: bool = True,
    gated: bool = True,
    features: str | None = None,
) -> Folders:
    folders = Folders(root / "pool", root / "statistics")
    folders.pool.mkdir(parents=True)
    folders.statistics.mkdir()
    half = len(samples) // 2  # two parts
    for part, rows in enumerate([samples[:half], samples[half:]]):
        records = [
            {
                "source_dataset": s.dataset,
                "source_index": s.index,
                "id": s.key,
                "messages": s.messages,
                "label": s.label,
            }
            for s in rows
        ]
        pq.write_table(pa.Table.from_pylist(records, POOL_SCHEMA), folders.pool / f"pool-{part:05d}.parquet")
    shards = []
    for start in range(0, len(samples), shard_rows):
        rows = samples[start : start + shard_rows]
        shards.append({"file": f"shard-{start // shard_rows:05d}.parquet", "rows": len(rows)})
        path = folders.statistics / shards[-1]["file"]
        pq.write_table(
            shard_table(rows, tokens, gated, features),
            path,
            compression="zstd",
            use_dictionary=False,
            max_rows_per_page=16,
        )
    manifest = {
        "fingerprint": {},
        "layers": len(samples[0].logits),
        "experts": 0,
        "hidden": 8,
        "gated": gated,
        "tokens": tokens,
        "shards": shards,
    }
    (folders.statistics / "manifest.json").write_text(json.dumps(manifest))
    return folders


def shard_table(rows: Sequence[Sample], tokens: bool, gated: bool, features: str | None) -> pa.Table:
    per_layer = pa.list_(pa.float32(), len(rows[0].logits))
    columns = {
        "source_dataset": pa.array([s.dataset for s in rows]),
        "source_index": pa.array([s.index for s in rows], pa.int64()),
        "id": pa.array([s.key for s in rows]),
        "n_tokens": pa.array([s.logits.shape[1] for s in rows], pa.int32()),
        "truncated": pa.array([False] * len(rows)),
        "nll": pa.array([float(np.mean(s.nll)) if len(s.nll) else None for s in rows], pa.float32()),
    }
    if gated:
        columns["gate_mean"] = pa.array([naive_gates(s, 0) if len(s.nll) else None for s in rows], per_layer)
        columns["gate_weighted"] = pa.array([naive_gates(s, 1) if len(s.nll) else None for s in rows], per_layer)
    if features:
        width = next(len(s.features) for s in rows if s.features is not None)
        columns[features] = pa.array([s.features for s in rows], pa.list_(pa.float32(), width))
    if tokens:
        columns["token_nll"] = pa.array([np.asarray(s.nll, "<f4").tobytes() for s in rows], pa.binary())
        columns["gate_logits"] = pa.array([s.logits.astype("<f2").tobytes() for s in rows], pa.binary())
    return pa.table(columns)


def random_samples(
    count: int, layers: int = 3, longest: int = 12, seed: int = 0, labels: Sequence[str | None] = (None,)
) -> list[Sample]:
    """Samples of 1 to `longest` tokens (one of them has no NLL) from three sources."""
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(count):
        n_tokens = int(rng.integers(1, longest + 1)) if i else 1
        logits = rng.normal(0, 2, (layers, n_tokens))
        samples.append(
            Sample(f"set_{i % 3}", i, rng.exponential(2, n_tokens - 1).tolist(), logits, labels[i % len(labels)])
        )
    return samples


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Folders]:
    """Write samples as a pool with statistics: `write(samples, shard_rows=3, tokens=True, gated=True,
    features="router_probs", name="a")`.
    """

    def write_here(samples: Sequence[Sample], name: str = "made", **options: Any) -> Folders:
        return write_folders(tmp_path / name, samples, **options)

    return write_here


class Made:
    """What the tests of this folder share."""

    Sample = Sample
    params = staticmethod(make_params)
    random_samples = staticmethod(random_samples)
    naive_gates = staticmethod(naive_gates)
    logit = staticmethod(logit)


@pytest.fixture(scope="session")
def made() -> type[Made]:
    return Made
