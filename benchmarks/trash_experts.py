"""What each trash expert does in the mini world: convert, warm up, grade and score its OLMoE with every mode.

    python -m benchmarks.trash_experts --seed 0

Prints the table of docs/trash_experts.md: the last logged language-model loss of the warm-up, the mean good_ratio over
layers beside it, the AUC of the quality score against the true label with its 95 % interval (over samples of this one
world), and the seconds that conversion and warm-up took. All modes share the world, the base, the gates as they are
drawn, and the batches. Everything is made in a temporary folder; a few minutes on two cores.
"""

import argparse
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import get_args

from mygo.collection.collect import collect
from mygo.conversion.convert import convert
from mygo.params import Params, load_params
from mygo.params.choices import TrashExpertMode
from mygo.preparation.prepare import prepare
from mygo.runtime import Runtime, start_runtime
from mygo.selection.run import select
from mygo.training.warmup import warm_up

IDENTITY = "torch.nn:Identity"  # of `custom`: the token's own input
HEADER = "| trash_expert_mode | LM loss at the end | mean good_ratio | AUC of the quality score [95 %] | seconds |"


def row_of(mode: TrashExpertMode, params: Params, runtime: Runtime, seed: int) -> str:
    """One line of the table, from `data/` of the current folder; leaves its outputs in a folder of the mode's name."""
    folder, pool, begin = Path(mode), Path("data/pool"), time.monotonic()
    custom = {"trash_expert_module": IDENTITY} if mode == "custom" else {}
    convert(params.convert.model_copy(update={"trash_expert_mode": mode} | custom), seed, folder / "selector")
    outcome = warm_up(
        params.warmup,
        runtime,
        seed,
        folder / "selector",
        Path("data/warmup_pool"),
        folder / "warmed",
        folder / "plots",
    )
    seconds, measured = time.monotonic() - begin, outcome.metrics
    grade = params.collect.model_copy(update={"base_nll": False})
    collect(grade, runtime, folder / "warmed", pool, folder / "statistics", folder / "selector")
    said = select(params.select, seed, folder / "statistics", pool, folder / "selected").metrics
    name = f"{mode} ({IDENTITY})" if mode == "custom" else mode
    return (
        f"| {name} | {measured['lm_loss']:.4f} | {measured['good_ratio']:.3f} | "
        f"{said['auc']:.3f} [{said['auc_low']:.3f}, {said['auc_high']:.3f}] | {seconds:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    seed, params = parser.parse_args().seed, load_params()
    lines = [HEADER, "| --- | --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        runtime = start_runtime(seed)
        prepare(params.prepare, seed, Path("data"))
        for mode in get_args(TrashExpertMode):
            lines.append(row_of(mode, params, runtime, seed))
            print(lines[-1], file=sys.stderr, flush=True)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
