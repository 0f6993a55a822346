"""Check params.yaml, and the files, names and modules that it names, before any other stage runs.

In:  params.yaml and what it names
Out: data/checked, which always says the same. DVC deletes a stage's outputs before it runs the stage, so a mistake that
     a stage found would cost what the run before had left; here it costs nothing.
"""

import sys
from pathlib import Path

from mygo.errors import one_sentence
from mygo.launch.advice import advice
from mygo.launch.arguments import parse_arguments
from mygo.launch.preflight import preflight
from mygo.params import load_params
from mygo.workdir import write_atomically


@one_sentence
def main() -> None:
    params = load_params()
    preflight(params, Path())
    for sentence in advice(params, Path()):
        print(f"warning: {sentence}", file=sys.stderr)
    if any(name != "mmlu" and not name.startswith("mmlu_") for name in params.eval.tasks):
        from mygo.evaluation.tasks import check_names  # lm-eval takes seconds to import

        check_names(params.eval.tasks)
    write_atomically(Path("data/checked"), b"params.yaml was checked\n")


if __name__ == "__main__":
    parse_arguments(__doc__)
    main()
