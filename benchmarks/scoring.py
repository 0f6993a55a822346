"""How fast the pool is graded, against the loops that people write: `python -m benchmarks.scoring` (or `make bench`).

The same random-weight selector and the same samples go through every loop in interleaved rounds; medians are printed,
ratios within one run, the share of the matmul peak that was measured in the same run, peak memory, and how far each
loop's NLL is from one sample at a time. On a CPU the models are small and one thread works; `--device cuda` takes the
shapes of OLMoE-1B-7B and Qwen3-1.7B in bfloat16.
"""

import argparse
import statistics
import time
from dataclasses import dataclass, field

import torch
from accelerate.utils.memory import should_reduce_batch_size

from benchmarks.loops import ABLATIONS, LOOPS, OURS, Scores, run_loop
from benchmarks.memory_peak import peak_memory, reset_peak_memory
from benchmarks.models import flops, random_model, random_samples, sample_lengths
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import ENOUGH, RowSize

# Dense bfloat16 peaks as their maker states them (FLOP/s), for MFU; other devices are held against the peak that is
# measured here.
STATED_PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}


@dataclass
class Measured:
    """One loop: seconds of each round, its scores, and the most memory it took beyond what was there (bytes)."""

    seconds: list[float] = field(default_factory=list)
    scores: Scores | None = None
    memory: int = 0


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    for name in arguments.models:
        model = random_model(name, arguments.device, arguments.vocabulary)
        row_size = RowSize(arguments.row or ENOUGH[arguments.device])
        engine = Engine(model, 2048, row_size, "benchmark")
        lengths = sample_lengths(arguments.samples, arguments.median, arguments.seed)
        samples = random_samples(model.config.vocab_size, lengths, arguments.seed)
        known = ABLATIONS if arguments.ablations else LOOPS
        loops = [loop for loop in known if arguments.loops is None or any(wanted in loop for wanted in arguments.loops)]
        measured, peak = _measure(engine, samples, loops, arguments.rounds)
        _print_table(name, engine, lengths, measured, peak)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoring", description="Scoring speed of ours against other loops."
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--models", nargs="+", choices=["olmoe", "qwen3"], default=["olmoe", "qwen3"])
    parser.add_argument("--loops", nargs="+", help="parts of the names of the loops to run (default: all)")
    parser.add_argument("--ablations", action="store_true", help="ours against ours without one of its techniques")
    parser.add_argument("--samples", type=int, help="default: 24 on a CPU, 512 on a GPU")
    parser.add_argument(
        "--median", type=float, default=180, help="median length in tokens; lengths are log-normal, sigma 0.9"
    )
    parser.add_argument("--row", type=int, help="tokens of a packed row (default: what collect takes)")
    parser.add_argument("--vocabulary", type=int, help="another size of the vocabulary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.samples = arguments.samples or {"cpu": 24, "cuda": 512}[arguments.device]
    return arguments


def _measure(
    engine: Engine, samples: list[torch.Tensor], loops: list[str], rounds: int
) -> tuple[dict[str, Measured], float]:
    """All loops in turn, round after round; after a short warm-up. Returns the matmul peak (FLOP/s) as well."""
    measured = {loop: Measured() for loop in loops}
    peaks: list[float] = []
    warm_up = sorted(samples, key=len)[-8:]
    for loop in list(measured):
        try:
            run_loop(loop, engine, warm_up)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            print(f"{loop}: out of memory")
            del measured[loop]
    for turn in range(rounds):
        order = list(measured.items())
        for loop, result in order[turn % len(order) :] + order[: turn % len(order)]:  # another one first in each round
            peaks.append(matmul_peak(engine.model.device))
            before = reset_peak_memory(engine.model.device)
            started = time.perf_counter()
            result.scores = run_loop(loop, engine, samples)
            result.seconds.append(time.perf_counter() - started)
            result.memory = peak_memory(engine.model.device) - before
    return measured, statistics.median(peaks)


def matmul_peak(device: torch.device) -> float:
    """FLOP/s of a large square matmul in the number format of the models."""
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (2048, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    torch.mm(a, b)
    _wait(device)
    started = time.perf_counter()
    for _ in range(4):
        torch.mm(a, b)
    _wait(device)
    return 4 * 2 * size**3 / (time.perf_counter() - started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _print_table(name: str, engine: Engine, lengths: list[int], measured: dict[str, Measured], peak: float) -> None:
    device = (
        torch.cuda.get_device_name() if engine.model.device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread"
    )
    stated = next((value for key, value in STATED_PEAK.items() if key in device), None)
    work, tokens = flops(engine.model.config, lengths), sum(lengths)
    print(
        f"\n{name}: {len(lengths)} samples, {tokens:,} tokens (median {statistics.median(lengths):.0f}), "
        f"vocabulary {engine.model.config.vocab_size:,}"
    )
    print(
        f"{device}; rows of {engine.row_size.tokens:,} tokens; matmul peak {peak / 1e9:,.0f} GFLOP/s"
        + (f", stated {stated / 1e9:,.0f}" if stated else "")
    )
    print(
        f"| {'loop':31s} | tokens/s | ours is | of the peak | {'MFU | ' if stated else ''}peak memory | NLL differs |"
    )
    print(f"| --- | ---: | ---: | ---: | {'---: | ' if stated else ''}---: | ---: |")
    ours = statistics.median(measured[OURS].seconds)
    reference = next(iter(measured.values())).scores
    for loop, result in measured.items():
        seconds = statistics.median(result.seconds)
        assert result.scores is not None
        assert reference is not None
        difference = float((result.scores[0] - reference[0]).abs().max())
        mfu = f"{work / seconds / stated:.1%} | " if stated else ""
        memory = f"{result.memory / 2**20:,.0f} MiB"
        print(
            f"| {loop:31s} | {tokens / seconds:,.0f} | {seconds / ours:.2f} x | {work / seconds / peak:.1%} | "
            f"{mfu}{memory} | {difference:.1e} |"
        )


if __name__ == "__main__":
    main()
