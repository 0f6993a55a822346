"""`eval.tasks` and the number of questions, as far as they are known before lm-eval is imported."""

import difflib
import re
from importlib.util import find_spec
from pathlib import Path

from mygo.errors import UserError, listed
from mygo.launch.sources import benchmark_subjects
from mygo.params import Params
from mygo.params.choices import MINI_SUBJECTS

GROUPS = ("mmlu", "mmlu_stem", "mmlu_humanities", "mmlu_social_sciences", "mmlu_other")
OF_MMLU = "/tasks/mmlu/default/"  # lm-eval's definitions of what `data/benchmark` has the questions for


def check_tasks(params: Params, root: Path) -> None:
    """Raise `UserError` for a part of MMLU that the benchmark does not have, and for more processes than a task has
    questions. Names that do not begin with `mmlu` are lm-eval's own: the stage `check` asks it.
    """
    _check_limit(params.eval.limit, params.launch.num_processes)
    _check_names(params, root)
    _check_mini_world(params)


def _check_names(params: Params, root: Path) -> None:
    subjects = benchmark_subjects(params.prepare, root)
    if subjects is None:
        return
    known = {*GROUPS, *(f"mmlu_{subject}" for subject in subjects)}
    for name in params.eval.tasks:
        if name.startswith("mmlu_") and name not in known and not _is_lm_evals_own(name):
            close = listed(difflib.get_close_matches(name, sorted(known), n=3, cutoff=0))
            raise UserError(
                f"eval.tasks: got {name!r}, of which {params.prepare.benchmark.path!r} has no questions; takes mmlu or "
                f"the name of an lm-eval task, such as {close}"
            )


def _is_lm_evals_own(name: str) -> bool:
    """Whether lm-eval has it beside MMLU itself (mmlu_pro, mmlu_prox_de_law): its definitions are read as text, for
    importing it takes seconds.
    """
    spec = find_spec("lm_eval")
    tasks = Path(next(iter(spec.submodule_search_locations or ()))) / "tasks" if spec else Path()
    files = (file for file in tasks.rglob("*.yaml") if "mmlu" in file.as_posix() and OF_MMLU not in file.as_posix())
    word = re.compile(rf"\b{re.escape(name)}\b")
    return any(word.search(file.read_text(encoding="utf-8")) for file in files)


def _check_limit(limit: int | None, processes: int) -> None:
    if limit is not None and limit < processes:
        raise UserError(
            f"eval.limit: got {limit}; takes null, or at least {processes}, one question of a task for each process of "
            "the launch"
        )


def _check_mini_world(params: Params) -> None:
    """lm-eval stops at a process that gets no question of a task: of the mini world it is known how many there are."""
    facts, processes = params.prepare.mini_world.facts, params.launch.num_processes
    asked = params.prepare.benchmark.source == "mini_world" and any(n.startswith("mmlu") for n in params.eval.tasks)
    if asked and (questions := facts // MINI_SUBJECTS) < processes:
        raise UserError(
            f"prepare.mini_world.facts: got {facts}, which makes {questions} questions of a subject; takes at least "
            f"{MINI_SUBJECTS * processes} for launch.num_processes={processes}, one question of a task for each process"
        )
