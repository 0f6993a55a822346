"""The whole of select over a large made-up pool, in a process of its own: seconds, CPU seconds, peak memory.

    python -m benchmarks.large_pool --samples 1000000 --clusters 100

Statistics and pool are written first and do not count; they take 5 KB a sample below --folder.
"""

import argparse
import json
import logging
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.made_statistics import Size, write_statistics
from mygo.data.pool import write_pool
from mygo.data.records import Sample
from mygo.params import SelectParams
from mygo.selection.run import select

ROOT = Path(__file__).resolve().parents[1]
ANSWER = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because it is so."}]


def write_made_pool(folder: Path, samples: int) -> None:
    """The rows that `write_statistics` writes statistics of."""
    write_pool((Sample(f"set_{i % 4}", i // 4, f"set_{i % 4}_{i // 4}", ANSWER, None) for i in range(samples)), folder)


def measured(params: SelectParams, folder: Path) -> dict[str, Any]:
    """Run select in a process of its own, so that its peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    process = context.Process(target=_measure, args=(params, folder, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"select ended with {process.exitcode}")
    return answers.get()


def _measure(params: SelectParams, folder: Path, answers: Any) -> None:
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)6.0f ms  %(message)s")
    cpu, clock = time.process_time(), time.perf_counter()
    result = select(params, 0, folder / "statistics", folder / "pool", folder / "selected")
    spent = {"seconds": time.perf_counter() - clock, "CPU seconds": time.process_time() - cpu}
    spent["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answers.put({name: round(value, 1) for name, value in spent.items()} | {"metrics": result.metrics})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--ratio", type=float, default=0.05)
    parser.add_argument("--folder", type=Path, default=None, help="kept, and used again where it is there")
    args = parser.parse_args()
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())["select"]
    kmeans = {"strategy": "cluster_round_robin", "clusters": args.clusters, "ratio": args.ratio}
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if not (folder / "statistics").exists():
            write_statistics(folder / "statistics", Size(args.samples, args.layers, args.experts, tokens=False), 0)
            write_made_pool(folder / "pool", args.samples)
        for changes in ({"strategy": "top", "ratio": args.ratio}, kmeans):
            found = measured(SelectParams(**raw | changes), folder)
            print(changes["strategy"], json.dumps(found, default=float))


if __name__ == "__main__":
    main()
