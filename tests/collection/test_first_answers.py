"""IFD from statistics against the published reference formula on the same model."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

from mygo.collection.answers_alone import answer_turns, start_token
from mygo.collection.collect import collect
from mygo.collection.shards import _first_answers
from mygo.data.encoding import Encoder
from mygo.data.pool import write_pool
from mygo.data.records import Sample
from mygo.models.checkpoints import load_checkpoint
from mygo.selection.reading.material import Material
from mygo.selection.reading.statistics import open_statistics
from mygo.selection.scores import SCORES
from tests.collection.processes import CPU, PARAMS
from tests.selection.by_hand import make_params

# How many tokens, and which are the answer's: all of four, and of one.
BEGUN = [(4, [True] * 4), (1, [True])]


@pytest.fixture
def talks(tmp_path):
    """One answer, two of them, none."""
    turns = (["Why is it so?", "Because."], ["Who?", "You and I.", "And now?", "We go on."], ["Say nothing.", ""])
    samples = [
        Sample(
            "a",
            i,
            f"a-{i}",
            [{"role": "user" if j % 2 == 0 else "assistant", "content": text} for j, text in enumerate(said)],
            None,
        )
        for i, said in enumerate(turns)
    ]
    write_pool(samples, tmp_path / "talks")
    return tmp_path / "talks"


def reference_perplexity(model, ids: np.ndarray, first: int, stop: int) -> float:
    """As Cherry_LLM takes it: all labels but the output's are -100, and the loss is the mean over what is left."""
    labels = np.full(len(ids), -100)
    labels[first:stop] = ids[first:stop]
    with torch.no_grad():
        out = model(torch.tensor(ids, dtype=torch.long)[None])
    return math.exp(float(torch.nn.functional.cross_entropy(out.logits[0, :-1], torch.tensor(labels)[1:])))


@pytest.mark.parametrize("tokens", [True, False])
def test_ifd_is_the_published_ratio_over_the_first_answer(tiny_selector: Path, talks: Path, tmp_path: Path, tokens):
    params = PARAMS.model_copy(update={"answer_alone": True, "base_nll": True, "tokens": tokens})
    collect(params, CPU, tiny_selector.parent, talks, tmp_path / "out", tiny_selector)
    ifd = SCORES["ifd"](Material(open_statistics(tmp_path / "out"), make_params(score="ifd"), talks))
    base = load_checkpoint(tiny_selector, torch.float32).eval()
    for module in base.modules():
        if hasattr(module, "whole"):
            module.forward = module.whole
    tokenizer = AutoTokenizer.from_pretrained(tiny_selector)
    encoded = Encoder(tokenizer, PARAMS.max_length).encode(
        pq.read_table(talks / "pool-00000.parquet")["messages"].to_pylist()
    )
    for i, sample in enumerate(encoded):
        turns = answer_turns(sample)
        if not turns:
            assert np.isnan(ifd[i])
            continue
        first, stop = turns[0]
        alone = np.concatenate([[start_token(tokenizer)], sample.input_ids[first:stop]])
        conditioned = reference_perplexity(base, sample.input_ids[:stop], first, stop)
        assert ifd[i] == pytest.approx(conditioned / reference_perplexity(base, alone, 1, len(alone)), rel=1e-4)
    assert [len(answer_turns(sample)) for sample in encoded][:2] == [1, 2]


def test_an_answer_that_begins_a_conversation_is_taken_from_its_second_token():
    """A template may begin without a token of its own; the very first token has no NLL to compare."""
    encoded = [SimpleNamespace(input_ids=np.arange(length), answer=np.array(answer)) for length, answer in BEGUN]
    nll = torch.tensor([1.0, 2.0, 4.0])
    row = SimpleNamespace(one_by_one=lambda lengths: [SimpleNamespace(nll_M=nll), SimpleNamespace(nll_M=nll[:0])])
    alone = [np.array([9.0, 3.0, 5.0, 7.0], np.float32), np.array([9.0], np.float32)]
    columns = _first_answers(encoded, [([0, 1], row)], alone)
    assert columns["nll_first_answer"].to_pylist() == pytest.approx([7 / 3, None])
    assert columns["nll_first_answer_alone"].to_pylist() == [5.0, None]
