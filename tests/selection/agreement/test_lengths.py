"""Statistics that hold lengths alone serve the scores that ask no more."""

import json

import numpy as np
from click.testing import CliRunner

from benchmarks.lengths import write_lengths
from mygo.data.pool import write_pool
from mygo.data.records import Sample
from mygo.preparation.tokenizer import train_tokenizer
from mygo.selection.agreement.command import agreement
from mygo.selection.reading.statistics import open_statistics
from tests.selection.agreement.running import PARAMS


def test_lengths_are_those_of_the_tokenizer(tmp_path, conversations):
    labels = ["yes" if i % 3 else "no" for i in range(len(conversations))]
    samples = [
        Sample("made", i, f"made_{i}", messages, label, (("nice", label),))
        for i, (messages, label) in enumerate(zip(conversations, labels, strict=True))
    ]
    write_pool(samples, tmp_path / "pool")
    tokenizer = train_tokenizer(["<|user|>\namber brook\n<|assistant|>\ncedar dune ember frost\n"])
    assert write_lengths(tmp_path / "pool", tokenizer, 40, tmp_path / "lengths") == len(samples)
    n_tokens = open_statistics(tmp_path / "lengths").values("n_tokens")
    words = np.array([sum(len(turn["content"].split()) for turn in messages) for messages in conversations])
    assert n_tokens.max() == 40
    assert (n_tokens[n_tokens < 40] > words[n_tokens < 40]).all()
    places = ["--statistics", str(tmp_path / "lengths"), "--pool", str(tmp_path / "pool"), "--params", str(PARAMS)]
    result = CliRunner().invoke(agreement, [*places, "--format", "json"])
    assert result.exit_code == 0, result.output
    (table,) = json.loads(result.stdout)
    assert [row["score"] for row in table["scores"]] == ["length", "random"]
    assert table["held_fixed"] == ["length", "words"]
