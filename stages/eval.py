"""Evaluate the fine-tuned target with lm-eval, beside its base.

In:  `finetune.base_model`, data/adapter (PEFT), data/benchmark (MMLU-format questions), data/baseline (the base's own
     results), the section `eval`
Out: data/eval (lm-eval's results, the outcome of every question, summary.json with every group), metrics/eval.json
     (accuracy, standard error, the base's accuracy and the paired gain), plots/eval/subjects.csv (both by subject)

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
    from mygo.evaluation.report import headline, subject_rows, write_evaluation
    from mygo.evaluation.target import evaluate_target
    from mygo.runtime import start_runtime

    adapter, benchmark, baseline = Path("data/adapter"), Path("data/benchmark"), Path("data/baseline")
    results = evaluate_target(params, start_runtime(params.seed), adapter, benchmark, baseline)
    if results is None:  # another process of the launch writes
        return
    write_evaluation(results, Path("data/eval"))
    write_metrics("metrics/eval.json", headline(results))
    write_plot("plots/eval/subjects.csv", subject_rows(results))


if __name__ == "__main__":
    parse_arguments(__doc__)
    main()
