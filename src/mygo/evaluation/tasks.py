"""`eval.tasks`: MMLU and its parts from `data/benchmark`, any other name from lm-eval."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_eval.api.group import Group
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager
from lm_eval.tasks.manager import TaskDict

from mygo.errors import UserError, shown
from mygo.evaluation.mmlu import load_mmlu


def load_tasks(names: Sequence[str], num_fewshot: int | None, benchmark: Path) -> TaskDict:
    """Build lm-eval's tasks and groups for `eval.tasks`.

    `mmlu`, its groups (`mmlu_stem`) and subjects (`mmlu_anatomy`) are made of the questions in `benchmark`; other names
    are lm-eval's own and may download their data. `num_fewshot` overrides a task's number of shots unless the task
    itself fixes it at 0, as in `lm_eval.simple_evaluate`. Raises `UserError` for an unknown name, a task that cannot be
    loaded, one that runs code which a model wrote, and a task that is named twice.
    """
    local = _local_tasks(names, num_fewshot, benchmark)
    manager = TaskManager(include_defaults=not set(names) <= local.keys())
    items = [item for name in names for item in ([local[name]] if name in local else _load_by_name(name, manager))]
    try:
        loaded = manager.load(items)
    except ValueError as error:
        raise UserError(f"eval.tasks: {shown(error, 200)}") from None
    for name, task in loaded["tasks"].items():
        _set_shots(name, task, num_fewshot)
    return loaded


def _local_tasks(names: Sequence[str], num_fewshot: int | None, benchmark: Path) -> dict[str, Task | Group]:
    if not any(name == "mmlu" or name.startswith("mmlu_") for name in names):
        return {}
    return dict(_walk(load_mmlu(benchmark, num_fewshot)))


def _walk(item: Task | Group) -> Iterator[tuple[str, Task | Group]]:
    if isinstance(item, Task):
        yield item.task_name, item
        return
    yield item.name, item
    for child in item:
        yield from _walk(child)


def check_names(names: Sequence[str]) -> None:
    """Raise `UserError` for a name that lm-eval does not know; those of `mmlu` are not looked at."""
    manager = TaskManager()
    for name in names:
        if name != "mmlu" and not name.startswith("mmlu_"):
            _check_name(name, manager)


def _check_name(name: str, manager: TaskManager) -> None:
    entry = manager.task_index.get(name)
    if entry is None:
        close = difflib.get_close_matches(name, manager.all_tasks, n=3)
        raise UserError(
            f"eval.tasks: got {name!r}; takes mmlu or the name of an lm-eval "
            f"task{', such as ' + ', '.join(close) if close else ''}"
        )
    if (entry.cfg or {}).get("unsafe_code"):  # before loading, which may already run such code
        raise _runs_unsafe_code(name)


def _load_by_name(name: str, manager: TaskManager) -> list[Task | Group]:
    _check_name(name, manager)
    try:
        loaded = manager.load([name])
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        reason = shown(" ".join(str(error).split()), 200)
        raise UserError(f"eval.tasks: {name!r} could not be loaded ({type(error).__name__}: {reason})") from None
    below = {child for children in loaded.get("group_map", {}).values() for child in children}
    return [
        item for found in (loaded["tasks"], loaded.get("groups", {})) for key, item in found.items() if key not in below
    ]


def _set_shots(name: str, task: Task, num_fewshot: int | None) -> None:
    if getattr(task, "UNSAFE_CODE", False):
        raise _runs_unsafe_code(name)
    own = task.get_config("num_fewshot")
    if own != 0:
        task.set_config("num_fewshot", (own or 0) if num_fewshot is None else num_fewshot)


def _runs_unsafe_code(name: str) -> UserError:
    return UserError(f"eval.tasks: got {name!r}, which runs code that a model wrote; takes tasks that do not")
