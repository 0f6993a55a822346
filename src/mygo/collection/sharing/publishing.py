"""The end of the stage: the finished work folder becomes the output, once, whoever comes late."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mygo.collection.grader import Grader
from mygo.collection.manifest import write_manifest
from mygo.collection.rejected import refuse_if_all_are, write_rejected
from mygo.collection.shards import shard_name
from mygo.collection.sharing.claims import Claims, remove_abandoned
from mygo.params import CollectParams
from mygo.workdir import CannotWrite, publish


@contextmanager
def nothing_is_lost_if_published(claims: Claims) -> Iterator[None]:
    """A late process may lose its folder, which was moved to the output, at any moment: then it just ends."""
    try:
        yield
    except (OSError, CannotWrite):
        if not claims.finished():
            raise
    finally:
        claims.release_all()
    if claims.finished():
        claims.clear()


def publish_statistics(
    params: CollectParams, grader: Grader, fingerprint: dict[str, Any], claims: Claims, out: Path
) -> None:
    """Complete the work folder and move it to `out`, unless another process has."""
    work = claims.work
    with claims.alone():
        if not claims.finished():
            files = [work / shard_name(i) for i in range(len(claims.order))]
            refuse_if_all_are(files, sum(pq.read_metadata(file).num_rows for file in files))
            write_rejected(work, files)
            write_manifest(work, files, grader.text_config(), params, fingerprint, warmed=grader.warmed)
            _remove_leftovers(work)
            publish(work, out)
    remove_abandoned(work.parent)


def _remove_leftovers(work: Path) -> None:
    """Temporary files of killed processes, and what runs remember for each other."""
    for leftover in work.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink()
