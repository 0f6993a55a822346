"""Select by many settings; each gets a folder with what `stages.select` would have written, byte for byte."""

import fcntl
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mygo.errors import UserError, shown
from mygo.metrics import write_metrics, write_plot
from mygo.selection.many.settings import Setting
from mygo.selection.reading.opened import Memo, Opened, beside, open_both
from mygo.selection.run import select_from
from mygo.workdir import digest, hash_folder, write_atomically, writing

logger = logging.getLogger(__name__)

SHARED_BYTES = 2**30  # of columns, clusters and the like that settings share
FINISHED = "setting.json"  # written last, so that a folder that has it is whole
CODE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Folders:
    """One set of statistics, the pool it is of, and what the run is called (nothing, if there is one)."""

    statistics: Path
    pool: Path
    name: str = ""


def find_folders(places: Sequence[Path]) -> list[Folders]:
    """A place is a folder that holds `statistics/` and `pool/`, or a folder of such folders, as runs leave them.

    Raises `UserError` for a place that is neither.
    """
    found: dict[Path, None] = {}
    for place in places:
        here = [place, *sorted(path for path in place.glob("*") if path.is_dir())]
        whole = [path for path in here if (path / "statistics").is_dir() and (path / "pool").is_dir()]
        if not whole:
            raise UserError(
                f"{shown(place)}: holds no statistics/ and pool/, and no folder in it does; run collect first"
            )
        found |= dict.fromkeys(whole)
    names = [path.resolve().name for path in found]
    names = names if len(set(names)) == len(names) else [f"{i:03d}-{name}" for i, name in enumerate(names)]
    return [
        Folders(path / "statistics", path / "pool", name if len(found) > 1 else "")
        for path, name in zip(found, names, strict=True)
    ]


def select_many(settings: Sequence[Setting], runs: Sequence[Folders], out: Path) -> dict[str, str]:
    """Select by every setting from every run, to `<out>/<setting>/`, or `<out>/<run>/<setting>/` where there are
    several runs. What is finished already, by the same setting, code, statistics, pool and reference set, is left as it
    is.

    Returns what is wrong with each selection that could not be made, by its folder; the others are made all the same.
    Raises `UserError` if another process selects into `out`.
    """
    with _alone(out):
        return _select_all(settings, runs, out)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Two at once would take each other's unfinished folders away. No setting has a name that begins with a dot."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        file = (out / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{out}: another select-many writes to it; wait for it, or take another --out") from None
        yield


def _select_all(settings: Sequence[Setting], runs: Sequence[Folders], out: Path) -> dict[str, str]:
    failed: dict[str, str] = {}
    for run in runs:
        try:
            reference = beside(run.statistics, run.pool)
            opened = open_both(run.statistics, run.pool, Memo(SHARED_BYTES), *reference)
            folders = (run.statistics, run.pool, *reference)
            made_of = digest([*(folder and hash_folder(folder) for folder in folders), _code()])
        except UserError as error:
            failed[run.name or str(run.statistics)] = str(error)
            continue
        for setting in settings:
            name = "/".join(filter(None, (run.name, setting.name)))
            try:
                _select_one(opened, setting, made_of, out / name)
            except UserError as error:
                failed[name] = str(error)
    return failed


def _select_one(opened: Opened, setting: Setting, made_of: str, out: Path) -> None:
    """Metrics and plots lie beside the selection; `setting.json` says by what it was made."""
    file = setting.params.external.path if "external" in setting.params.scores() else None
    own = _file_digest(Path(file)) if file else None
    asked = {"select": setting.params.model_dump(), "seed": setting.seed}
    mark = {"digest": digest([asked, made_of, own]), **asked}
    written = json.dumps(mark, indent=1, sort_keys=True).encode() + b"\n"
    if (out / FINISHED).is_file() and (out / FINISHED).read_bytes() == written:
        logger.info("%s", f"{out}: is finished already")
        return
    logger.info("%s", f"{out}:")
    result = select_from(opened, setting.params, setting.seed, out)
    write_metrics(out / "metrics.json", result.metrics)
    for name, rows in result.plots.items():
        write_plot(out / "plots" / f"{name}.csv", rows)
    write_atomically(out / FINISHED, written)


def _code() -> str:
    return digest({str(path.relative_to(CODE)): path.read_text(encoding="utf-8") for path in CODE.rglob("*.py")})


def _file_digest(path: Path) -> str | None:
    return digest(path.read_bytes().hex()) if path.is_file() else None
