"""Prepare the pool, the warm-up pool, the benchmark and, for the mini presets, two tiny base models.

In:  the sources named in params: the built-in mini world, local files, or a hub data set at a pinned revision
Out: data/pool/ (with rejected.parquet and left_out.parquet), data/warmup_pool/, data/benchmark/, data/reference/,
     data/base/, metrics/prepare.json
"""

from pathlib import Path

from mygo.errors import one_sentence
from mygo.launch.arguments import parse_arguments
from mygo.metrics import write_metrics
from mygo.params import load_params


@one_sentence
def main() -> None:
    params = load_params()
    from mygo.preparation.prepare import prepare

    write_metrics("metrics/prepare.json", prepare(params.prepare, params.seed, Path("data")))


if __name__ == "__main__":
    parse_arguments(__doc__)
    main()
