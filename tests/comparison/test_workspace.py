"""The copy of the repository in which a comparison runs, and a comparison from end to end."""

import re
import subprocess
from pathlib import Path

import pytest

from mygo.comparison.cells import parse_strategy
from mygo.comparison.running import compare
from mygo.comparison.table import write_table
from mygo.comparison.workspace import open_workspace
from mygo.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "prepare.mini_world.facts=64",
    "prepare.mini_world.samples=200",
    "prepare.mini_world.pretrain_steps=10",
    "warmup.epochs=1",
    "finetune.epochs=1",
]


@pytest.fixture
def repository(tmp_path):
    """A git repository with the shape of ours and next to nothing in it."""
    root = tmp_path / "root"
    files = {
        ".gitignore": "/data/raw/pool/*.jsonl\n/work\n",
        ".dvc/config": "[hydra]\n    enabled = True\n",
        "dvc.yaml": "stages: {}\n",
        "dvc.lock": "schema: '2.0'\n",
        "params.yaml": "seed: 0\n",
        "src/mygo/selection/run.py": "first = 1\n",
        "src/mygo/comparison/table.py": "table = 1\n",
        "stages/old.py": "",
        "data/raw/pool/README.md": "yours\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def test_the_copy_is_the_repository_as_it_lies_there(repository, tmp_path):
    folder = tmp_path / "copy"
    first = open_workspace(repository, folder, tmp_path / "cache")
    assert "no_scm = True" in (folder / ".dvc/config.local").read_text()
    assert f"dir = {tmp_path / 'cache'}" in (folder / ".dvc/config.local").read_text()
    assert not (folder / "dvc.lock").exists()

    (folder / "dvc.lock").write_text("the copy's own")
    (folder / "data/pool").mkdir(parents=True)
    (repository / "stages/old.py").unlink()
    (repository / "stages/new.py").write_text("")  # neither of the two is committed
    (repository / "data/raw/pool/mine.jsonl").write_text("{}\n")  # git ignores it, `prepare` depends on it
    second = open_workspace(repository, folder, tmp_path / "cache")
    assert sorted(path.name for path in (folder / "stages").iterdir()) == ["new.py"]
    assert (folder / "data/raw/pool/mine.jsonl").read_text() == "{}\n"
    assert (folder / "dvc.lock").read_text() == "the copy's own"  # what it computed stays
    assert (folder / "data/pool").is_dir()
    assert first.code != second.code


def test_a_cell_is_known_by_its_params_and_the_code_that_computes(repository, tmp_path):
    def key(params):
        return open_workspace(repository, tmp_path / "copy", tmp_path / "cache").key(params)

    params = {"seed": 0, "select": {"ratio": 0.1}, "launch": {"num_processes": 1}}
    before = key(params)
    (repository / "src/mygo/comparison/table.py").write_text("table = 2\n")  # tables are not what a run computes
    assert key(params | {"launch": {"num_processes": 2}}) == before
    assert key(params | {"select": {"ratio": 0.2}}) != before
    (repository / "src/mygo/selection/run.py").write_text("first = 2\n")
    assert key(params) != before


def test_without_git_it_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"not a git repository; a comparison takes a clone of this repository$"):
        open_workspace(tmp_path, tmp_path / "copy", tmp_path)


def test_settings_are_composed_as_dvc_does_and_checked_before_anything_runs(tmp_path):
    workspace = open_workspace(ROOT, tmp_path / "repository", tmp_path / "cache")
    first, second = workspace.compose([["seed=3", "select=random"], ["select.eps=1e-5"]])
    assert (first.params["seed"], first.params["select"]["strategy"]) == (3, "random")
    assert second.params["select"]["eps"] == 1e-5
    assert first.text.startswith("seed: 3\n")
    for settings, sentence in (
        (["select.ratio=2"], r"^select\.ratio: got 2; takes"),
        (["select=best"], r"^select=best: .*select/best"),
        (["select.rato=1"], r"^select\.rato=1: .*rato"),
    ):
        with pytest.raises(UserError, match=sentence):
            workspace.compose([["seed=0"], settings])


@pytest.mark.slow
def test_cells_run_once_and_share_what_they_can(tmp_path, capsys):
    workspace = open_workspace(ROOT, tmp_path / "repository", tmp_path / "cache")
    quality, random = map(parse_strategy, ("quality", "random"))
    compare([workspace], [quality], [0], SMALL, tmp_path)
    cells = compare([workspace], [quality, random], [0], SMALL, tmp_path)
    told = capsys.readouterr().err.splitlines()
    assert told[1].endswith("(kept)")
    assert len(stages_run(tmp_path / "logs/quality-seed0.log")) == 8
    assert stages_run(tmp_path / "logs/random-seed0.log") == ["select", "finetune", "eval"]
    assert cells[0].auc is not None
    assert cells[1].auc is None
    assert cells[0].base_accuracy == cells[1].base_accuracy
    assert "| random |" in write_table(cells, "random", tmp_path / "out")

    (tmp_path / "cells/random-seed0.json").unlink()  # as if it had been killed just before
    (tmp_path / "repository/dvc.lock").unlink()
    assert compare([workspace], [quality, random], [0], SMALL, tmp_path) == cells
    assert stages_run(tmp_path / "logs/random-seed0.log") == []  # the run cache has all of them


def stages_run(log):
    """Without `check`, which runs before them whenever a parameter has changed."""
    return [stage for stage in re.findall(r"Running stage '(\w+)'", log.read_text()) if stage != "check"]
