"""What DVC watches besides the outputs of stages, in a repository of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mygo.errors import UserError
from mygo.params.inputs import check_inputs, model_folder, source_file
from tests.launch.conftest import ROOT

LOSSES = "src/mygo/models/losses.py"


@pytest.mark.parametrize(
    ("base_model", "watched"),
    [
        (None, "data/base"),
        ("Qwen/Qwen3-1.7B", "data/base"),
        ("gpt2", "data/base"),
        ("data/base/olmoe", "data/base"),
        ("./data/base/olmoe/", "data/base"),
        ("models/own", "models/own"),  # a folder that is there is a folder, as for transformers
        ("models/none", "data/base"),  # may be a hub id
        ("some/where/else", "some/where/else"),  # cannot be one
        ("/some", "/some"),
        ("data/selector", "data/selector"),  # also before it is there
    ],
)
def test_a_local_model_outside_of_the_mini_world_is_watched(tmp_path, base_model, watched):
    (tmp_path / "models/own").mkdir(parents=True)
    assert model_folder(base_model, tmp_path) == watched


def test_the_source_file_of_a_named_object_is_found_without_importing_it(tmp_path):
    (tmp_path / "own/deep").mkdir(parents=True)
    for name in ("own/__init__.py", "own/deep/losses.py", "flat.py"):
        (tmp_path / name).write_text("raise SystemExit\n")
    found = {
        named: source_file(named, tmp_path)
        for named in ("own.deep.losses:f", "own:f", "flat:f", "none:f", "torch.nn:Identity", "json:dumps", None)
    }
    assert found == {
        "own.deep.losses:f": "own/deep/losses.py",
        "own:f": "own/__init__.py",
        "flat:f": "flat.py",
        "none:f": None,
        "torch.nn:Identity": None,
        "json:dumps": None,
        None: None,
    }


def composed(*overrides: str) -> dict:
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        return OmegaConf.to_container(compose("config", overrides=list(overrides)), resolve=True)


def test_hydra_fills_the_section(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "own.py").touch()
    (tmp_path / "own.csv").touch()
    monkeypatch.chdir(tmp_path / "below")  # `dvc exp run` may be called from any folder of the repository
    named = ("warmup.quality_loss.function=own:loss", "convert.trash_expert_module=own:Expert")
    params = composed("collect.base_model=/some/model", "select.external.path=own.csv", *named)
    assert params["inputs"] == {
        "convert": "data/base",
        "collect": "/some/model",
        "finetune": "data/base",
        "trash_expert": "own.py",
        "quality_loss": LOSSES,  # DVC refuses to name own.py twice in one stage
        "external": "own.csv",
    }
    check_inputs(params, tmp_path)


def test_an_edit_by_hand_that_dvc_would_not_see_is_refused(tmp_path):
    params = composed()
    params["convert"]["base_model"] = "/some/model"
    with pytest.raises(UserError) as error:
        check_inputs(params, tmp_path)
    assert str(error.value) == (
        "inputs.convert: got 'data/base'; with convert.base_model=/some/model it is '/some/model', which DVC has to "
        "watch; write that, or compose params.yaml with `dvc exp run -S convert.base_model=/some/model`"
    )


PIPELINE = {
    "check": {
        "cmd": "python -m mygo.launch check",
        "params": ["convert", "prepare", "launch", "inputs"],
        "deps": ["stages"],
        "outs": ["data/checked"],
    },
    "prepare": {
        "cmd": "mkdir data/base && touch data/base/x",
        "deps": ["data/checked"],
        "params": ["prepare"],
        "outs": ["data/base"],
    },
    "convert": {
        "cmd": "mkdir data/selector && cat ${inputs.convert}/x > data/selector/x",
        "deps": ["${inputs.convert}", "${inputs.trash_expert}", "src/mygo/models", "data/checked"],
        "params": ["convert"],
        "outs": ["data/selector"],
    },
}


@pytest.fixture(scope="module")
def dvc(tmp_path_factory):
    """Runs DVC in a repository with three small stages; returns the stages that ran and what was said."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("conf", "src", "stages", ".dvc/config", ".dvcignore", "params.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": PIPELINE}))
    (folder / ".gitignore").write_text("/data\n/own\n__pycache__\n")
    for file in ("data/.keep", "own/model/x"):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text("one")
    (folder / "own/model/config.json").write_text('{"model_type": "olmoe"}')
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "src")}

    def run(*command: str) -> tuple[list[str], str]:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage")], done.stderr

    for line in ("init -q", "config user.name t", "config user.email t@example.com", "add -A", "commit -qm start"):
        run("git", *line.split())
    run.folder = folder
    return run


@pytest.mark.slow
def test_dvc_sees_a_local_model_and_launch_re_runs_nothing(dvc):
    assert dvc("dvc", "exp", "run")[0] == ["check", "prepare", "convert"]
    assert dvc("dvc", "exp", "run", "-S", "launch=ddp_cpu", "-S", "warmup.micro_batch_size=1", "-S",
               "finetune.micro_batch_size=1")[0] == ["check"]  # fmt: skip
    assert dvc("dvc", "exp", "run", "-S", f"convert.base_model={dvc.folder}/own/model")[0] == ["check", "convert"]
    (dvc.folder / "own/model/x").write_text("two")
    assert dvc("dvc", "repro")[0] == ["convert"]
    assert (dvc.folder / "data/selector/x").read_text() == "two"


@pytest.mark.slow
def test_a_mistake_in_a_later_section_deletes_nothing(dvc):
    dvc("dvc", "exp", "run")
    base, selector = (dvc.folder / name / "x" for name in ("data/base", "data/selector"))
    before = selector.read_text()
    ran, said = dvc("dvc", "exp", "run", "-S", "prepare.warmup_ratio=0.25", "-S", "convert.trash_expert_mode=custom")
    assert ran == ["check"]
    assert "error: convert.trash_expert_module: got None; takes package.module:name\n" in said
    assert base.exists()
    assert selector.read_text() == before


@pytest.mark.slow
def test_a_sweep_is_queued_as_the_readme_says(dvc):
    """Each combination once, composed as a single run would be."""
    sweep = ("-S", "select=choice(quality,random)", "-S", "select.ratio=choice(0.05,0.1)")
    _, said = dvc("dvc", "exp", "run", "--queue", *sweep)
    assert "error" not in said.lower()
    stash = ("git", "reflog", "show", "--format=%H", "refs/exps/celery/stash")
    listed = subprocess.run(stash, cwd=dvc.folder, capture_output=True, text=True, check=True).stdout.split()
    queued = [
        subprocess.run(("git", "show", f"{commit}:params.yaml"), cwd=dvc.folder, capture_output=True, check=True).stdout
        for commit in listed
    ]
    asked = [yaml.safe_load(text)["select"] for text in queued]
    expected = {(strategy, ratio) for strategy in ("top", "random") for ratio in (0.05, 0.1)}
    assert len(asked) == 4
    assert {(select["strategy"], select["ratio"]) for select in asked} == expected
    assert all(select.keys() == composed()["select"].keys() for select in asked)
