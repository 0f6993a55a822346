"""The quality score, the ranking and the top k as one writes them with pandas: what ours is measured against.

N samples, L layers, T tokens of a sample.
"""

from pathlib import Path

import numpy as np
import pandas as pd

EPS = 1e-8
KEYS = ["source_dataset", "source_index"]
Chosen = tuple[np.ndarray, np.ndarray]  # score [N], rows that are kept, best first


def sample_level(folder: Path, budget: int, _alpha: float) -> Chosen:
    """Alpha 1: the weighted gates of each sample were summed by `collect`."""
    frame = _read(folder, [*KEYS, "gate_weighted"])
    return _choose(frame, pd.DataFrame(np.stack(list(frame["gate_weighted"]))), budget)


def token_level(folder: Path, budget: int, alpha: float) -> Chosen:
    """Any alpha: one row per token, weights and weighted sums by groupby."""
    frame = _read(folder, [*KEYS, "n_tokens", "token_nll", "gate_logits"])
    tokens = pd.DataFrame(
        np.concatenate([_gates(*pair) for pair in zip(frame["gate_logits"], frame["n_tokens"], strict=True)])
    )
    by_sample = np.repeat(frame.index.to_numpy(), frame["n_tokens"] - 1)
    nll = pd.Series(np.concatenate([np.frombuffer(blob, "<f4") for blob in frame["token_nll"]])).astype(float)
    power = pd.Series(np.exp(alpha * (nll - nll.groupby(by_sample).transform("max"))))
    weight = power / power.groupby(by_sample).transform("sum")
    return _choose(frame, pd.DataFrame(tokens.mul(weight, axis=0).groupby(by_sample).sum()), budget)


def _gates(blob: bytes, n_tokens: int) -> np.ndarray:
    """good_ratio of tokens 1..T-1, one row per token."""
    logits = np.frombuffer(blob, "<f2").reshape(-1, n_tokens)[:, 1:].T.astype(np.float32)
    return 1 / (1 + np.exp(-logits))


def _read(folder: Path, columns: list[str]) -> pd.DataFrame:
    return pd.concat(
        [pd.read_parquet(path, columns=columns) for path in sorted(folder.glob("*.parquet"))], ignore_index=True
    )


def _choose(frame: pd.DataFrame, gates: pd.DataFrame, budget: int) -> Chosen:
    gates = gates.astype(float)
    low, mean = gates.min(), gates.mean()
    frame["score"] = ((gates - low) / ((gates.max() - low).clip(lower=EPS) * mean.clip(lower=EPS))).mean(axis=1)
    kept = frame.sort_values(["score", *KEYS], ascending=[False, True, True]).head(budget)
    return frame["score"].to_numpy(), kept.index.to_numpy()
