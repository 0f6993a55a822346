"""What the pool's conversations are answers to, and how many words the answers have. N samples."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import orjson

from mygo.data.pool import iter_batches
from mygo.data.records import Message, from_records

BATCH_ROWS = 2_000


def answer_words(pool: Path) -> np.ndarray:
    """Words of the assistant's turns of each sample, int64 [N]: what whitespace separates."""
    return np.array([count_words(messages) for messages in _conversations(pool)], dtype=np.int64)


def prompt_numbers(pool: Path) -> np.ndarray:
    """A number for the prompt of each sample, int64 [N], from 0 as they first appear: the same for samples whose
    messages before the last answer are equal. A sample without any, as of plain text, is no answer to what another
    answers: it has a number of its own.
    """
    numbers: dict[bytes | int, int] = {}
    keys = (_prompt_key(messages, row) for row, messages in enumerate(_conversations(pool)))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _prompt_key(messages: Sequence[Message], row: int) -> bytes | int:
    prompt = prompt_of(messages)
    return blake2b(orjson.dumps(prompt), digest_size=16).digest() if prompt else row


def count_words(messages: Sequence[Message]) -> int:
    return sum(len(message["content"].split()) for message in messages if message["role"] == "assistant")


def prompt_of(messages: Sequence[Message]) -> list[Message]:
    """The messages before the last turn of the assistant; empty where it speaks first."""
    last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=0)
    return list(messages[:last])


def _conversations(pool: Path) -> Iterator[list[Message]]:
    for batch in iter_batches(pool, ["messages"], BATCH_ROWS):
        yield from from_records(batch.column("messages"))
