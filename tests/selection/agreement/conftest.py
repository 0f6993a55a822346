"""A pool with labels, for the tests of the command."""

import numpy as np
import pytest

from mygo.data.pool import write_pool
from mygo.data.records import Sample
from tests.selection.agreement.running import ROWS


@pytest.fixture
def judged(write, made, monkeypatch):
    """Sixteen prompts of three answers in one source, labelled in three columns, with statistics of a gated model; one
    sample has no score.
    """
    monkeypatch.setattr("mygo.selection.agreement.bootstrap.RESAMPLES", 60)
    rng = np.random.default_rng(0)
    samples = [sample for sample in made.random_samples(200, longest=9) if sample.n_tokens > 1 or sample.index == 0]
    samples = samples[:ROWS]
    for i, sample in enumerate(samples):
        sample.dataset, sample.index = "judged", i
        answer = " ".join(["word"] * int(rng.integers(1, 30)))
        sample.messages = [{"role": "user", "content": f"Why {i // 3}?"}, {"role": "assistant", "content": answer}]
    folders = write(samples)
    quality = [None if i == 5 else str(round(value, 2)) for i, value in enumerate(rng.random(ROWS))]
    labels = {
        "nice": ["yes" if i % 3 == 0 else "no" for i in range(ROWS)],
        "quality": quality,
        "remark": [f"remark {i}" for i in range(ROWS)],
    }
    for path in folders.pool.iterdir():
        path.unlink()
    folders.pool.rmdir()
    columns = [tuple((name, texts[i]) for name, texts in labels.items()) for i in range(ROWS)]
    write_pool(
        [
            Sample(sample.dataset, sample.index, sample.key, sample.messages, columns[i][0][1], columns[i])
            for i, sample in enumerate(samples)
        ],
        folders.pool,
    )
    return folders
