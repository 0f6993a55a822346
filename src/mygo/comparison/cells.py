"""The cells of a comparison: one seed of one strategy, what it measured, and where that is kept."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mygo.errors import UserError
from mygo.params.choices import BY_SCORE
from mygo.workdir import write_atomically


@dataclass(frozen=True)
class Strategy:
    """A row of the table: its name and the settings that make it."""

    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """What one seed of one strategy measured. `gain_stderr` is over questions; the others have no error of their own.

    `key` names params and code, so that a cell is kept for as long as neither changes.
    """

    key: str
    strategy: str
    seed: int
    auc: float | None  # of the score against the true label; None without labels, and where no score decides
    clean: float | None  # share of samples with the good label among the kept ones
    kept: int
    accuracy: float
    base_accuracy: float
    gain: float
    gain_stderr: float | None
    questions: int
    machine: str


def parse_strategy(text: str) -> Strategy:
    """`random` stands for `select=random`; `small:select=quality,select.ratio=0.1` gives a row a name and its settings.

    Raises `UserError` for anything else.
    """
    name, colon, settings = text.partition(":")
    parts = tuple(settings.split(",")) if colon else (f"select={name}",)
    if not name.replace("_", "").replace("-", "").isalnum() or not all("=" in part for part in parts):
        raise UserError(
            f"strategy: got {text!r}; takes a preset of conf/select, such as random, or name:key=value,key=value"
        )
    return Strategy(name, parts)


def at_ratio(strategy: Strategy, ratio: float) -> Strategy:
    """The same with a budget of its own."""
    settings = ("select.count=null", "select.token_budget=null", f"select.ratio={ratio:g}")
    return Strategy(f"{strategy.name}@{ratio:g}", (*strategy.settings, *settings))


def measured(params: dict[str, Any], metrics: Path, key: str, strategy: str) -> Cell:
    """The cell that the metrics of a finished run make. Raises `UserError` if `eval.tasks` begins with a task that has
    no accuracy.
    """
    select, row = json.loads((metrics / "select.json").read_text()), accuracy_of(params, metrics)
    return Cell(
        key=key,
        strategy=strategy,
        seed=params["seed"],
        auc=select.get("auc") if params["select"]["strategy"] in BY_SCORE else None,
        clean=select.get("precision_at_budget"),
        kept=select["selected"],
        accuracy=row["acc"],
        base_accuracy=row["base_acc"],
        gain=row["gain"],
        gain_stderr=row.get("gain_stderr"),
        questions=row["n"],
        machine=machine(),
    )


def accuracy_of(params: dict[str, Any], metrics: Path) -> dict[str, Any]:
    """What eval measured of the first task. Raises `UserError` if that has no accuracy."""
    task = params["eval"]["tasks"][0]
    row = json.loads((metrics / "eval.json").read_text()).get(task, {})
    if "acc" not in row:
        raise UserError(
            f"eval.tasks: got {task!r} first, which has no accuracy; a comparison takes one that has, as mmlu"
        )
    return row


def keep(cell: Cell, folder: Path) -> None:
    write_atomically(_path(folder, cell.strategy, cell.seed), json.dumps(asdict(cell), indent=1).encode() + b"\n")


def kept(folder: Path, strategy: str, seed: int, key: str) -> Cell | None:
    """The cell as it was kept, or `None` if there is none for exactly these params and this code."""
    path = _path(folder, strategy, seed)
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    return Cell(**content) if content.keys() == Cell.__annotations__.keys() and content["key"] == key else None


def machine() -> str:
    """What decides the digits of a training in float32: kind of CPU, threads, torch."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.machine()
    return f"{cpu}, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads, torch {version('torch')}"


def _path(folder: Path, strategy: str, seed: int) -> Path:
    return folder / f"{strategy}-seed{seed}.json"
