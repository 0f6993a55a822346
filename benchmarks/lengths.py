"""Statistics without a model: how many tokens each sample of a pool has, for scores that ask no more (length, random).

    python -m benchmarks.lengths data/pool TOKENIZER data/lengths

TOKENIZER is a folder or a hub id. `python -m mygo agreement --statistics data/lengths` reads them; a pool of 50,000
samples takes half a minute where a model takes hours.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mygo.data.encoding import Encoder
from mygo.data.pool import iter_batches
from mygo.data.records import from_records
from mygo.errors import one_sentence
from mygo.workdir import atomic_folder

BATCH_ROWS = 1_000
SHARD = "shard-00000.parquet"
KEYS = ["source_dataset", "source_index", "id"]


def write_lengths(pool: Path, tokenizer: Any, max_length: int, out: Path) -> int:
    """Write the folder `out`; returns how many samples it holds. `max_length` in tokens cuts as `collect` does."""
    encoder, rows = Encoder(tokenizer, max_length), 0
    with atomic_folder(out) as folder:
        writer: pq.ParquetWriter | None = None
        for table in _tables(pool, encoder):
            writer = writer or pq.ParquetWriter(folder / SHARD, table.schema)
            writer.write_table(table)
            rows += table.num_rows
        assert writer is not None, "a pool holds a sample"
        writer.close()
        shards = [{"file": SHARD, "rows": rows}]
        of_no_model = {"layers": 0, "gated": False, "records": [], "selector": False, "tokens": False}
        (folder / "manifest.json").write_text(json.dumps({"fingerprint": {}, **of_no_model, "shards": shards}))
    return rows


def _tables(pool: Path, encoder: Encoder) -> Iterator[pa.Table]:
    for batch in iter_batches(pool, [*KEYS, "messages"], BATCH_ROWS):
        lengths = [len(sample.input_ids) for sample in encoder.encode(from_records(batch.column("messages")))]
        unknown = pa.nulls(len(lengths), pa.float32())
        yield pa.table(
            {name: batch.column(name) for name in KEYS}
            | {"n_tokens": pa.array(lengths, pa.int32()), "nll": unknown, "nll_answer": unknown}
        )


@one_sentence
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("tokenizer")
    parser.add_argument("out", type=Path)
    parser.add_argument("--max-length", type=int, default=512)
    arguments = parser.parse_args()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    print(f"{write_lengths(arguments.pool, tokenizer, arguments.max_length, arguments.out):,} samples")


if __name__ == "__main__":
    main()
