"""Fine-tune the target with LoRA on the selected samples.

In:  data/selected/selected.jsonl, the target base model
Out: data/adapter/ (PEFT format), metrics/finetune.json, plots/finetune/ (loss curve)
"""

from pathlib import Path

from mygo.errors import one_sentence
from mygo.launch.arguments import parse_arguments
from mygo.metrics import write_metrics
from mygo.params import load_params


@one_sentence
def main() -> None:
    params = load_params()
    from mygo.runtime import start_runtime
    from mygo.training.finetune import fine_tune

    runtime = start_runtime(params.seed)
    metrics = fine_tune(
        params.finetune,
        runtime,
        params.seed,
        Path("data/selected/selected.jsonl"),
        Path("data/adapter"),
        Path("plots/finetune"),
    )
    if runtime.is_main:
        write_metrics("metrics/finetune.json", metrics)


if __name__ == "__main__":
    parse_arguments(__doc__)
    main()
