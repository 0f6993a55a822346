"""Compare strategies over seeds, and print the table: `python -m mygo.comparison`, or `make table`. With `--epochs`,
compare selections by each epoch of the warm-up instead: `make table-epochs`.

Every cell (one seed of one strategy) is the pipeline up to eval, run by DVC in a copy of this repository under work/,
with uncommitted changes as they are. Stages that cells share run once, and stages that ran before come from DVC's run
cache. A finished cell is kept until params or code change: kill it and call it again, or run it in parts.
"""

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mygo.comparison.cells import Strategy, at_ratio, parse_strategy
from mygo.comparison.epochs import compare_epochs, write_epochs
from mygo.comparison.running import compare
from mygo.comparison.table import write_table
from mygo.comparison.workspace import open_workspace
from mygo.errors import UserError, one_sentence

STRATEGIES = ("quality", "random", "full", "perplexity", "length")
WORK = Path("work/table")


@one_sentence
def main() -> None:
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit takes the pipeline that is running with it
    settings, seeds = arguments.set, arguments.seeds
    if arguments.epochs is not None:
        with _alone(WORK):
            workspace = open_workspace(Path(), WORK / "repository")
            made = compare_epochs(workspace, arguments.epochs, seeds or [0], settings, arguments.finetune, WORK)
        print(write_epochs(made, arguments.out))
        print(f"written to {arguments.out}: epochs.md, epochs.json, epochs.csv", file=sys.stderr)
        return
    if arguments.finetune:
        raise UserError("--finetune: goes with --epochs; a table of strategies fine-tunes always")
    strategies = [parse_strategy(text) for text in dict.fromkeys(arguments.strategies)]
    if len({strategy.name for strategy in strategies}) < len(strategies):
        raise UserError("--strategies: got one name for two strategies; takes a name for each")
    with _alone(WORK):
        print(_compare_strategies(arguments, strategies))
    print(f"written to {arguments.out}: table.md, table.json, cells.csv", file=sys.stderr)


def _compare_strategies(arguments: argparse.Namespace, strategies: list[Strategy]) -> str:
    seeds, ratios = list(dict.fromkeys(arguments.seeds or range(5))), list(dict.fromkeys(arguments.ratios))
    rows = [at_ratio(strategy, ratio) for ratio in ratios for strategy in strategies] or strategies
    jobs = min(arguments.jobs, len(seeds))
    if jobs > 1:  # each has its share of the cores
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    folders = [WORK / "repository", *(WORK / f"repository_{number}" for number in range(2, jobs + 1))]
    workspaces = [open_workspace(Path(), folder) for folder in folders]
    cells = compare(workspaces, rows, seeds, arguments.set, WORK)
    return write_table(cells, arguments.reference, arguments.out, ratios)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mygo.comparison", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--strategies",
        nargs="+",
        default=STRATEGIES,
        metavar="NAME",
        help="presets of conf/select, or NAME:key=value,key=value",
    )
    add("--ratios", nargs="+", type=float, default=(), metavar="RATIO", help="a table for each select.ratio")
    add("--jobs", type=_count, default=1, metavar="N", help="seeds that run at once, each in a copy of its own")
    add("--seeds", nargs="+", type=int, metavar="SEED", help="default: 0 to 4; with --epochs 0")
    add("--epochs", nargs="*", type=int, metavar="EPOCH", help="compare these epochs of the warm-up; none named: all")
    add("--finetune", action="store_true", help="with --epochs: fine-tune on each selection and evaluate, too")
    add("--reference", default="random", metavar="NAME", help="the strategy that all are held against")
    add("--set", nargs="+", default=(), metavar="KEY=VALUE", help="settings of every cell, as for dvc exp run -S")
    add("--out", type=Path, default=WORK, metavar="FOLDER", help="where the table goes")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; takes a number of 1 or more")
    return int(text)


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """One comparison at a time in a folder."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{work}: another comparison is running there; wait for it, or stop it") from None
        yield


if __name__ == "__main__":
    main()
