"""What `prepare` reads, as far as a look at names tells: a pool and a reference set with data in them, a benchmark with
questions.
"""

import os
from pathlib import Path

from mygo.errors import UserError, listed, shown
from mygo.params import Params, PrepareParams
from mygo.params.choices import MINI_SOURCES

ABOUT = (".md", ".rst")  # a folder for data is kept in git by such a file


def check_sources(params: Params, root: Path) -> None:
    """Raise `UserError` for a source that is not there, or of which nothing can be read, and for a share of one."""
    prepare = params.prepare
    for section, place in (("prepare", prepare), ("prepare.reference", prepare.reference)):
        if place.source in ("local", "mixed"):
            _check_data(f"{section}.path", place.path, root / place.path)
        if place.source in ("hub", "mixed"):
            _check_hub(f"{section}.hub", [dataset.source_dataset for dataset in place.hub])
    if prepare.benchmark.source == "csv":
        _check_benchmark(prepare.benchmark.path, root / prepare.benchmark.path)
        _check_dev_questions(prepare, root)
    _check_shares(params)


def benchmark_subjects(prepare: PrepareParams, root: Path) -> set[str] | None:
    """The subjects of the benchmark, where the names of files tell them."""
    if prepare.benchmark.source != "csv":
        return None
    return {file.name.removesuffix("_test.csv") for file in (root / prepare.benchmark.path / "test").glob("*_test.csv")}


def _check_data(key: str, named: str, path: Path) -> None:
    if not path.exists():
        raise UserError(f"{key}: got {named!r}, which is not there")
    if path.is_dir() and not _holds_data(path):
        raise UserError(
            f"{key}: got {named!r}, which holds no data file; takes a file or a folder of .jsonl, .json, .csv, "
            ".tsv (also compressed) or .parquet"
        )


def _holds_data(folder: Path) -> bool:
    """Whether a file lies below that is not hidden and not about the folder. Links are followed, each folder once."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        if any(_is_data(os.path.join(place, name)) for name in files):
            return True
        seen.add(os.path.realpath(place))
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(place, name)) not in seen
        ]
    return False


def _is_data(path: str) -> bool:
    stem, suffix = os.path.splitext(os.path.basename(path).lower())
    about = suffix in ABOUT or (stem == "readme" and suffix in ("", ".txt"))
    return not stem.startswith(".") and not about and os.path.isfile(path)  # which follows links, and opens no pipe


def _check_hub(key: str, names: list[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise UserError(
            f"{key}: got source_dataset {names}; takes one data set or more, each with its own source_dataset"
        )


def _check_shares(params: Params) -> None:
    """Of the mini world and of hub data sets the names are known; of files not before they are looked for."""
    known = {
        "mini_world": ("the mini world", MINI_SOURCES),
        "hub": ("prepare.hub", [dataset.source_dataset for dataset in params.prepare.hub]),
    }.get(params.prepare.source)
    if known is None:
        return
    place, names = known
    for key, shares in (
        ("prepare.subset_ratio", params.prepare.subset_ratio),
        ("select.source_shares", params.select.source_shares),
    ):
        for name in shares:
            if name not in names:
                raise UserError(f"{key}: got '{shown(name)}'; {place} has {listed(names)}")


def _check_dev_questions(prepare: PrepareParams, root: Path) -> None:
    folder = root / prepare.benchmark.path / "dev"
    if prepare.reference.source == "benchmark" and not any(folder.glob("*_dev.csv")):
        raise UserError(
            f"prepare.reference.source: got benchmark, and {prepare.benchmark.path!r} has no questions in "
            "dev/<subject>_dev.csv; takes none, local or hub, or a benchmark with dev questions"
        )


def _check_benchmark(named: str, path: Path) -> None:
    if not path.exists():
        raise UserError(f"prepare.benchmark.path: got {named!r}, which is not there")
    if not any(file.is_file() for file in (path / "test").glob("*_test.csv")):
        raise UserError(
            f"prepare.benchmark.path: {named!r} has no questions in test/<subject>_test.csv; takes Hendrycks' folder "
            "with dev/ and test/"
        )
