"""Where the time of packed scoring goes on a CPU, and why no more of the matmul peak is reached: `python -m
benchmarks.breakdown`.

torch's profiler times every operation of a pass over the samples of `benchmarks.scoring`. Matrix products are told
apart from the rest, and their speed is held against the 2,048 x 2,048 product that the peak is measured with. The
profiler itself takes a few per cent, which count as "all else".
"""

import argparse
import statistics
import time
from collections import Counter

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.loops import packed
from benchmarks.models import random_model, random_samples, sample_lengths
from benchmarks.scoring import matmul_peak
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import ENOUGH, RowSize

KINDS = {
    "matrix products": {"mm"},
    "attention": {"bmm", "_softmax", "_scaled_dot_product_flash_attention_for_cpu"},
    "copies": {"copy_"},
    "gather and weighted sum of experts": {"index_select", "_embedding_bag_forward_only", "sort"},
    "elementwise": {"mul", "mul_", "add", "add_", "addcmul_", "silu_", "exp_", "sum", "linalg_vector_norm"},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.breakdown", description="Where the time of packed scoring goes on a CPU."
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for name in ("olmoe", "qwen3"):
        model = random_model(name, "cpu")
        engine = Engine(model, 2048, RowSize(ENOUGH["cpu"]), "benchmark")
        samples = random_samples(model.config.vocab_size, sample_lengths(24, 180, 0), 0)
        packed(engine, samples)
        shares, speeds = zip(*(_one_round(engine, samples) for _ in range(rounds)), strict=True)
        print(f"\n{name}: medians of {rounds} passes\n| kind of operation | of the time |\n| --- | ---: |")
        for kind in [*KINDS, "all else"]:
            print(f"| {kind} | {statistics.median(share[kind] for share in shares):.1%} |")
        print(f"Matrix products run at {statistics.median(speeds):.0%} of the speed of the 2,048 x 2,048 product.")


def _one_round(engine: Engine, samples: list[torch.Tensor]) -> tuple[Counter[str], float]:
    """Each kind's share of a pass, and the speed of the matrix products against the peak measured before and after."""
    peak = matmul_peak(engine.model.device)
    with profile(activities=[ProfilerActivity.CPU], with_flops=True) as profiler:
        started = time.perf_counter()
        packed(engine, samples)
        total = time.perf_counter() - started
    peak = (peak + matmul_peak(engine.model.device)) / 2
    share: Counter[str] = Counter()
    products = 0
    for event in profiler.events() or []:
        kind = next((kind for kind, names in KINDS.items() if event.name.removeprefix("aten::") in names), "all else")
        if kind == "matrix products":
            products += event.flops
        if kind != "all else":
            share[kind] += event.self_cpu_time_total / 1e6 / total
    share["all else"] = 1 - sum(share.values())
    return share, products / (share["matrix products"] * total) / peak


if __name__ == "__main__":
    main()
