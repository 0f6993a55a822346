"""Whether memory grows with the vocabulary or with the pool: `python -m benchmarks.memory`.

Scores samples with models of different vocabularies, and collects pools of different sizes with a tiny random selector,
each in a process of its own, and prints peaks of resident memory: beyond the model for the vocabulary, of the whole
process for the pool.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.models import FAMILY
from mygo.data.pool import write_pool
from mygo.data.records import Sample
from mygo.models import FAMILIES
from mygo.params import CollectParams
from mygo.preparation.tokenizer import train_tokenizer

CHILD = """
import resource, sys, torch
from pathlib import Path
from mygo.collection.collect import collect
from mygo.params import CollectParams
from mygo.runtime import Runtime
torch.set_num_threads(1)
collect(CollectParams.model_validate_json(sys.argv[1]), Runtime(torch.device("cpu"), torch.float32, 0, 1),
Path("warmed"), Path(sys.argv[2]), Path("out")) print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
ROW = """
import sys, torch
from benchmarks.loops import packed
from benchmarks.memory_peak import peak_memory, reset_peak_memory
from benchmarks.models import random_model, random_samples, sample_lengths
from mygo.scoring.row_size import RowSize
from mygo.scoring.engine import Engine
torch.set_num_threads(1)
engine = Engine(random_model(sys.argv[1], "cpu", int(sys.argv[2])), 2048, RowSize(2048), "benchmark")
samples = random_samples(1000, sample_lengths(12, 180, 0), 0)
before = reset_peak_memory(engine.model.device)
packed(engine, samples)
print(peak_memory(engine.model.device) - before)
"""
WORDS = ["amber", "brook", "cedar", "dune", "ember", "frost", "grove", "harbour"]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory", description="Peak memory against vocabulary and pool."
    )
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--vocabulary", type=int, nargs="+", default=[32_000, 64_000, 128_000])
    arguments = parser.parse_args()
    for name in FAMILY:
        for vocabulary in arguments.vocabulary:
            command = [sys.executable, "-c", ROW, name, str(vocabulary)]
            grown = (
                int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]) / 2**20
            )
            print(f"{name}, vocabulary {vocabulary:7,}: peak {grown:,.0f} MiB beyond the model")
    with tempfile.TemporaryDirectory() as folder:
        make_selector(Path(folder) / "warmed/epoch_1")
        peaks = [_peak(Path(folder), samples) for samples in arguments.samples]
    for samples, peak in zip(arguments.samples, peaks, strict=True):
        print(f"{samples:9,} samples: peak {peak:,.0f} MiB, {peak / peaks[0]:.3f} of the first")


def make_selector(folder: Path) -> None:
    """A tiny Select-MoE with random weights, as warm-up would save it."""
    tokenizer = train_tokenizer([" ".join(WORDS)])
    cls = FAMILIES["select_moe"].causal_lm
    assert cls.config_class is not None
    shape: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
    }
    shape |= {"vocab_size": len(tokenizer), "num_experts": 8, "num_experts_per_tok": 2, "pad_token_id": 0}
    torch.manual_seed(0)
    model = cls(cls.config_class(**shape))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_pool(folder: Path, samples: int) -> Path:
    """A pool of short conversations."""
    rng = random.Random(0)
    texts = ([" ".join(rng.choices(WORDS, k=rng.randint(1, 20))) for _ in range(2)] for _ in range(samples))
    chats = (
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}] for question, answer in texts
    )
    pool = folder / f"pool_{samples}"
    write_pool((Sample("made", i, f"made_{i}", chat, None) for i, chat in enumerate(chats)), pool)
    return pool


def tiny_params() -> CollectParams:
    """For the tiny selector."""
    return CollectParams(
        base_model=None,
        revision=None,
        checkpoint="last",
        tokens_per_batch=2048,
        max_length=128,
        shard_size=1024,
        tokens=True,
        answer_alone=False,
        base_nll=False,
        hidden_states=False,
        dtype="float32",
    )


def _peak(folder: Path, samples: int) -> float:
    """Peak resident memory in MiB of collecting that many samples."""
    command = [sys.executable, "-c", CHILD, tiny_params().model_dump_json(), str(make_pool(folder, samples))]
    return (
        int(subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])
        / 1024
    )


if __name__ == "__main__":
    main()
