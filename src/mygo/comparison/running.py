"""Runs the cells of a comparison: each worker a workspace of its own, each seed on one of them, so that a seed's stages
are shared.
"""

import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from mygo.comparison.cells import Cell, Strategy, keep, kept, measured
from mygo.comparison.workspace import Composed, Workspace


def compare(
    workspaces: Sequence[Workspace],
    strategies: Sequence[Strategy],
    seeds: Sequence[int],
    settings: Sequence[str],
    work: Path,
) -> list[Cell]:
    """All cells, strategy by strategy in the order given; those that are not kept in `work` yet are run, as many seeds
    at once as there are workspaces.

    `settings` hold for every cell. Raises `UserError` for a wrong setting before anything runs, and when a run fails.
    """
    wanted = [(seed, strategy) for seed in seeds for strategy in strategies]
    composed = workspaces[0].compose([[f"seed={seed}", *settings, *strategy.settings] for seed, strategy in wanted])
    plans = [Plan(seed, strategy, params) for (seed, strategy), params in zip(wanted, composed, strict=True)]
    runs = Runs(work, len(plans))
    free: SimpleQueue[Workspace] = SimpleQueue()
    for workspace in workspaces:
        free.put(workspace)

    def run_seed(seed: int) -> list[Cell]:
        workspace = free.get()
        try:
            return [runs.cell(workspace, plan) for plan in plans if plan.seed == seed]
        finally:
            free.put(workspace)

    with ThreadPoolExecutor(len(workspaces)) as pool:
        try:
            done = list(pool.map(run_seed, seeds))
        except BaseException:  # Ctrl-C too: what is running goes with it
            runs.stopped.set()
            for workspace in workspaces:
                workspace.stop()
            raise
    cells = {(cell.strategy, cell.seed): cell for of_seed in done for cell in of_seed}
    return [cells[strategy.name, seed] for strategy in strategies for seed in seeds]


@dataclass(frozen=True)
class Plan:
    """One seed of one strategy, and the params that it runs with."""

    seed: int
    strategy: Strategy
    params: Composed


@dataclass
class Runs:
    """What has been run so far, of how many."""

    work: Path
    total: int
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def cell(self, workspace: Workspace, plan: Plan) -> Cell:
        """As it was kept, or run now."""
        name, seed, params = plan.strategy.name, plan.seed, plan.params
        key, begin = workspace.key(params.params), time.monotonic()
        cell = kept(self.work / "cells", name, seed, key)
        how = "kept"
        if cell is None:
            if self.stopped.is_set():
                raise InterruptedError("another cell failed")
            workspace.run(params, self.work / "logs" / f"{name}-seed{seed}.log")
            cell = measured(params.params, workspace.folder / "metrics", key, name)
            keep(cell, self.work / "cells")
            how = f"{time.monotonic() - begin:.0f} s"
        with self.lock:
            self.done += 1
            told = f"{self.done} of {self.total}: seed {seed}, {name}: accuracy {cell.accuracy:.3f} ({how})"
            print(told, file=sys.stderr, flush=True)
        return cell
