"""Select: score every sample of the pool and keep those that the strategy chooses.

In:  data/statistics/, data/pool/, data/reference_statistics/ and data/reference/ where there is a reference set,
     data/warmed/digests.json (which model the statistics must be of)
Out: data/selected/selected.jsonl, data/selected/scores.parquet, metrics/select.json, and in plots/select
score_histogram.csv, labels.csv, sources.csv, clusters.csv, elbow.csv, projection.csv
"""

import logging
from pathlib import Path

from mygo.errors import one_sentence
from mygo.launch.arguments import parse_arguments
from mygo.metrics import write_metrics, write_plot
from mygo.params import load_params


@one_sentence
def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    params = load_params()
    from mygo.selection.reading.provenance import check_model
    from mygo.selection.reading.statistics import open_statistics
    from mygo.selection.run import select

    check_model(open_statistics(Path("data/statistics")), Path("data/warmed/digests.json"), params.collect)
    folders = {"reference": Path("data/reference_statistics"), "reference_pool": Path("data/reference")}
    there = {name: folder for name, folder in folders.items() if any(folder.glob("*.parquet"))}
    statistics, pool, out = Path("data/statistics"), Path("data/pool"), Path("data/selected")
    result = select(params.select, params.seed, statistics, pool, out, **there)
    write_metrics("metrics/select.json", result.metrics)
    for name, rows in result.plots.items():
        write_plot(f"plots/select/{name}.csv", rows)


if __name__ == "__main__":
    parse_arguments(__doc__)
    main()
