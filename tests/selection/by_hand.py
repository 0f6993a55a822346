"""Makes pools and statistics by hand. Sample-level columns are computed sample by sample in plain Python, apart from
the code under test.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mygo.data.records import POOL_SCHEMA
from mygo.params import SelectParams
from mygo.selection.run import Selection, select
from tests.selection.made_params import make_params

__all__ = ["make_params"]


@dataclass
class Sample:
    """`nll`: T - 1 values; `logits`: [L][T], the gates before the sigmoid; `features`: what it is clustered by, None
    where collect had no token of it; `answer`: [T], which tokens belong to an answer, all where it is None. A sample
    that collect rejected has no token at all.
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
    answer: Sequence[bool] | None = None
    base_nll: float | None = None

    @property
    def n_tokens(self) -> int:
        return self.logits.shape[1]

    @property
    def answer_T(self) -> np.ndarray:
        return np.ones(self.n_tokens, bool) if self.answer is None else np.array(self.answer, bool)

    def counts(self, tokens: str) -> list[bool]:
        """Whether each of tokens 1..T-1 counts for a gate score."""
        return [tokens == "all" or bool(answer) for answer in self.answer_T[1:]]

    @property
    def key(self) -> str:
        return f"{self.dataset}-{self.index}"


@dataclass
class Folders:
    pool: Path
    statistics: Path


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def logit(g: float) -> float:
    return math.log(g / (1 - g))


def naive_gates(sample: Sample, alpha: float, tokens: str = "all") -> list[float]:
    """s_l = sum_t p_t^alpha g_{l,t} / sum_u p_u^alpha over the tokens that count, token by token, as DESIGN section 6
    writes it; NaN where none counts.
    """
    counts = sample.counts(tokens)
    if not any(counts) or max(sample.nll) > 700:
        return [math.nan] * len(sample.logits)
    powers = [math.exp(nll) ** alpha * count for nll, count in zip(sample.nll, counts, strict=True)]
    return [
        sum(p * sigmoid(x) for p, x in zip(powers, layer[1:], strict=True)) / sum(powers)
        for layer in sample.logits.tolist()
    ]


def mean_or_null(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def write_folders(
    root: Path,
    samples: Sequence[Sample],
    shard_rows: int = 3,
    tokens: bool = True,
    gated: bool = True,
    features: str | None = None,
    means: bool = True,
    columns: dict[str, pa.Array] | None = None,
    **manifest: Any,
) -> Folders:
    """`tokens`: with the token level; `means`: with the gates' means (a loop over tokens in Python takes its time);
    `columns`: more of them, a value for each sample; `manifest`: more of it.
    """
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
        table = shard_table(rows, tokens, gated, features, means, any(s.base_nll is not None for s in samples))
        for name, column in (columns or {}).items():
            table = table.append_column(name, column.slice(start, len(rows)))
        pq.write_table(
            table,
            path,
            compression="zstd",
            use_dictionary=False,
            max_rows_per_page=16,
        )
    manifest = {
        "fingerprint": {},
        "layers": len(samples[0].logits),
        "router_layers": len(samples[0].logits) if "experts" in manifest else 0,
        "experts": 0,
        **{"records": ["gates"] if gated else [], "selector": gated, "router_layers": len(samples[0].logits)},
        "tokens": tokens,
        "shards": shards,
    } | manifest
    (folders.statistics / "manifest.json").write_text(json.dumps(manifest))
    return folders


def shard_table(
    rows: Sequence[Sample], tokens: bool, gated: bool, features: str | None, means: bool, base_nll: bool
) -> pa.Table:
    per_layer = pa.list_(pa.float32(), len(rows[0].logits))
    columns = {
        "source_dataset": pa.array([s.dataset for s in rows]),
        "source_index": pa.array([s.index for s in rows], pa.int64()),
        "id": pa.array([s.key for s in rows]),
        "n_tokens": pa.array([s.n_tokens for s in rows], pa.int32()),
        "truncated": pa.array([False] * len(rows)),
        "nll": pa.array([mean_or_null(s.nll) for s in rows], pa.float32()),
        "nll_answer": pa.array(
            [
                mean_or_null([nll for nll, counts in zip(s.nll, s.counts("answer"), strict=True) if counts])
                for s in rows
            ],
            pa.float32(),
        ),
    }
    if gated and means:
        for alpha, name in enumerate(("gate_mean", "gate_weighted")):
            for tokens, column in (("all", name), ("answer", f"{name}_answer")):
                lists = [naive_gates(s, alpha, tokens) if any(s.counts(tokens)) else None for s in rows]
                columns[column] = pa.array(lists, per_layer)
    if gated and base_nll:
        columns["base_nll"] = pa.array([s.base_nll for s in rows], pa.float32())
    if features:
        width = next(len(s.features) for s in rows if s.features is not None)
        columns[features] = pa.array([s.features for s in rows], pa.list_(pa.float32(), width))
    if tokens:
        columns["token_nll"] = pa.array([np.asarray(s.nll, "<f4").tobytes() for s in rows], pa.binary())
        columns["gate_logits"] = pa.array([s.logits.astype("<f2").tobytes() for s in rows], pa.binary())
        columns["answer"] = pa.array([s.answer_T.astype("u1").tobytes() for s in rows], pa.binary())
    return pa.table(columns)


def lists(values: np.ndarray) -> pa.FixedSizeListArray:
    """A column of one list of numbers for each row."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), pa.float32()), values.shape[1])


def random_samples(
    count: int, layers: int = 3, longest: int = 12, seed: int = 0, labels: Sequence[str | None] = (None,)
) -> list[Sample]:
    """Samples of 1 to `longest` tokens (one of them has no NLL) from three sources; about half of the tokens belong to
    an answer.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(count):
        n_tokens = int(rng.integers(1, longest + 1)) if i else 1
        logits = rng.normal(0, 2, (layers, n_tokens))
        nll = rng.exponential(2, n_tokens - 1).tolist()
        answer = (np.random.default_rng([seed, i]).random(n_tokens) < 0.5).tolist()
        base_nll = sum(nll) / len(nll) / 2 if nll else None
        samples.append(
            Sample(f"set_{i % 3}", i, nll, logits, labels[i % len(labels)], answer=answer, base_nll=base_nll)
        )
    return samples


def run_select(folders: Folders, params: SelectParams, seed: int = 0) -> tuple[Selection, list[dict], list[int]]:
    """What select reports, the rows of `scores.parquet`, and the index of each sample that is kept."""
    out = folders.pool.parent / "selected"
    result = select(params, seed, folders.statistics, folders.pool, out)
    kept = [json.loads(line)["source_index"] for line in (out / "selected.jsonl").read_text().splitlines()]
    return result, pq.read_table(out / "scores.parquet").to_pylist(), kept
