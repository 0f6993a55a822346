"""Cells side by side: a seed stays in one workspace, seeds run at once, and a failure ends them all."""

import json
import threading
import time
from dataclasses import dataclass, field

import pytest

from mygo.comparison.cells import at_ratio, parse_strategy
from mygo.comparison.running import compare
from mygo.comparison.table import write_table
from mygo.comparison.workspace import Composed, Workspace
from mygo.errors import UserError

RANDOM, QUALITY = map(parse_strategy, ("random", "quality"))
TOGETHER = threading.Barrier(2, timeout=20)


@dataclass(frozen=True)
class Instant(Workspace):
    """Measures at once what its settings say, or runs for a minute."""

    seen: list[tuple[int, str]] = field(default_factory=list)

    def compose(self, settings):
        pairs = [dict(setting.split("=") for setting in of_cell) for of_cell in settings]
        return [Composed("", {"seed": int(p["seed"]), "select": p, "eval": {"tasks": ["mmlu"]}}) for p in pairs]

    def run(self, composed, log, stage="eval"):
        params = composed.params
        self.seen.append((params["seed"], params["select"]["select"]))
        if params["select"]["select"] == "random":
            TOGETHER.wait()
        if params["select"].get("fails") == str(params["seed"]):
            raise UserError("the pipeline stopped")
        if "fails" in params["select"]:
            log.parent.mkdir(exist_ok=True)
            assert self._python("-c", "import time; time.sleep(60)", log=log).returncode
            raise UserError("killed")
        params["select"]["strategy"] = "top"
        (self.folder / "metrics").mkdir(parents=True, exist_ok=True)
        accuracy = {"acc": 0.5 + params["seed"] / 10, "base_acc": 0.5, "gain": 0.0, "n": 9}
        (self.folder / "metrics/select.json").write_text(json.dumps({"selected": 3}))
        (self.folder / "metrics/eval.json").write_text(json.dumps({"mmlu": accuracy}))


@pytest.fixture
def workspaces(tmp_path):
    return [Instant(tmp_path / name, "code") for name in "ab"]


def test_seeds_run_at_once_each_in_one_workspace(workspaces, tmp_path):
    """The barrier opens when both seeds have come to `random`."""
    cells = compare(workspaces, [RANDOM, QUALITY], [0, 1], [], tmp_path)
    assert [(cell.strategy, cell.seed, cell.accuracy) for cell in cells] == [
        ("random", 0, 0.5), ("random", 1, 0.6), ("quality", 0, 0.5), ("quality", 1, 0.6),
    ]  # fmt: skip
    seeds = [{seed for seed, _ in workspace.seen} for workspace in workspaces]
    assert sorted(map(sorted, seeds)) == [[0], [1]]
    assert compare(workspaces, [RANDOM, QUALITY], [0, 1], [], tmp_path) == cells  # all kept: the barrier would time out


def test_a_failure_ends_what_runs_beside_it(workspaces, tmp_path):
    begin = time.monotonic()
    with pytest.raises(UserError, match="stopped"):
        compare(workspaces, [QUALITY], [0, 1], ["fails=0"], tmp_path)
    assert time.monotonic() - begin < 30


def test_each_ratio_is_a_table_against_its_own_reference(workspaces, tmp_path):
    rows = [at_ratio(strategy, ratio) for ratio in (0.1, 0.3) for strategy in (RANDOM, QUALITY)]
    assert rows[3].settings[-1] == "select.ratio=0.3"
    cells = compare(workspaces[:1], [rows[1], rows[3]], [0], [], tmp_path)
    tables = write_table(cells, "quality", tmp_path / "out", [0.1, 0.3]).split("| selection |")
    assert len(tables) == 3
    assert [("quality@0.1" in part, "quality@0.3" in part) for part in tables[1:]] == [(True, False), (False, True)]
    assert set(json.loads((tmp_path / "out/table.json").read_text())) == {"quality@0.1", "quality@0.3"}
