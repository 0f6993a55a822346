"""Would a file's tests notice if it were wrong? Every small change to it that Cosmic Ray knows, one at a time.

Works on a copy of the tracked files. A process that has imported everything but the file, and what imports it, forks
for each mutant and runs the tests in the fork, so that a mutant costs what its tests cost. Prints the mutants that
survived, and the share that did not.
Cosmic Ray is not among the project's dependencies: `make mutants` installs it.

    OMP_NUM_THREADS=1 python -m benchmarks.mutants src/mygo/selection/scores/gates.py tests/selection/test_scores.py
"""

import argparse
import contextlib
import difflib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
SPARE = 5.0  # a mutant's tests may take this many times as long as the file's, and ten seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--every", type=int, default=1, help="only each n-th mutant: a sample of a large file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _copy_to(Path(folder))
        os.chdir(folder)
        survived, total = try_all(args.file, args.tests, args.every)
    share = 1 - survived / total
    print(f"{args.file}: {total} mutants, {total - survived} killed, {survived} survived: {share:.1%} killed")


def _copy_to(folder: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)  # with its time: bytecode of a mutant must not pass for it
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}"}
    sys.path[:0] = [str(folder / "src"), str(folder)]


def try_all(file: Path, tests: list[str], every: int) -> tuple[int, int]:
    """How many mutants the tests pass, each printed, and how many there were."""
    started = time.perf_counter()
    if not _passes(tests, 3600.0, modules := Path("modules.json").resolve()):
        raise SystemExit(f"{' '.join(tests)}: fail without any mutant")
    limit = 10 + SPARE * (time.perf_counter() - started)
    sys.dont_write_bytecode = True
    _import_all_but(".".join(file.with_suffix("").parts[1:]), json.loads(modules.read_text()))
    original, survived = file.read_text(), 0
    changed = list(mutants(file))[::every]
    tried = 0
    with contextlib.suppress(KeyboardInterrupt):  # what was found so far is told
        for code in tqdm(changed, unit="mutant", disable=None):
            file.write_text(code)
            if _passes(tests, limit):
                survived += 1
                print(_change(file, original, code), flush=True)
            tried += 1
    return survived, tried


def _import_all_but(target: str, names: list[str]) -> None:
    """Import what the tests import, but for the module under test and all that import it."""
    for name in names:
        if not name.startswith("mygo") or not _reaches(name, target):
            with contextlib.suppress(Exception):  # what cannot be imported alone is imported by the tests
                importlib.import_module(name)


def _reaches(name: str, target: str) -> bool:
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
        os._exit(int(target in sys.modules))
    return _status(child, 600.0) != 0


def mutants(file: Path) -> Iterator[str]:
    tree = get_ast_from_path(file)
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments():
            continue
        operator = kind()
        positions = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
        for occurrence in range(len(positions)):
            code = mutate_code(file.read_text(), operator, occurrence)
            if code is not None:
                yield code


def _passes(tests: list[str], limit: float, modules: Path | None = None) -> bool:
    """Run the tests in a fork, silently, up to the first failure. `modules`: where to write what they imported."""
    child = os.fork()
    if child == 0:
        os.setsid()  # so that what the tests started can be ended with them
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests])
        if modules is not None:
            names = [name for name in sys.modules if not name.startswith(("_", "tests", "conftest", "stages"))]
            modules.write_text(json.dumps(names))
        os._exit(int(status))
    return _status(child, limit) == 0


def _status(child: int, limit: float) -> int:
    """The exit status of a process; one that takes longer than `limit` seconds is ended and counts as failed."""
    until = time.perf_counter() + limit
    while time.perf_counter() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 1


def _change(file: Path, original: str, code: str) -> str:
    lines = list(difflib.unified_diff(original.splitlines(), code.splitlines(), n=0, lineterm=""))[2:]
    line = int(lines[0].split()[1].removeprefix("-").split(",")[0])
    return "\n".join([f"survived: {file}:{line}", *(f"    {text}" for text in lines[1:])])


if __name__ == "__main__":
    main()
