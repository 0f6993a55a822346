"""A copy of the repository in a temporary folder, in which tests may run DVC."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Copy:
    """A repository of its own, with its own DVC cache."""

    folder: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        code = f"{self.folder / 'src'}{os.pathsep}{self.folder}"
        env = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "PYTHONPATH": code}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def experiment(self, *settings: str) -> str:
        """`dvc exp run -S ...`; returns what it printed."""
        return self.run("dvc", "exp", "run", *(word for setting in settings for word in ("-S", setting))).stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    folder = tmp_path_factory.mktemp("repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    repository = Copy(folder)
    repository.run("git", "init", "-q")
    repository.run("git", "config", "user.name", "test")
    repository.run("git", "config", "user.email", "test@example.com")
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "start")
    return repository
