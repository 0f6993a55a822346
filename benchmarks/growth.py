"""How the cost of grading grows: `python -m benchmarks.growth`.

Our scoring with one thing doubled at a time, interleaved with the plain case: samples, tokens a sample, layers,
vocabulary. Then a pool through `collect` with one process and with several, one thread each.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.loops import packed
from benchmarks.memory import make_pool, make_selector, tiny_params
from benchmarks.models import flops, random_model, random_samples, sample_lengths
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import RowSize

PROCESS = """
import sys, torch
from pathlib import Path
from mygo.collection.collect import collect
from mygo.params import CollectParams
from mygo.runtime import Runtime
torch.set_num_threads(1)
runtime = Runtime(torch.device("cpu"), torch.float32, int(sys.argv[3]), int(sys.argv[4]))
sys.stdin.readline()
collect(CollectParams.model_validate_json(sys.argv[1]), runtime, Path("warmed"), Path(sys.argv[2]),
Path(f"out_{sys.argv[4]}"))
"""


@dataclass
class Case:
    """A model and samples, the seconds they took and the floating-point operations they need."""

    engine: Engine
    samples: list[torch.Tensor]
    seconds: list[float]

    @property
    def work(self) -> float:
        return flops(self.engine.model.config, [len(sample) for sample in self.samples])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description="How the cost of grading grows.")
    parser.add_argument("--models", nargs="+", choices=["olmoe", "qwen3"], default=["olmoe", "qwen3"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pool", type=int, default=20_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.models:
        _print_doubled(name, arguments.rounds)
    _print_processes(arguments.pool, arguments.processes)


def _print_doubled(name: str, rounds: int) -> None:
    cases = {
        "plain": _case(name),
        "samples x 2": _case(name, samples=32),
        "tokens x 2": _case(name, median=240),
        "layers x 2": _case(name, layers=8),
        "vocabulary x 2": _case(name, vocabulary=64_000),
    }
    for _ in range(rounds):
        for case in cases.values():
            started = time.perf_counter()
            packed(case.engine, case.samples)
            case.seconds.append(time.perf_counter() - started)
    plain = cases["plain"]
    print(f"\n{name}: 16 samples of median 120 tokens, 4 layers, vocabulary 32,000; medians of {rounds} rounds")
    print("| what | seconds | times the plain case | operations, times the plain case |\n| --- | ---: | ---: | ---: |")
    for what, case in cases.items():
        seconds = statistics.median(case.seconds)
        print(
            f"| {what} | {seconds:.2f} | {seconds / statistics.median(plain.seconds):.2f} | "
            f"{case.work / plain.work:.2f} |"
        )


def _case(name: str, samples: int = 16, median: float = 120, layers: int = 4, vocabulary: int = 32_000) -> Case:
    model = random_model(name, "cpu", vocabulary, layers=layers)
    # One draw for all cases: more samples repeat it, longer ones stretch it.
    lengths = [int(length * median / 120) for length in sample_lengths(16, 120, 0, longest=1000)] * (samples // 16)
    return Case(Engine(model, 2048, RowSize(2048), "benchmark"), random_samples(vocabulary, lengths, 0), [])


def _print_processes(samples: int, most: int) -> None:
    """Start-up is left out: the processes wait until all have imported."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_selector(folder / "warmed/epoch_1")
        pool = make_pool(folder, samples)
        seconds = {processes: _collect(folder, pool, processes) for processes in sorted({1, most})}
    print(
        f"\ncollect, {samples:,} short samples, tiny model\n| processes | seconds | speed-up |\n| ---: | ---: | ---: |"
    )
    for processes, taken in seconds.items():
        print(f"| {processes} | {taken:.1f} | {seconds[1] / taken:.2f} |")


def _collect(folder: Path, pool: Path, processes: int) -> float:
    command = [sys.executable, "-c", PROCESS, tiny_params().model_dump_json(), str(pool)]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(processes)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(processes)
    ]
    time.sleep(20)  # imports
    started = time.perf_counter()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert all(process.wait() == 0 for process in running)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
