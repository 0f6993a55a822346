"""Start a stage of the pipeline as `launch.*` in params.yaml says: here, in several processes, or through accelerate.

In:  params.yaml, the accelerate config that `launch.accelerate_config` names
Out: what the stage writes; `python -m mygo.launch STAGE --help` tells
"""

import argparse
import os
import pkgutil
import runpy
import sys
from pathlib import Path

import stages
from mygo.errors import one_sentence
from mygo.launch.preflight import preflight
from mygo.params import load_params

PARALLEL = {"warmup", "collect", "finetune", "baseline", "eval"}  # the others run in one process


@one_sentence
def main() -> None:
    stage, arguments = _arguments()
    if {"-h", "--help"} & set(arguments):
        return _run_here(stage, arguments)
    params = load_params()
    config = preflight(params, Path())
    if stage not in PARALLEL:
        return _run_here(stage, arguments)
    processes = params.launch.num_processes
    from mygo.launch.processes import environment_of, run_processes

    environment = environment_of(config, processes)
    if not config.plain:
        from mygo.launch.engine import run_with_accelerate

        raise SystemExit(run_with_accelerate(stage, arguments, processes, config, environment))
    if processes > 1:
        raise SystemExit(run_processes(stage, arguments, processes, environment))
    os.environ.update(environment)
    return _run_here(stage, arguments)


def _arguments() -> tuple[str, list[str]]:
    names = [module.name for module in pkgutil.iter_modules(stages.__path__)]
    parser = argparse.ArgumentParser(
        prog="python -m mygo.launch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("stage", choices=names, metavar="STAGE", help=", ".join(names))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="handed to the stage")
    parsed = parser.parse_args()
    return parsed.stage, parsed.arguments


def _run_here(stage: str, arguments: list[str]) -> None:
    """The stage in this process: one start of the interpreter less."""
    sys.argv = [sys.argv[0], *arguments]
    runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
