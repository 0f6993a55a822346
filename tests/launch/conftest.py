"""A folder that looks like the repository: its params.yaml, its accelerate configs, and stages that the test writes."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def set_keys(raw: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Set dotted keys of nested dicts, in place."""
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = raw
        for part in sections:
            section = section[part]
        section[name] = value
    return raw


@dataclass(frozen=True)
class Repository:
    folder: Path

    def set(self, **changes: Any) -> None:
        """Set keys of params.yaml; `__` stands for a dot."""
        raw = yaml.safe_load((ROOT / "params.yaml").read_text())
        set_keys(raw, {key.replace("__", "."): value for key, value in changes.items()})
        (self.folder / "params.yaml").write_text(yaml.safe_dump(raw))

    def stage(self, name: str, code: str) -> None:
        (self.folder / "stages" / f"{name}.py").write_text(dedent(code))

    def environment(self, **changes: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("DVC_STAGE", "MYGO_TRACEBACK")}
        return kept | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"} | changes

    def launch(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mygo.launch", *arguments],
            cwd=self.folder,
            env=self.environment(**changes),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "stages").mkdir()
    shutil.copy(ROOT / "stages/__init__.py", tmp_path / "stages")
    shutil.copytree(ROOT / "conf/accelerate", tmp_path / "conf/accelerate")
    made = Repository(tmp_path)
    made.set()
    return made
