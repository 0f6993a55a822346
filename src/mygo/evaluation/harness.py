"""Run lm-eval on the target's base, then on the same model with the adapter."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks.manager import TaskDict
from lm_eval.utils import env as template_environment
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mygo.errors import UserError
from mygo.evaluation.report import Results
from mygo.evaluation.tasks import load_tasks
from mygo.models.base import load_base, load_tokenizer
from mygo.params import EvalParams, FinetuneParams, Params
from mygo.runtime import Runtime

WEIGHTS = "adapter_model.safetensors"


def evaluate_target(params: Params, runtime: Runtime, adapter: Path, benchmark: Path) -> dict[str, Results] | None:
    """Evaluate `finetune.base_model` without and with the adapter on `eval.tasks`; the base is loaded once.

    Returns lm-eval's results with logged samples as `{"base": ..., "adapter": ...}`, in the first process; `None` in
    the others of an `accelerate launch`, which share the questions. Raises `UserError` if the adapter, the base or the
    benchmark is missing, if the adapter was trained on another base, or if a process would be left without a question.
    """
    _check_limit(params.eval.limit, runtime.processes)
    _check_adapter(adapter)
    with _quiet() as truncated, _templates_compiled_once():
        tasks = load_tasks(params.eval.tasks, params.eval.num_fewshot, benchmark)
        _check_sizes(tasks, runtime.processes)
        model, tokenizer = load_target(params.finetune, runtime.resolve(params.eval.dtype))
        model.to(cast(Any, runtime.device))
        if params.eval.apply_chat_template and tokenizer.chat_template is None:
            raise UserError(
                f"eval.apply_chat_template: got true; the tokenizer of {params.finetune.base_model!r} has no chat "
                "template"
            )
        base = _run("base", model, tokenizer, tasks, params, runtime)
        adapted = _run(
            "base + adapter",
            attach_adapter(model, adapter, params.eval.merge_adapter),
            tokenizer,
            tasks,
            params,
            runtime,
        )
    if truncated.count:
        print(
            f"warning: {truncated.count:,} requests were longer than the model's context and lost their beginning "
            "(eval.max_length)",
            file=sys.stderr,
        )
    return None if base is None or adapted is None else {"base": base, "adapter": adapted}


def load_target(target: FinetuneParams, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the base model and its tokenizer: safetensors only, no remote code. Raises `UserError` if that fails."""
    model = load_base(target.base_model, target.revision, dtype, key="finetune.base_model")
    return model, load_tokenizer(target.base_model, target.revision, key="finetune.base_model")


def attach_adapter(model: PreTrainedModel, adapter: Path, merge: bool) -> PreTrainedModel:
    """Put the LoRA adapter on the model (in place), or add it into the weights if `merge`. Raises `UserError` if it is
    one of another base.
    """
    try:
        adapted = PeftModel.from_pretrained(model, str(adapter))
    except (RuntimeError, ValueError) as error:
        raise _does_not_fit(
            model, adapter, next(line.strip() for line in reversed(str(error).splitlines()) if line.strip())
        ) from None
    with safe_open(adapter / WEIGHTS, framework="pt") as file:
        stored = {key for key in file.keys() if "lora_" in key}  # noqa: SIM118 (not a dict)
    wanted = {key for key in get_peft_model_state_dict(adapted, save_embedding_layers=False) if "lora_" in key}
    if stored != wanted:  # PEFT only warns
        raise _does_not_fit(model, adapter, f"tensors such as {min(stored ^ wanted)} are in one of the two only")
    return cast(PreTrainedModel, adapted.merge_and_unload() if merge else adapted)


def _check_limit(limit: int | None, processes: int) -> None:
    if limit is not None and limit < processes:
        raise UserError(
            f"eval.limit: got {limit}; takes null, or at least {processes}, one question of a task for each "
            "process of the launch"
        )


def _check_sizes(tasks: TaskDict, processes: int) -> None:
    """lm-eval gives the questions of each task out in turn, and stops at a process that gets none."""
    for name, task in tasks["tasks"].items() if processes > 1 else ():
        if (questions := len(task.eval_docs)) < processes:
            raise UserError(
                f"eval.tasks: {name} has {questions} questions for {processes} processes; launch at most {questions}"
            )


def _check_adapter(adapter: Path) -> None:
    for name in ("adapter_config.json", WEIGHTS):
        if not (adapter / name).is_file():
            raise UserError(
                f"{adapter}: there is no {name}; takes a PEFT adapter in safetensors, such as the stage finetune writes"
            )


def _does_not_fit(model: PreTrainedModel, adapter: Path, reason: str) -> UserError:
    return UserError(
        f"{adapter}: the adapter does not fit finetune.base_model {model.name_or_path!r}; takes one that was "
        f"trained on this base ({reason})"
    )


def _run(
    name: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: TaskDict,
    params: Params,
    runtime: Runtime,
) -> Results | None:
    """One call of lm-eval. Returns `None` in all processes but the first."""
    if runtime.is_main:
        print(
            f"{name}: {len(tasks['tasks'])} tasks on {runtime.device}, {model.dtype}".replace("torch.", ""),
            file=sys.stderr,
        )
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(params.seed)  # again for each model, so that both see the same examples
    return evaluate(
        lm=_as_lm(model, tokenizer, params.eval, runtime),
        task_dict=tasks,
        limit=params.eval.limit,
        apply_chat_template=params.eval.apply_chat_template,
        fewshot_as_multiturn=True,
        confirm_run_unsafe_code=False,
    )


def _as_lm(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: EvalParams, runtime: Runtime) -> LM:
    """Wrap a loaded model. `max_length: null` is lm-eval's rule: the context of the model, 2,048 if its config does not
    say.
    """
    lm = cast(Any, HFLM)(  # its registration hides its type
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=params.batch_size,
        max_length=params.max_length,
        softmax_dtype=torch.float32,  # in bfloat16 close choices tie, and a tie goes to the first of them
    )
    if (
        runtime.processes > 1
    ):  # lm-eval leaves it to the caller to share out the questions for a model that is already loaded
        lm.accelerator = Accelerator()
        lm._rank, lm._world_size = runtime.rank, runtime.processes
    return lm


class _TruncationCounter(logging.Filter):
    """Counts lm-eval's warning about a prompt that is too long, one for each request, in place of printing it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        self.count += record.getMessage().startswith("Combined length of context")
        return record.levelno >= logging.ERROR


@contextmanager
def _quiet() -> Iterator[_TruncationCounter]:
    """Silence lm-eval's warnings (it prints one for each of MMLU's 57 tasks), keep its errors."""
    package, model_room = logging.getLogger("lm_eval"), logging.getLogger(HFLM.__module__)
    counter = _TruncationCounter()
    package.setLevel(logging.ERROR)
    model_room.setLevel(logging.WARNING)
    model_room.addFilter(counter)
    try:
        yield counter
    finally:
        model_room.removeFilter(counter)
        model_room.setLevel(logging.NOTSET)
        package.setLevel(logging.NOTSET)


@contextmanager
def _templates_compiled_once() -> Iterator[None]:
    """lm-eval compiles its Jinja templates anew for every question and every shot, which for MMLU takes longer than a
    GPU needs to answer.
    """
    environment: Any = template_environment
    environment.from_string = lru_cache(environment.from_string)
    try:
        yield
    finally:
        del environment.from_string  # the class's own method is back
