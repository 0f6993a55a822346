"""Who scores which shard: processes claim shards one after the other, the costly ones first, without talking to each
other.

A claim is a lock on a file, which the system takes back from a process that dies. So any number of processes may share
a pool, also such as were started by hand on several machines with one file system, and whoever is there picks up what a
dead one left.
"""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from mygo.collection.shards import shard_name
from mygo.data.pool import iter_batches
from mygo.workdir import writing

SUFFIX = ".claims"
FOLDER_LOCK = "folder"
ABANDONED_AFTER = 14 * 24 * 3600  # seconds


@dataclass(frozen=True)
class Claim:
    """A shard that this process alone scores, until `release`."""

    shard: int
    file: IO[bytes] | None

    def release(self) -> None:
        if self.file is not None:
            self.file.close()


@dataclass(frozen=True)
class Claims:
    """The claims on the shards of one work folder. They lie beside it, so that nothing of them is ever published."""

    work: Path
    order: Sequence[int]  # of all shards
    rank: int
    processes: int
    finished: Callable[[], bool] = lambda: False  # whether the result is published, so that nothing is left to claim
    taken: list[Claim] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.work.with_name(f"{self.work.name}{SUFFIX}")

    def missing(self) -> list[int]:
        """Shards that are not on disk yet."""
        return [shard for shard in self.order if not self._exists(shard)]

    def take(self) -> Iterator[Claim]:
        """Claim what is missing and free, one shard at a time, when the next one is asked for."""
        for place, shard in enumerate(self.order):
            claim = None if self._exists(shard) else self._claim(shard, place)
            if claim is None:
                continue
            if self._exists(shard):  # finished by another process in between
                claim.release()
            elif self.finished():  # asked last: publishing takes the shards away and shows them in one step
                claim.release()
                return
            else:
                self.taken.append(claim)
                yield claim

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For what must not fall between the steps of publishing: one process at a time, the others wait here."""
        with self._open(FOLDER_LOCK) as file:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _exists(self, shard: int) -> bool:
        return (self.work / shard_name(shard)).exists()

    def _claim(self, shard: int, place: int) -> Claim | None:
        file = self._open(str(shard))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError:  # a file system without locks: every n-th shard of the order, the rest is not ours
            file.close()
            return Claim(shard, None) if place % self.processes == self.rank else None
        return Claim(shard, file)

    def _open(self, name: str) -> IO[bytes]:
        with writing(self.folder):
            for _ in range(100):
                self.folder.mkdir(parents=True, exist_ok=True)
                try:
                    return (self.folder / name).open("wb")
                except FileNotFoundError:  # the one that published has just cleared it away
                    continue
            return (self.folder / name).open("wb")

    def release_all(self) -> None:
        """Give back what was claimed and not done, where a run fails and its process lives on."""
        for claim in self.taken:
            claim.release()

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_abandoned(stage: Path) -> None:
    """Delete the work folders of a stage that nobody has begun, resumed or written to for two weeks, with their claims.

    What a live process holds a claim in stays.
    """
    for work in sorted({path.with_name(path.name.removesuffix(SUFFIX)) for path in stage.iterdir()}):
        claims = work.with_name(f"{work.name}{SUFFIX}")
        folders = [path for path in (work, claims) if path.is_dir()]
        with suppress(FileNotFoundError):  # another process removes it too
            last = max((path.stat().st_mtime for path in folders), default=time.time())
            if time.time() - last > ABANDONED_AFTER and not _is_held(claims):
                for path in folders:
                    shutil.rmtree(path, ignore_errors=True)


def _is_held(claims: Path) -> bool:
    """Whether a live process holds one of the claims."""
    for path in claims.iterdir() if claims.is_dir() else ():
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:  # a file system without locks
                return False
    return False


def by_cost(pool: Path, shard_size: int, max_length: int) -> list[int]:
    """All shards, the costliest first, so that the last ones to be taken are small.

    The cost is the bytes of text; what is surely cut off (16 bytes for each token of `max_length`) is not counted.
    """
    costs = [_cost(batch.column("messages"), 16 * max_length) for batch in iter_batches(pool, ["messages"], shard_size)]
    return sorted(range(len(costs)), key=lambda shard: -costs[shard])


def _cost(conversations: pa.ListArray, longest: int) -> int:
    contents = conversations.flatten().field("content")
    ends = np.frombuffer(contents.buffers()[1], np.int32)[
        contents.offset :
    ]  # where each turn's text begins in the bytes of them all
    turns = conversations.offsets.to_numpy()
    return int(np.minimum(np.diff(ends[turns - turns[0]]), longest).sum())
