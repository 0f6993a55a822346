"""Evaluate the fine-tuned target and its base side by side with lm-eval.

In:  `finetune.base_model`, data/adapter (PEFT), data/benchmark (MMLU-format questions), the section `eval`
Out: data/eval (lm-eval's results and the outcome of every question), metrics/eval.json (accuracy of both, gain,
     standard errors), plots/eval/subjects.csv (accuracy of both by subject)

`python -m mygo.launch eval` shares the questions among `launch.num_processes`.
"""

from pathlib import Path

from mygo.errors import one_sentence
from mygo.launch.arguments import parse_arguments
from mygo.metrics import write_metrics, write_plot
from mygo.params import load_params


@one_sentence
def main() -> None:
    params = load_params()
    from mygo.evaluation.harness import evaluate_target
    from mygo.evaluation.report import subject_rows, summarise, write_results
    from mygo.runtime import start_runtime

    results = evaluate_target(
        params, start_runtime(params.seed), adapter=Path("data/adapter"), benchmark=Path("data/benchmark")
    )
    if results is None:  # another process of the launch writes
        return
    write_results(results, Path("data/eval"))
    write_metrics("metrics/eval.json", summarise(results))
    write_plot("plots/eval/subjects.csv", subject_rows(results))


if __name__ == "__main__":
    parse_arguments(__doc__)
    main()
