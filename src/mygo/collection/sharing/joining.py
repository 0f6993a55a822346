"""What the first process of a run decides for all that join it or go on after it: the number of threads and the tokens
of a row, which both decide the last digits of the statistics.
"""

import json
import sys
from pathlib import Path

import torch

from mygo.collection.sharing.claims import Claims
from mygo.scoring.row_size import RowSize
from mygo.workdir import first_written

THREADS_FILE = ".threads.json"
ROW_TOKENS_FILE = ".row_tokens.json"


def agree_on_threads(claims: Claims) -> None:
    """Compute with as many threads as the first process of this work did. For CPUs alone: no thread decides what a GPU
    says.
    """
    own = torch.get_num_threads()
    agreed = _agreed(claims, THREADS_FILE, own)
    if agreed != own:
        torch.set_num_threads(agreed)
        print(f"collect: computes with {agreed} threads, as this work was begun with, not with {own}", file=sys.stderr)


def agree_on_row_size(claims: Claims, own: RowSize) -> RowSize:
    """Rows of as many tokens as the first process found to fit, or of as many as were left after memory ran out."""
    return RowSize(_agreed(claims, ROW_TOKENS_FILE, own.tokens), claims.work / ROW_TOKENS_FILE)


def agreed_row_tokens(work: Path) -> int | None:
    """The tokens of a row that this work was begun with, if it was."""
    path = work / ROW_TOKENS_FILE
    return json.loads(path.read_text()) if path.exists() else None


def _agreed(claims: Claims, name: str, own: int) -> int:
    with claims.alone():
        return json.loads(first_written(claims.work / name, json.dumps(own).encode()))
