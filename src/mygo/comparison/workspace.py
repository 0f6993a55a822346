"""A copy of the repository under `work/`, in which the pipeline runs beside the user's own.

It holds the files as they lie there, committed or not, and shares the repository's DVC cache: stages that ran before,
here or there, are restored from the run cache. The user's params.yaml, dvc.lock and outputs stay as they are.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mygo.errors import UserError
from mygo.workdir import digest

NOT_COPIED = ("dvc.lock", "params.yaml")
CODE = ("src/", "stages/", "dvc.yaml")
RAW = Path("data/raw")  # the user's own files, which git ignores and `prepare` depends on


@dataclass(frozen=True)
class Composed:
    """`params.yaml` as a text and as what it says."""

    text: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Workspace:
    """`folder`: a repository without git. `code`: digest of all that decides what a stage computes, but for params."""

    folder: Path
    code: str
    running: list[subprocess.Popen[str]] = field(default_factory=list, compare=False)

    def compose(self, settings: list[list[str]]) -> list[Composed]:
        """The params.yaml that `dvc exp run -S ...` would compose, for each list of settings. Raises `UserError`."""
        done = self._python("-m", "mygo.comparison.compose", text=json.dumps(settings))
        if done.returncode:
            raise UserError(_last_line(done.stderr).removeprefix("error: "))
        return [Composed(**composed) for composed in json.loads(done.stdout)]

    def run(self, composed: Composed, log: Path, stage: str = "eval") -> None:
        """The pipeline up to `stage` with these parameters; what it prints goes to `log`. Raises `UserError` if it
        fails.
        """
        (self.folder / "params.yaml").write_text(composed.text, encoding="utf-8")
        log.parent.mkdir(parents=True, exist_ok=True)
        done = self._python("-m", "dvc", "repro", stage, log=log)
        if done.returncode:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("error: ")]
            raise UserError(f"{log}: the pipeline stopped ({lines[0] if lines else 'see there'})")

    def stop(self) -> None:
        """End what is running in it, from another thread."""
        for process in list(self.running):
            process.kill()

    def key(self, params: dict[str, Any]) -> str:
        """Of params and code; how stages are launched is not part of what they compute."""
        return digest(
            {"params": {name: params[name] for name in sorted(params) if name != "launch"}, "code": self.code}
        )

    def _python(self, *arguments: str, text: str = "", log: Path | None = None) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
        env["PYTHONPATH"] = f"{self.folder / 'src'}{os.pathsep}{self.folder}"  # not what the user edits meanwhile
        command = [sys.executable, *arguments]
        if log is None:
            return subprocess.run(
                command, cwd=self.folder, env=env, input=text, capture_output=True, text=True, check=False
            )
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(command, cwd=self.folder, env=env, stdout=file, stderr=file, text=True)
        self.running.append(process)
        try:
            process.wait()
        finally:
            process.kill()
            self.running.remove(process)
        return subprocess.CompletedProcess(command, process.returncode)


def open_workspace(root: Path, folder: Path, cache: Path | None = None) -> Workspace:
    """Bring `folder` to the state of the files in `root`. `cache`: the DVC cache, by default the repository's.

    Raises `UserError` if `root` is no git repository, whose list of files is needed.
    """
    names = _files(root)
    for top in {Path(name).parts[0] for name in names} - {".dvc", "data", "metrics", "plots"}:  # outputs stay
        _remove(folder / top)
    for name in names:
        if not Path(name).is_relative_to(RAW):
            _copy(root / name, folder / name)
    _remove(folder / RAW)
    if (root / RAW).is_dir():
        shutil.copytree(root / RAW, folder / RAW, copy_function=_link)
    config = f"[core]\n    no_scm = True\n[cache]\n    dir = {cache or _cache_of(root)}\n"
    (folder / ".dvc" / "config.local").write_text(config, encoding="utf-8")
    return Workspace(folder.resolve(), _digest_of_code(folder, names))


def _digest_of_code(folder: Path, names: list[str]) -> str:
    code = [name for name in names if name.startswith(CODE) and not name.startswith("src/mygo/comparison/")]
    return digest({name: hashlib.blake2b((folder / name).read_bytes()).hexdigest() for name in code})


def _files(root: Path) -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if listed.returncode:
        raise UserError(f"{root}: not a git repository; a comparison takes a clone of this repository")
    names = [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]
    return [name for name in names if name not in NOT_COPIED]


def _cache_of(root: Path) -> str:
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no reason was given")
