"""How fast is select, next to pandas, scikit-learn and faiss doing the same on the same statistics? One thread,
interleaved rounds, medians.

Scores start from the shards on disk and end at the rows kept. Clustering starts from features in memory; both sides
run as many iterations. Memory is what is taken on top of the inputs. Stops with an error if results differ: scores by
more than 1e-6, kept rows at all, inertia by more than 1 %.

    OMP_NUM_THREADS=1 python -m benchmarks.selection
"""

import argparse
import ctypes
import math
import multiprocessing
import resource
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from benchmarks import pandas_selection
from benchmarks.clustering import against_faiss
from benchmarks.made_statistics import Size, write_statistics
from benchmarks.pandas_selection import Chosen
from benchmarks.timing import MATMUL, matmul_peak, timed
from mygo.selection.clustering.kmeans import normalise, spherical_kmeans
from mygo.selection.ranking import rank_rows
from mygo.selection.reading.statistics import open_statistics
from mygo.selection.scores.gates import layer_gates, normalised_mean
from mygo.selection.spending.budget import budget_of

SEED = 0
SCORE_TOLERANCE = 1e-6
INERTIA_TOLERANCE = 0.01


@dataclass
class Contest:
    """The same work done by us and by a peer; `check` returns a sentence on their results and fails if they differ."""

    name: str
    peer_name: str
    ours: Callable[[], Any]
    peer: Callable[[], Any]
    check: Callable[[Any, Any], str]
    gflop: tuple[float, float] | None = None  # of matrix products
    seconds: tuple[float, float] = (math.nan, math.nan)
    result: str = ""


def ours_chosen(folder: Path, budget: int, alpha: float) -> Chosen:
    recorded = open_statistics(folder)
    keys = pa.concat_tables(
        [
            pq.read_table(folder / shard.file, columns=["source_dataset", "source_index"])
            for shard in recorded.manifest.shards
        ]
    )
    score = normalised_mean(layer_gates(recorded, alpha, "all"), 1e-8, 0.0)
    ranked = rank_rows(score, keys)
    return score, ranked[:budget]


def ours_clustered(x_RD: np.ndarray, k: int, iterations: int) -> np.ndarray:
    return spherical_kmeans(x_RD, k, np.random.default_rng(SEED), iterations, gain=0).label_R


def peer_clustered(x_RD: np.ndarray, k: int, iterations: int, init: Any) -> np.ndarray:
    options: dict[str, Any] = {
        "init": init,
        "n_init": 1,
        "max_iter": iterations,
        "tol": 0,
        "algorithm": "lloyd",
        "random_state": SEED,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge
        return np.asarray(KMeans(k, **options).fit(x_RD).labels_)


def compare_choices(ours: Chosen, peer: Chosen) -> str:
    largest = float(np.abs(ours[0] - peer[0]).max())
    differing = np.setxor1d(ours[1], peer[1])
    if largest > SCORE_TOLERANCE or len(differing):
        raise SystemExit(f"scores differ by {largest:.1e}, {len(differing)} kept rows differ")
    return f"scores within {largest:.0e}, same rows kept"


def compare_clusters(x_RD: np.ndarray, ours: np.ndarray, peer: np.ndarray) -> str:
    difference = inertia(x_RD, ours) / inertia(x_RD, peer) - 1
    if abs(difference) > INERTIA_TOLERANCE:
        raise SystemExit(f"inertia differs by {difference:+.2%}")
    return f"inertia {difference:+.2%}"


def inertia(x_RD: np.ndarray, label_R: np.ndarray) -> float:
    """Sum of squared Euclidean distances of rows of length 1 to the mean of their cluster."""
    sums = [x_RD[label_R == cluster].sum(axis=0, dtype=np.float64) for cluster in np.unique(label_R)]
    sizes = np.bincount(label_R)
    return len(x_RD) - sum(float(total @ total) / size for total, size in zip(sums, sizes[sizes > 0], strict=True))


def extra_memory(work: Callable[[], Any]) -> float:
    """Peak memory in MiB that `work` takes on top of what is there, measured in a forked process of its own."""
    pa.default_memory_pool().release_unused()  # what is held but free would be taken again unseen
    ctypes.CDLL(None).malloc_trim(0)
    forked = multiprocessing.get_context("fork")
    answer = forked.SimpleQueue()
    process = forked.Process(target=lambda: answer.put(_extra_memory(work)))
    process.start()
    process.join()
    return answer.get()


def _extra_memory(work: Callable[[], Any]) -> float:
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    work()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 2**20


def run(contests: list[Contest], rounds: int) -> float:
    """Fill in the medians of every contest; returns the highest matmul speed seen (GFLOP/s)."""
    peaks = []
    times: list[list[tuple[float, float]]] = [[] for _ in contests]
    for _ in range(rounds):
        peaks.append(matmul_peak())
        for contest, rows in zip(contests, times, strict=True):
            (ours_s, ours), (peer_s, peer) = timed(contest.ours), timed(contest.peer)
            rows.append((ours_s, peer_s))
            contest.result = contest.check(ours, peer)
    for contest, rows in zip(contests, times, strict=True):
        contest.seconds = median(row[0] for row in rows), median(row[1] for row in rows)
    return max(peaks)


def print_table(contests: list[Contest], rounds: int) -> None:
    memory = [
        (extra_memory(contest.ours), extra_memory(contest.peer)) for contest in contests
    ]  # before the timings leave freed memory behind
    peak = run(contests, rounds)
    print("| what | peer | ours s | peer s | ours is | ours MiB | peer MiB | share of peak, ours / peer | results |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for contest, (ours_mib, peer_mib) in zip(contests, memory, strict=True):
        ours, peer = contest.seconds
        verdict = f"{peer / ours:.2f}x as fast" if ours <= peer else f"SLOWER, {ours / peer:.2f}x the time"
        share = f"{contest.gflop[0] / ours / peak:.0%} / {contest.gflop[1] / peer / peak:.0%}" if contest.gflop else ""
        cells = [
            contest.name,
            contest.peer_name,
            f"{ours:.3f}",
            f"{peer:.3f}",
            verdict,
            f"{ours_mib:,.0f}",
            f"{peer_mib:,.0f}",
            share,
            contest.result,
        ]
        print("| " + " | ".join(cells) + " |")
    print(
        f"\nmatmul peak {peak:.0f} GFLOP/s (float32, {MATMUL} x {MATMUL}, best of {rounds} rounds); seconds are "
        f"medians of {rounds} rounds"
    )


def clustering(x_RD: np.ndarray, k: int, iterations: int, start_rows: int) -> list[Contest]:
    """scikit-learn on all rows from our start, so that its iterations count (ours also draws that start); on a few rows
    from its own k-means++, as one would call it (on all of them that alone takes ten times as long as the iterations).

    Only similarities count as work: 2 x rows x features x clusters an iteration, and scikit-learn assigns once more at
    the end.
    """
    start_KD = spherical_kmeans(x_RD, k, np.random.default_rng(SEED), 0).centre_KD
    contests = []
    for rows, name, start in ((x_RD, "our start", start_KD), (x_RD[:start_rows], "its own start", "k-means++")):
        gflop = 2e-9 * rows.size * k
        ours, peer = partial(ours_clustered, rows, k, iterations), partial(peer_clustered, rows, k, iterations, start)
        title = f"k-means, {len(rows):,} x {rows.shape[1]:,}, k {k}, {iterations} iterations, {name}"
        work = gflop * iterations, gflop * (iterations + 1)
        contests.append(Contest(title, "scikit-learn", ours, peer, partial(compare_clusters, rows), work))
    return contests


def choosing(folder: Path, size: Size, ratio: float) -> Contest:
    budget = budget_of(ratio, size.samples)
    alpha, peer = (0.5, pandas_selection.token_level) if size.tokens else (1.0, pandas_selection.sample_level)
    title = (
        f"score, rank, top {budget:,} of {size.samples:,}, {'token' if size.tokens else 'sample'} level, alpha {alpha}"
    )
    return Contest(
        title,
        "pandas",
        partial(ours_chosen, folder, budget, alpha),
        partial(peer, folder, budget, alpha),
        compare_choices,
    )


def report(folder: Path, args: argparse.Namespace) -> None:
    contests = []
    for name, samples in (("sample", args.samples), ("token", args.token_samples)):
        write_statistics(folder / name, size := Size(samples, args.layers, args.experts, tokens=name == "token"), SEED)
        contests.append(choosing(folder / name, size, args.ratio))
    x_RD = normalise(open_statistics(folder / "sample").features(np.arange(args.samples)))
    print_table([*contests, *clustering(x_RD, args.clusters, args.iterations, args.start_samples)], args.rounds)
    against_faiss(x_RD, args.clusters, args.iterations, args.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000, help="of the sample level")
    parser.add_argument("--token-samples", type=int, default=4_000, help="of the token level")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--start-samples", type=int, default=5_000, help="that scikit-learn draws its own start from")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--ratio", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        report(Path(name), args)


if __name__ == "__main__":
    main()
