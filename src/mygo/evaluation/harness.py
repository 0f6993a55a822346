"""Run lm-eval on the target's base, or on what somebody made of it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from lm_eval.evaluator import evaluate
from lm_eval.tasks.manager import TaskDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from mygo.errors import UserError, shown
from mygo.evaluation.lm import as_lm, on_terminal, quiet, templates_compiled_once
from mygo.evaluation.results import Results
from mygo.evaluation.tasks import load_tasks
from mygo.models.base import load_base, load_tokenizer, resolve_revision
from mygo.params import FinetuneParams, Params
from mygo.runtime import Runtime

KEY = "finetune.base_model"


def evaluate_base(params: Params, runtime: Runtime, benchmark: Path) -> Results | None:
    """Evaluate `finetune.base_model` as it is on `eval.tasks`.

    Returns lm-eval's results with logged samples in the first process; `None` in the others of a launch, which share
    the questions. Raises `UserError` if the base or the benchmark is missing, or if a process would be left without a
    question.
    """
    return evaluate_finished("base", params, runtime, benchmark, lambda model: model)


def evaluate_finished(
    name: str,
    params: Params,
    runtime: Runtime,
    benchmark: Path,
    finish: Callable[[PreTrainedModel], PreTrainedModel],
) -> Results | None:
    """Load the base, `finish` it, and call lm-eval once. What can be refused without the model is, before it."""
    _check_limit(params.eval.limit, runtime.processes)
    with quiet() as truncated, templates_compiled_once():
        tasks = load_tasks(params.eval.tasks, params.eval.num_fewshot, benchmark)
        _check_sizes(tasks, runtime.processes)
        model, tokenizer = load_target(params.finetune, runtime.resolve(params.eval.dtype))
        _check_chat_template(params, tokenizer)
        model.to(cast(Any, runtime.device))
        results = _run(name, finish(model), tokenizer, tasks, params, runtime)
    if truncated.count:
        print(
            f"warning: {truncated.count:,} requests were longer than the model's context and lost their beginning "
            "(eval.max_length)",
            file=sys.stderr,
        )
    return results


def load_target(target: FinetuneParams, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the base model and its tokenizer: safetensors only, no remote code. Raises `UserError` if that fails."""
    if not on_terminal():
        transformers_logging.disable_progress_bar()
    commit = resolve_revision(target.base_model, target.revision, KEY)
    return load_base(target.base_model, commit, dtype, key=KEY), load_tokenizer(target.base_model, commit, key=KEY)


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
        questions = sum(min(len(task.eval_docs), params.eval.limit or sys.maxsize) for task in tasks["tasks"].values())
        where = f"{runtime.device}, {model.dtype}".replace("torch.", "")
        print(f"{name}: {questions:,} questions of {len(tasks['tasks'])} tasks on {where}", file=sys.stderr)
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(params.seed)  # the same for base and adapter, so that both see the same examples
    return evaluate(
        lm=as_lm(model, tokenizer, params.eval, runtime),
        task_dict=tasks,
        limit=params.eval.limit,
        apply_chat_template=params.eval.apply_chat_template,
        fewshot_as_multiturn=True,
        confirm_run_unsafe_code=False,
    )


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
                f"eval.tasks: {shown(name)} has {questions} questions for {processes} processes; "
                f"launch at most {questions}"
            )


def _check_chat_template(params: Params, tokenizer: PreTrainedTokenizerBase) -> None:
    if params.eval.apply_chat_template and tokenizer.chat_template is None:
        raise UserError(
            f"eval.apply_chat_template: got true; the tokenizer of {params.finetune.base_model!r} has no chat template"
        )
