"""Is our spherical k-means worth keeping next to faiss? One thread, interleaved rounds, medians of CPU seconds.

First from one start and for as many iterations, so that both reach the same objective; then each from its own start
until an iteration gains less than 1e-5. The objective is the mean cosine of a row to its centre: higher is better.

    OMP_NUM_THREADS=1 python -m benchmarks.clustering --samples 50000
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import faiss
import numpy as np
from sklearn.cluster import kmeans_plusplus
from threadpoolctl import threadpool_limits

from benchmarks.made_statistics import Size, made_router
from benchmarks.timing import matmul_peak
from mygo.selection.clustering.kmeans import GAIN, objective, spherical_kmeans, start_centres

START_ROWS = 32  # for each cluster, as ours
Found = tuple[np.ndarray, int]  # the label of each row, and how many iterations it took


def ours(x_RD: np.ndarray, k: int, seed: int, iterations: int, gain: float) -> Found:
    found = spherical_kmeans(x_RD, k, np.random.default_rng(seed), iterations, gain=gain)
    return found.label_R, found.iterations


def theirs(x_RD: np.ndarray, k: int, seed: int, iterations: int, start_KD: np.ndarray | None, gain: float) -> Found:
    """faiss takes centres to start from, and assigns once more at the end: its centres have moved since."""
    options = {"max_points_per_centroid": 10**9, "min_points_per_centroid": 1, "check_input_data_for_NaNs": False}
    model = faiss.Kmeans(x_RD.shape[1], k, niter=iterations, spherical=True, seed=seed + 1,
                         early_stop_threshold=gain, **options)  # fmt: skip
    model.train(x_RD, init_centroids=start_KD)
    return model.index.search(x_RD, 1)[1][:, 0], len(model.obj)


def drawn_start(x_RD: np.ndarray, k: int, seed: int) -> np.ndarray:
    """scikit-learn's k-means++ on as many rows as ours takes: faiss's own, on all rows, costs more than it gains."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(x_RD), min(len(x_RD), START_ROWS * k), replace=False)
    return kmeans_plusplus(x_RD[rows], k, random_state=seed)[0]


def contests(x_RD: np.ndarray, k: int, iterations: int) -> dict[str, tuple[Callable[[int], Found], ...]]:
    """For each title: ours and theirs, each a function of the round."""

    def same_start(seed: int) -> np.ndarray:
        return start_centres(x_RD, k, np.random.default_rng(seed))

    return {
        f"one start, {iterations} iterations": (
            lambda seed: ours(x_RD, k, seed, iterations + 1, 0.0),  # the last one is faiss's last assignment
            lambda seed: theirs(x_RD, k, seed, iterations, same_start(seed), 0.0),
        ),
        "k-means++ on a draw, to the end": (
            lambda seed: ours(x_RD, k, seed, 100, GAIN),
            lambda seed: theirs(x_RD, k, seed, 100, drawn_start(x_RD, k, seed), GAIN),
        ),
        "faiss's own random start, to the end": (
            lambda seed: ours(x_RD, k, seed, 100, GAIN),
            lambda seed: theirs(x_RD, k, seed, 100, None, GAIN),
        ),
    }


def measured(work: Callable[[int], Found], seed: int, x_RD: np.ndarray) -> tuple[float, float, float, int]:
    """CPU seconds (other processes share the cores), seconds, objective, iterations."""
    cpu, clock = time.process_time(), time.perf_counter()
    label_R, iterations = work(seed)
    spent = time.process_time() - cpu, time.perf_counter() - clock
    return *spent, objective(x_RD, label_R), iterations


def against_faiss(x_RD: np.ndarray, k: int, iterations: int, rounds: int) -> None:
    """Print a line for each contest."""
    faiss.omp_set_num_threads(1)
    print(f"{x_RD.shape[0]:,} x {x_RD.shape[1]:,}, k {k}; matmul peak {matmul_peak():.0f} GFLOP/s\n")
    print("| what | ours CPU s | faiss CPU s | ours is | ours s | faiss s | objective, ours / faiss | iterations |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |")
    for title, pair in contests(x_RD, k, iterations).items():
        runs = [[measured(work, seed, x_RD) for work in pair] for seed in range(rounds)]
        (cpu, clock, goal, steps), (cpu_2, clock_2, goal_2, steps_2) = (
            [median(values) for values in zip(*of_one, strict=True)] for of_one in zip(*runs, strict=True)
        )
        print(f"| {title} | {cpu:.2f} | {cpu_2:.2f} | {cpu_2 / cpu:.2f} x | {clock:.1f} | {clock_2:.1f} "
              f"| {goal:.6f} / {goal_2:.6f} | {steps:.0f} / {steps_2:.0f} |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with threadpool_limits(1):
        x_RD = made_router(Size(args.samples, args.layers, args.experts, tokens=False), 0)
        against_faiss(x_RD, args.clusters, args.iterations, args.rounds)


if __name__ == "__main__":
    main()
