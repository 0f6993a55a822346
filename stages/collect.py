"""Grade the pool, and the reference set where there is one: one forward pass per sample, statistics to disk.

In:  data/warmed/, data/selector/ (for the base's NLL and for checkpoints of the trained tensors alone), data/pool/,
     data/reference/
Out: data/statistics/ and data/reference_statistics/ (Parquet shards and manifest.json), metrics/collect.json
`--dry-run` prints what it would cost and writes nothing; `--worker` helps a run that
another process or machine has begun.
"""

from pathlib import Path

from mygo.errors import one_sentence
from mygo.launch.arguments import parse_arguments
from mygo.metrics import write_metrics
from mygo.params import load_params


@one_sentence
def main() -> None:
    arguments = parse_arguments(
        __doc__,
        dry_run="print what it would cost, and write nothing",
        worker="help a run that another process or machine has begun",
    )
    params = load_params()
    from mygo.collection.dry_run import dry_run
    from mygo.collection.reference import collect_with_reference
    from mygo.runtime import start_runtime

    runtime = start_runtime(params.seed)
    data = Path("data")
    if arguments.dry_run:
        print(dry_run(params.collect, runtime, data / "warmed", data / "pool", data / "selector", data / "reference"))
        return
    runtime = runtime.as_worker() if arguments.worker else runtime
    metrics = collect_with_reference(params.collect, runtime, data)
    if runtime.is_main:
        write_metrics("metrics/collect.json", metrics)


if __name__ == "__main__":
    main()
