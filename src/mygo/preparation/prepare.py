"""The prepare stage: pool, warm-up pool, benchmark, reference set, and the mini world's base models."""

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mygo.data.benchmark import MMLU, BenchmarkMeta, Question, read_csv_benchmark, read_hub_benchmark, write_benchmark
from mygo.data.contamination import SHORTEST, Contamination
from mygo.data.files import UNKNOWN_ENDING
from mygo.data.mini_world import MiniWorld, build
from mygo.data.pool import PoolCounts, sample_warmup_pool, write_pool
from mygo.data.records import PassedOver, Rejected, Sample
from mygo.data.sources import PoolSource, read_pool_source
from mygo.data.subsets import draw_subsets
from mygo.errors import UserError, shown
from mygo.params import BenchmarkParams, PrepareParams
from mygo.preparation.reference import open_reference, write_reference

Commits = Mapping[str, str | None]
SHOWN_FILES = 5  # how many of the files that were passed over are named in the log and the metrics


def prepare(params: PrepareParams, seed: int, data: Path) -> dict[str, Any]:
    """Write `data/pool`, `data/warmup_pool`, `data/benchmark`, `data/reference` and `data/base`; returns the metrics.

    What can be wrong with the user's input is read before anything is written and before the base models' minute of
    training.
    """
    world = build(params.mini_world, seed)
    questions, meta, benchmark_commits = _benchmark(params.benchmark, world)
    rows, pool_commits = _pool(params, world)
    contamination = _contamination(questions["test"], params)
    source = open_reference(params.reference, questions["dev"], meta)
    counts = _write_whole_pool(rows, contamination, params, seed, data / "pool")
    print(_summary(counts, data / "pool"), file=sys.stderr)
    reference = write_reference(source, data / "reference")
    warmup = sample_warmup_pool(data / "pool", data / "warmup_pool", params.warmup_ratio, seed)
    write_benchmark(questions, meta, data / "benchmark")
    _base_models(params.base_models, world, data / "base", seed, params.mini_world.pretrain_steps)
    return {
        "pool": _pool_metrics(counts),
        "warmup_samples": warmup,
        **reference,
        **({"contamination": contamination.metrics()} if contamination else {}),
        "benchmark": {
            "questions": len(questions["test"]),
            "subjects": len({question["subject"] for question in questions["test"]}),
        },
        **_commit_metrics({**pool_commits, **benchmark_commits, **_of_the_reference(source)}),
    }


def _of_the_reference(source: PoolSource | None) -> Commits:
    """Its commits, under names that are not the pool's."""
    return {f"reference/{name}": commit for name, commit in source.commits.items()} if source else {}


def _contamination(questions: Sequence[Question], params: PrepareParams) -> Contamination | None:
    """Raises `UserError` if nothing could be found: words are what white space separates, and Chinese has few."""
    if not params.decontaminate:
        return None
    contamination = Contamination(questions, params.decontaminate_words)
    if not contamination.runs:
        raise UserError(
            f"prepare.decontaminate: got true, and all {len(questions):,} test questions have fewer than {SHORTEST} "
            "words between white space, so that none can be looked for; takes false"
        )
    return contamination


def _write_whole_pool(*given: Any) -> PoolCounts:
    """Nothing stays behind of a pool that turns out not to be what was asked for."""
    try:
        return _write_pool(*given)
    except UserError:
        shutil.rmtree(given[-1], ignore_errors=True)
        raise


def _write_pool(
    rows: Iterable[Sample | Rejected | PassedOver],
    contamination: Contamination | None,
    params: PrepareParams,
    seed: int,
    pool: Path,
) -> PoolCounts:
    """Contaminated rows leave first: a share of a source is a share of what is left of it."""
    counts = write_pool(contamination.without(rows) if contamination else rows, pool)
    if contamination:
        contamination.write(pool / "contamination.parquet")
        print(_found(contamination), file=sys.stderr)
    if not counts.rows:
        raise UserError(
            f"prepare.decontaminate: got true, and all {counts.left_out:,} samples hold test questions of the "
            "benchmark; takes false, or another source"
        )
    return draw_subsets(pool, counts, params.subset_ratio, seed) if params.subset_ratio else counts


def _found(contamination: Contamination) -> str:
    found = contamination.metrics()
    return (
        f"contamination: {found['rows_left_out']:,} rows share {contamination.words} words, or a whole question, with "
        f"{found['found']:,} of {found['questions']:,} test questions; {found['too_short']:,} are too short to look for"
    )


def _pool(params: PrepareParams, world: MiniWorld) -> tuple[Iterable[Sample | Rejected | PassedOver], Commits]:
    if params.source == "mini_world":
        return world.samples(), {}
    source = read_pool_source(params)
    return source, source.commits


def _benchmark(
    params: BenchmarkParams, world: MiniWorld
) -> tuple[Mapping[str, list[Question]], BenchmarkMeta, Commits]:
    if params.source == "csv":
        return read_csv_benchmark(Path(params.path)), MMLU, {}
    if params.source == "hub":
        questions, commit = read_hub_benchmark(params.hub)
        return questions, MMLU, {params.hub.name: commit}
    return world.questions(), {"name": "mini_world", "prompt": "continuation", "groups": dict(world.groups)}, {}


def _base_models(wanted: bool, world: MiniWorld, folder: Path, seed: int, steps: int) -> None:
    """An empty folder if they are not wanted, so that the stage's outputs are the same either way."""
    if not wanted:
        folder.mkdir(parents=True, exist_ok=True)
        return
    from mygo.preparation.base_models import build_base_models  # torch and transformers are not needed to read data

    for name, report in build_base_models(world, folder, seed, steps).items():
        print(f"{folder / name}: {', '.join(f'{key} {value:,}' for key, value in report.items())}", file=sys.stderr)


def _pool_metrics(counts: PoolCounts) -> dict[str, Any]:
    """Totals. What every source and every file came to is in `sources.parquet` and `passed_over.parquet`."""
    metrics: dict[str, Any] = {
        "samples": counts.rows,
        "rejected": counts.rejected,
        "left_out": counts.left_out,
        "sources": len(counts.by_source),
        "passed_over": len(counts.passed_over),
    }
    if counts.passed_over:
        metrics["passed_over_first"] = [shown(file.file) for file in _first_passed_over(counts)]
    return metrics


def _summary(counts: PoolCounts, pool: Path) -> str:
    """What became of the source, the files that were passed over by name; a line for each."""
    lines = [
        f"pool: {counts.rows:,} samples of {len(counts.by_source):,} sources, {counts.rejected:,} rows rejected, "
        f"{counts.left_out:,} left out, {len(counts.passed_over):,} files passed over"
    ]
    first = _first_passed_over(counts)
    lines += [f"passed over: {shown(file.file)}: {shown(file.reason, 200)}" for file in first]
    if left := len(counts.passed_over) - len(first):
        lines.append(f"passed over: {left:,} more, all in {pool / 'passed_over.parquet'}")
    return "\n".join(lines)


def _first_passed_over(counts: PoolCounts) -> list[PassedOver]:
    """A few of them: data that could not be read before notes and pictures that nobody takes for data."""
    return sorted(counts.passed_over, key=lambda file: file.reason == UNKNOWN_ENDING)[:SHOWN_FILES]


def _commit_metrics(commits: Commits) -> dict[str, Any]:
    """The commits that hub data sets were read at, where the hub could say."""
    known = {name: commit for name, commit in commits.items() if commit is not None}
    return {"commits": known} if known else {}
