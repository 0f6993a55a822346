"""Grade the pool: one forward pass per sample, statistics to disk.

In:  data/warmed/, data/selector/ (for checkpoints of the trained tensors alone), data/pool/
Out: data/statistics/ (Parquet shards and manifest.json), metrics/collect.json
"""

from pathlib import Path

from mygo.errors import one_sentence
from mygo.metrics import write_metrics
from mygo.params import load_params


@one_sentence
def main() -> None:
    params = load_params()
    from mygo.collection.collect import collect
    from mygo.runtime import start_runtime

    runtime = start_runtime(params.seed)
    metrics = collect(params.collect, runtime, Path("data/warmed"), Path("data/pool"), Path("data/statistics"))
    if runtime.is_main:
        write_metrics("metrics/collect.json", metrics)


if __name__ == "__main__":
    main()
