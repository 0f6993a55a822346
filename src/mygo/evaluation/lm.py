"""lm-eval's model around one that is already loaded, and lm-eval kept quiet and quick while it runs."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, cast

import lm_eval.api.task as task_module
import torch
from accelerate import Accelerator
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import env as template_environment
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mygo.params import EvalParams
from mygo.runtime import Runtime


class TargetLM(cast(Any, HFLM)):  # its registration hides its type
    """lm-eval's model for transformers, with progress bars on a terminal only."""

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm or not on_terminal())

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
        return super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm or not on_terminal())

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> Any:
        return super().generate_until(requests, disable_tqdm=disable_tqdm or not on_terminal())


def as_lm(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: EvalParams, runtime: Runtime) -> LM:
    """Wrap a loaded model. `max_length: null` is lm-eval's rule: the context of the model, 2,048 if its config does not
    say.
    """
    lm = TargetLM(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=params.batch_size,
        max_length=params.max_length,
        softmax_dtype=torch.float32,  # in bfloat16 close choices tie, and a tie goes to the first of them
    )
    if runtime.processes > 1:  # for a model that is already loaded, lm-eval leaves sharing the questions to the caller
        lm.accelerator = Accelerator()
        lm._rank, lm._world_size = runtime.rank, runtime.processes
    return lm


def on_terminal() -> bool:
    return sys.stderr.isatty()


class TruncationCounter(logging.Filter):
    """Counts lm-eval's warning about a prompt that is too long, one for each request, in place of printing it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        self.count += record.getMessage().startswith("Combined length of context")
        return record.levelno >= logging.ERROR


@contextmanager
def quiet() -> Iterator[TruncationCounter]:
    """Silence lm-eval's warnings (it prints one for each of MMLU's 57 tasks) and its nameless bar for every task, which
    no option of its own turns off. Errors stay.
    """
    package, model_room = logging.getLogger("lm_eval"), logging.getLogger(HFLM.__module__)
    counter = TruncationCounter()
    package.setLevel(logging.ERROR)
    model_room.setLevel(logging.WARNING)
    model_room.addFilter(counter)
    bar = task_module.tqdm
    task_module.tqdm = cast(Any, partial(bar, disable=True))
    try:
        yield counter
    finally:
        task_module.tqdm = bar
        model_room.removeFilter(counter)
        model_room.setLevel(logging.NOTSET)
        package.setLevel(logging.NOTSET)


@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """lm-eval compiles its Jinja templates anew for every question and every shot, which for MMLU takes longer than a
    GPU needs to answer.
    """
    environment: Any = template_environment
    environment.from_string = lru_cache(environment.from_string)
    try:
        yield
    finally:
        del environment.from_string  # the class's own method is back
