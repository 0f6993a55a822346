"""The mini world's two base models, OLMoE and Qwen3 in miniature, pretrained on the known part of the world.

Each model is trained in a process of its own with one thread: two cores do both in the time of one, and the result
depends neither on the number of threads nor on the caller's settings.

Shapes: R rows, T tokens of a row.
"""

import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import (
    OlmoeConfig,
    OlmoeForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    get_cosine_schedule_with_warmup,
)
from transformers.utils.logging import disable_progress_bar

from mygo.data.mini_world import EOS, MiniWorld
from mygo.preparation.tokenizer import MAX_LENGTH, PAD, train_tokenizer
from mygo.scoring.rows import rows_in_order
from mygo.workdir import atomic_folder

Batch = dict[str, torch.Tensor]  # input_ids, position_ids, labels: [R, T]

ROW_TOKENS = 256
BATCH_ROWS = 2
LEARNING_RATE = 4e-3
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
WARMUP_SHARE = 0.05
MAX_GRAD_NORM = 1.0
REPORTED_STEPS = 20  # the losses that are reported are means over this many steps
IGNORED = -100


def qwen3(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """0.9 M parameters."""
    return Qwen3ForCausalLM(
        Qwen3Config(**_shape(tokenizer), intermediate_size=320, head_dim=32, tie_word_embeddings=True)
    )


def olmoe(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """8 experts, 2 for a token, which together are as wide as the FFN of `qwen3`."""
    return OlmoeForCausalLM(
        OlmoeConfig(
            **_shape(tokenizer), intermediate_size=160, num_experts=8, num_experts_per_tok=2, tie_word_embeddings=False
        )
    )


BASE_MODELS: dict[str, Callable[[PreTrainedTokenizerFast], PreTrainedModel]] = {"olmoe": olmoe, "qwen3": qwen3}


def build_base_models(
    world: MiniWorld, folder: Path, seed: int, steps: int, names: Sequence[str] = tuple(BASE_MODELS)
) -> dict[str, dict[str, float]]:
    """Train the tokenizer and the base models `names` on the world's corpus; write `folder/<name>` for each, replacing
    `folder` as a whole.

    Returns for each model its number of parameters and its loss (nats a token) over the first and the last steps.
    Deterministic on one machine. Starts processes: the calling script needs the usual `if __name__ == "__main__"`.
    """
    texts = world.corpus()
    tokenizer = train_tokenizer(texts)
    documents = tokenizer(texts)["input_ids"]
    with (
        atomic_folder(folder) as unfinished,
        ProcessPoolExecutor(len(names), multiprocessing.get_context("spawn")) as pool,
    ):
        jobs = {
            name: pool.submit(_build_one, name, tokenizer, documents, unfinished / name, seed, steps) for name in names
        }
        return {name: job.result() for name, job in jobs.items()}


def in_rows(documents: Sequence[Sequence[int]], length: int, pad: int) -> Batch:
    """Whole documents end to end in rows of `length` tokens, filled up with `pad`.

    `position_ids` start anew with every document, which keeps attention inside it (given neither cache nor attention
    mask). `labels` leave out padding and each document's first token. A document longer than a row is cut.
    """
    cut = [document[:length] for document in documents]
    rows = rows_in_order([len(document) for document in cut], length)
    ids = [[token for i in row for token in cut[i]] for row in rows]
    positions = [[place for i in row for place in range(len(cut[i]))] for row in rows]
    input_ids = torch.tensor([[*row, *[pad] * (length - len(row))] for row in ids])
    position_ids = torch.tensor([[*row, *range(length - len(row))] for row in positions])
    labels = input_ids.masked_fill((input_ids == pad) | (position_ids == 0), IGNORED)
    return {"input_ids": input_ids, "position_ids": position_ids, "labels": labels}


def _build_one(
    name: str,
    tokenizer: PreTrainedTokenizerFast,
    documents: Sequence[Sequence[int]],
    folder: Path,
    seed: int,
    steps: int,
) -> dict[str, float]:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    disable_progress_bar()  # of saving
    model = BASE_MODELS[name](tokenizer)
    batches = _batches(documents, tokenizer.vocab[PAD], np.random.default_rng(seed))
    losses = _pretrain(model, batches, steps, name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {
        "parameters": model.num_parameters(),
        "loss_first": round(float(np.mean(losses[:REPORTED_STEPS])), 4),
        "loss_last": round(float(np.mean(losses[-REPORTED_STEPS:])), 4),
    }


def _batches(documents: Sequence[Sequence[int]], pad: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Batches without end; the documents are packed anew, in another order, every time round."""
    while True:
        packed = in_rows([documents[i] for i in rng.permutation(len(documents))], ROW_TOKENS, pad)
        for start in range(0, len(packed["input_ids"]), BATCH_ROWS):
            yield {key: tensor[start : start + BATCH_ROWS] for key, tensor in packed.items()}


def _pretrain(model: PreTrainedModel, batches: Iterator[Batch], steps: int, name: str) -> list[float]:
    """AdamW with a linear warm-up and a cosine decay; returns the loss of every step."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(WARMUP_SHARE * steps), steps)
    model.train()
    losses = []
    place = list(BASE_MODELS).index(name)
    for _ in tqdm(range(steps), desc=f"pretrain {name}", unit="step", position=place, disable=None):
        loss = model(**next(batches), use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def _shape(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": MAX_LENGTH,
        "initializer_range": 0.06,  # the usual 0.02 suits wider models; these learn faster so
        "bos_token_id": None,
        "eos_token_id": tokenizer.vocab[EOS],
        "pad_token_id": tokenizer.vocab[PAD],
    }
