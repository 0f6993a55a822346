"""Warm up the gates.

In:  data/selector/, data/warmup_pool/
Out: data/warmed/epoch_1/ ... epoch_N/ and digests.json, metrics/warmup.json, plots/warmup/ (loss parts, good_ratio per
layer)
"""

from pathlib import Path

from mygo.errors import one_sentence
from mygo.launch.arguments import parse_arguments
from mygo.metrics import write_metrics, write_plot
from mygo.params import load_params


@one_sentence
def main() -> None:
    params = load_params()
    from mygo.runtime import start_runtime  # torch takes seconds to import; a mistake in params.yaml is told at once
    from mygo.training.warmup import warm_up

    runtime = start_runtime(params.seed)
    report = warm_up(
        params.warmup,
        runtime,
        params.seed,
        Path("data/selector"),
        Path("data/warmup_pool"),
        Path("data/warmed"),
        Path("plots/warmup"),
    )
    if runtime.is_main:
        write_metrics("metrics/warmup.json", report.metrics)
        write_plot("plots/warmup/good_ratio.csv", report.good_ratio, ("step", "layer", "good_ratio"))


if __name__ == "__main__":
    parse_arguments(__doc__)
    main()
