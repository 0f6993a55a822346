"""Everything that decides the bytes of the statistics, in one place: the model, the pool, the parameters, where and in
what number format is computed, our own code, the libraries.
"""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow
import tokenizers
import torch
import transformers

from mygo.collection.grader import Grader
from mygo.params import CollectParams
from mygo.params.inputs import source_file
from mygo.runtime import Runtime
from mygo.workdir import hash_folder

PACKAGE = Path(__file__).resolve().parents[1]
# Beginnings of paths below the package. A test follows the imports of this room: what it reaches is among them.
CODE = (
    *("collection/", "models/", "runtime", "scoring/"),
    *("data/chat/", "data/encoding", "data/pool", "data/records"),
)
LIBRARIES = (pyarrow, tokenizers, torch, transformers)


def make_fingerprint(params: CollectParams, runtime: Runtime, grader: Grader, pool: Path) -> dict[str, Any]:
    """How many processes grade is not in it: any number of them writes the same shards."""
    return {
        "model": grader.digest(),
        "base": grader.base_digest(),
        "pool": hash_folder(pool),
        "params": params.model_dump(exclude={"checkpoint", "dtype"}),
        "device": runtime.device.type,
        "dtype": str(runtime.resolve(params.dtype)),
        "code": code_digest(),
        "trash_expert": _custom_trash_expert(grader),
        "libraries": {library.__name__: str(library.__version__) for library in LIBRARIES},
    }


def _custom_trash_expert(grader: Grader) -> str | None:
    """A digest of the file that the model's own trash expert stands in, where it has one."""
    named = getattr(grader.text_config(), "trash_expert_module", None)
    file = source_file(named, Path())
    return None if file is None else hashlib.blake2b(Path(file).read_bytes(), digest_size=20).hexdigest()


def code_digest(package: Path = PACKAGE) -> str:
    """Of the source files that decide what is written, as they are installed."""
    total = hashlib.blake2b(digest_size=20)
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if name.startswith(CODE):
            total.update(f"{name}\0{hashlib.blake2b(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
