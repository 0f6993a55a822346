"""Evaluate the target's base model with lm-eval, once for all adapters that are trained on it.

In:  `finetune.base_model`, data/benchmark (MMLU-format questions), the section `eval`
Out: data/baseline (lm-eval's results, the outcome of every question, what was asked)

`python -m mygo.launch baseline` shares the questions among `launch.num_processes`.
"""

from pathlib import Path

from mygo.errors import one_sentence
from mygo.launch.arguments import parse_arguments
from mygo.params import load_params

BENCHMARK = Path("data/benchmark")


@one_sentence
def main() -> None:
    params = load_params()
    from mygo.evaluation.baseline import base_commit, baseline_settings, write_baseline
    from mygo.evaluation.harness import evaluate_base
    from mygo.runtime import start_runtime

    runtime = start_runtime(params.seed)
    results = evaluate_base(params, runtime, BENCHMARK)
    if results is not None:  # the first process of the launch writes
        settings = baseline_settings(params, runtime, BENCHMARK) | base_commit(params)
        write_baseline(results, settings, Path("data/baseline"))


if __name__ == "__main__":
    parse_arguments(__doc__)
    main()
