"""Answers without their instructions: what the IFD baseline divides by (Li et al. 2024, arXiv 2308.12032, "direct
answer score").

Every assistant turn stands alone behind one start token, so that each of its tokens has an NLL, as it has in the
conversation. The paper's code starts from the bare answer, whose first token then has none; we keep the same tokens
above and below the line.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from mygo.data.encoding import Encoded
from mygo.errors import UserError
from mygo.scoring.engine import Engine


def start_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that opens a text: the tokenizer's BOS, or its EOS where it has none."""
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if token is None:
        raise UserError(
            "collect.answer_alone: got true, but the tokenizer has neither a BOS nor an EOS token to begin an "
            "answer with"
        )
    return cast(int, token)


def answers_alone(encoded: Encoded, start: int) -> list[torch.Tensor]:
    """The assistant's turns of a sample as texts of their own, int64 [1 + T] each."""
    turns = [encoded.input_ids[first:stop] for first, stop in answer_turns(encoded)]
    return [torch.from_numpy(np.concatenate([[start], turn]).astype(np.int64)) for turn in turns]


def answer_turns(encoded: Encoded) -> list[tuple[int, int]]:
    """Where each of the assistant's turns begins and ends among the tokens of a sample."""
    edges = np.flatnonzero(np.diff(encoded.answer, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def score_answers_alone(engine: Engine, samples: Sequence[Encoded], start: int) -> list[np.ndarray]:
    """Per sample the NLL of its answers' tokens without what came before the answer, float32, nats; empty without an
    answer. Of whatever `engine` computes at the time: collect asks within `engine.as_base`.
    """
    texts = [(i, text) for i, sample in enumerate(samples) for text in answers_alone(sample, start)]
    nll: list[np.ndarray] = [np.empty(0, np.float32)] * len(texts)
    all_tokens = [torch.ones(len(text), dtype=torch.bool) for _, text in texts]
    for members, row in engine.score([text for _, text in texts], all_tokens):
        lengths = [len(texts[place][1]) for place in members]
        for place, sample in zip(members, row.one_by_one(lengths), strict=True):
            nll[place] = sample.nll_M.numpy()
    per_sample: list[list[np.ndarray]] = [[] for _ in samples]
    for (i, _), values in zip(texts, nll, strict=True):
        per_sample[i].append(values)
    return [np.concatenate(parts) if parts else np.empty(0, np.float32) for parts in per_sample]
