"""Put quality gates into a base model, and check that nothing else has changed.

In:  the model that `convert.base_model` names (mini world: data/base/olmoe or data/base/qwen3).
Out: data/selector/ (model and tokenizer), metrics/convert.json (parity with the base).
"""

from pathlib import Path

from mygo.errors import one_sentence
from mygo.launch.arguments import parse_arguments
from mygo.metrics import write_metrics
from mygo.params import load_params


@one_sentence
def main() -> None:
    params = load_params()
    from mygo.conversion.convert import convert

    metrics = convert(params.convert, params.seed, Path("data/selector"))
    write_metrics("metrics/convert.json", metrics)


if __name__ == "__main__":
    parse_arguments(__doc__)
    main()
