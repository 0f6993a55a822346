"""Who scores which shard: processes claim shards one after the other, the costly ones first, without talking to each
other.

A claim is a lock on a file, which the system takes back from a process that dies. So any number of processes may share
a pool, also such as were started by hand on several machines with one file system, and whoever is there picks up what a
dead one left.
"""

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from mygo.collection.shards import shard_name
from mygo.data.pool import iter_batches


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

    @property
    def folder(self) -> Path:
        return self.work.with_name(f"{self.work.name}.claims")

    def missing(self) -> list[int]:
        """Shards that are not on disk yet."""
        return [shard for shard in self.order if not (self.work / shard_name(shard)).exists()]

    def take(self) -> Iterator[Claim]:
        """Claim what is missing and free, one shard at a time, when the next one is asked for."""
        for place, shard in enumerate(self.order):
            claim = None if (self.work / shard_name(shard)).exists() else self._claim(shard, place)
            if claim is None:
                continue
            if (self.work / shard_name(shard)).exists():  # finished by another process in between
                claim.release()
            else:
                yield claim

    def _claim(self, shard: int, place: int) -> Claim | None:
        self.folder.mkdir(exist_ok=True)
        file = (self.folder / str(shard)).open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError:  # a file system without locks: every n-th shard of the order, the rest is not ours
            file.close()
            return Claim(shard, None) if place % self.processes == self.rank else None
        return Claim(shard, file)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


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
