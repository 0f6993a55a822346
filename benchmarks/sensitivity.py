"""Is the mini world sensitive to the data? Fine-tune the target on samples chosen by their *true* label and measure it.

For every seed a new world, a new base model, and three adapters trained on the same number of samples: all clean,
random, all corrupted. This is what a perfect selection could gain there; no strategy sees the labels. Prints a Markdown
table.

    python -m benchmarks.sensitivity --seeds 0 1 2
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from mygo.data.benchmark import write_benchmark
from mygo.data.mini_world import MiniWorld, build
from mygo.data.records import Sample
from mygo.evaluation.baseline import baseline_settings, write_baseline
from mygo.evaluation.harness import evaluate_base
from mygo.evaluation.report import headline
from mygo.evaluation.target import evaluate_target
from mygo.params import Params, load_params
from mygo.preparation.base_models import build_base_models
from mygo.runtime import start_runtime
from mygo.training.finetune import fine_tune

GROUPS = ("clean", "random", "corrupted")


def accuracies(params: Params, seed: int, folder: Path) -> dict[str, float]:
    """Benchmark accuracy of the base model and of an adapter for each of `GROUPS`, everything drawn from `seed`."""
    runtime = start_runtime(seed)
    world = build(params.prepare.mini_world, seed)
    build_base_models(world, folder / "base", seed, params.prepare.mini_world.pretrain_steps, ["qwen3"])
    write_benchmark(
        world.questions(),
        {"name": "mini_world", "prompt": "continuation", "groups": dict(world.groups)},
        folder / "benchmark",
    )
    target = params.finetune.model_copy(update={"base_model": str(folder / "base/qwen3")})
    params = params.model_copy(update={"finetune": target, "seed": seed})
    benchmark, baseline = folder / "benchmark", folder / "baseline"
    measured_base = evaluate_base(params, runtime, benchmark)
    assert measured_base is not None
    write_baseline(measured_base, baseline_settings(params, runtime, benchmark), baseline)
    result: dict[str, float] = {}
    for group in GROUPS:
        _write_selected(world, group, params.select.ratio, seed, folder / "selected.jsonl")
        fine_tune(target, runtime, seed, folder / "selected.jsonl", folder / group, folder / "plots")
        measured = evaluate_target(params, runtime, folder / group, benchmark, baseline)
        assert measured is not None
        scores = headline(measured)["mmlu"]
        result |= {"base": scores["base_acc"], group: scores["acc"]}
    return result


def _write_selected(world: MiniWorld, group: str, ratio: float, seed: int, path: Path) -> None:
    samples = list(world.samples())
    budget = round(ratio * len(samples))
    wanted = [sample for sample in samples if _belongs(sample, group)]
    chosen = np.random.default_rng([seed, 7]).choice(len(wanted), budget, replace=False)
    path.write_text("".join(json.dumps({"messages": wanted[i].messages}) + "\n" for i in sorted(chosen)))


def _belongs(sample: Sample, group: str) -> bool:
    return group == "random" or (sample.label == "clean") == (group == "clean")


def table(by_seed: dict[int, dict[str, float]]) -> str:
    columns = ("base", *GROUPS)
    lines = ["| seed | base model | clean | random | corrupted |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {seed} | " + " | ".join(f"{row[name]:.3f}" for name in columns) + " |" for seed, row in by_seed.items()
    ]
    means = [np.mean([row[name] for row in by_seed.values()]) for name in columns]
    return "\n".join([*lines, "| mean | " + " | ".join(f"{mean:.3f}" for mean in means) + " |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    params = load_params()
    by_seed = {}
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            by_seed[seed] = accuracies(params, seed, Path(folder))
    print(table(by_seed))


if __name__ == "__main__":
    main()
