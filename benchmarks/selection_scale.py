"""The whole of select over a large pool: seconds and peak memory of strategies over synthetic statistics (16 layers of
64 experts, sample level), in a process each.

    OMP_NUM_THREADS=2 python -m benchmarks.selection_scale --samples 1000000 --strategies top random_balanced
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.made_statistics import Size, write_statistics
from mygo.data.records import POOL_SCHEMA
from mygo.params import SelectParams, load_params

SEED = 0
POOL_ROWS = 50_000  # of a part


def write_pool_of(statistics: Path, pool: Path) -> None:
    """A pool with the rows of the statistics: a question and an answer of a few words each."""
    pool.mkdir()
    shards = [statistics / shard["file"] for shard in json.loads((statistics / "manifest.json").read_text())["shards"]]
    keys = pa.concat_tables([pq.read_table(path, columns=["source_dataset", "source_index"]) for path in shards])
    for part, first in enumerate(range(0, keys.num_rows, POOL_ROWS)):
        rows = keys.slice(first, POOL_ROWS).to_pylist()
        for row in rows:
            name = f"{row['source_dataset']}-{row['source_index']}"
            turns = [("user", f"What is {name}?"), ("assistant", f"It is the sample {name} of a synthetic pool.")]
            row |= {"id": name, "messages": [{"role": role, "content": text} for role, text in turns]}
        pq.write_table(pa.Table.from_pylist(rows, POOL_SCHEMA), pool / f"pool-{part:05d}.parquet", compression="zstd")


def measure(params: SelectParams, folder: Path) -> None:
    from mygo.selection.run import select

    started = time.perf_counter()
    metrics = select(params, SEED, folder / "statistics", folder / "pool", folder / params.strategy).metrics
    seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    kept = f"{metrics['selected']:,} of {metrics['pool']:,}"
    print(
        f"{params.strategy}: {kept} in {seconds:.1f} s, {time.process_time():.1f} CPU seconds, peak {peak:.2f} GiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--strategies", nargs="+", default=["top"])
    parser.add_argument("--clusters", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_statistics(folder / "statistics", Size(args.samples, 16, 64, tokens=False), SEED)
        write_pool_of(folder / "statistics", folder / "pool")
        for strategy in args.strategies:
            clusters = args.clusters if strategy == "cluster_round_robin" else None
            changes = {"strategy": strategy, "ratio": 0.05, "clusters": clusters}
            params = load_params().select.model_copy(update=changes)
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(params, folder))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
