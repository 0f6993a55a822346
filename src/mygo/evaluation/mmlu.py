"""MMLU-format questions of `data/benchmark` as lm-eval tasks: lm-eval's own definitions with our rows in place of the
hub data set.
"""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lm_eval.tasks
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset
from lm_eval.api.group import Group
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import Entry

from mygo.errors import UserError, shown

LM_EVAL_MMLU = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default"
TEMPLATE_SUBJECT = "mmlu_abstract_algebra"  # all subjects share one template; any would do
FALLBACK_GROUP = "mmlu_other"

# lm-eval's defaults, but for what a chat format without a template needs (mygo.data.encoding) and for choices that are
# scored as texts.
CONTINUATION = {
    "description": "",
    "doc_to_text": "<|user|>\n{{question.strip()}}\n<|assistant|>\n",
    "doc_to_choice": "{{choices}}",
    "target_delimiter": "",
    "fewshot_delimiter": "\n",
}

Prompt = Literal["mmlu", "continuation"]
Splits = Mapping[str, Dataset]


@dataclass(frozen=True)
class Benchmark:
    """`splits[subject]` holds the questions of one subject as `{"dev": ..., "test": ...}`, subjects in name order."""

    prompt: Prompt
    groups: dict[str, list[str]] | None
    splits: dict[str, Splits]


def read_benchmark(folder: Path) -> Benchmark:
    """Read `dev.parquet`, `test.parquet` and `benchmark.json`. Raises `UserError` if one is missing or there is no test
    question.
    """
    missing = [name for name in ("benchmark.json", "dev.parquet", "test.parquet") if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder}: there is no {missing[0]}; takes the benchmark folder that the stage prepare writes")
    meta = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
    dev, test = (pq.read_table(folder / f"{split}.parquet") for split in ("dev", "test"))
    subjects = sorted(test["subject"].unique().to_pylist())
    if not subjects:
        raise UserError(f"{folder / 'test.parquet'}: holds no question; takes at least one")
    return Benchmark(
        meta["prompt"],
        meta["groups"],
        {subject: {"dev": _rows_of(dev, subject), "test": _rows_of(test, subject)} for subject in subjects},
    )


def load_mmlu(folder: Path, num_fewshot: int | None) -> Group:
    """Build the group `mmlu` with its four subgroups and one task for each subject that the benchmark has.

    Prompts, choices, targets, few-shot order (the first rows of dev) and size-weighted aggregation are those of
    lm-eval's `mmlu` definitions. A subject that lm-eval does not know takes the same template and goes to the group
    that `benchmark.json` names, else to `mmlu_other`. Raises `UserError` if a subject has fewer than `num_fewshot` dev
    questions.
    """
    benchmark = read_benchmark(folder)
    for subject, splits in benchmark.splits.items():
        if len(splits["dev"]) < (num_fewshot or 0):
            raise UserError(
                f"eval.num_fewshot: got {num_fewshot}; {folder / 'dev.parquet'} has {len(splits['dev'])} "
                f"questions for {shown(subject)}"
            )
    manager = TaskManager(include_defaults=False, include_path=LM_EVAL_MMLU)
    return _build_group("mmlu", _group_members(manager.task_index, benchmark), manager, benchmark)


def _rows_of(questions: pa.Table, subject: str) -> Dataset:
    return Dataset(questions.filter(pc.field("subject") == subject))


def _group_members(index: Mapping[str, Entry], benchmark: Benchmark) -> dict[str, list[str]]:
    """Subgroup -> its subjects, in lm-eval's order of groups and name order of subjects; groups without a subject are
    left out.
    """
    subgroups: list[str] = _config(index, "mmlu")["task"]
    group_of = {
        name.removeprefix("mmlu_"): group
        for group in subgroups
        for tag in _config(index, group)["task"]
        for name in index[tag].tags
    }
    if benchmark.groups is not None:
        group_of = {subject: f"mmlu_{group}" for group, subjects in benchmark.groups.items() for subject in subjects}
    members: dict[str, list[str]] = {group: [] for group in subgroups}
    for subject in benchmark.splits:
        members[group_of.get(subject, FALLBACK_GROUP)].append(subject)
    return {group: subjects for group, subjects in members.items() if subjects}


def _build_group(name: str, members: Mapping[str, list[str]], manager: TaskManager, benchmark: Benchmark) -> Group:
    group = Group.from_config(_config(manager.task_index, name))
    for subgroup_name, subjects in members.items():
        subgroup = Group.from_config(_config(manager.task_index, subgroup_name))
        configs = [_task_config(manager.task_index, subject, benchmark) for subject in subjects]
        for task in manager.load(configs)["tasks"].values():
            subgroup.add(task)
        group.add(subgroup)
    return group


def _task_config(index: Mapping[str, Entry], subject: str, benchmark: Benchmark) -> dict[str, Any]:
    name = f"mmlu_{subject}"
    config = _config(index, name) if name in index else _config(index, TEMPLATE_SUBJECT) | _subject_keys(subject)
    changes = CONTINUATION if benchmark.prompt == "continuation" else {}
    return config | changes | {"custom_dataset": _loader(benchmark.splits[subject])}


def _subject_keys(subject: str) -> dict[str, str]:
    """What differs between the `mmlu_<subject>.yaml` files of lm-eval (a test compares all of them with this)."""
    about = subject.replace("_", " ")
    about = f"{{{{ {json.dumps(about)} }}}}" if "{" in about else about  # lm-eval renders descriptions as templates
    description = f"The following are multiple choice questions (with answers) about {about}.\n\n"
    return {"task": f"mmlu_{subject}", "task_alias": subject, "dataset_name": subject, "description": description}


def _loader(splits: Splits) -> Callable[..., Splits]:
    def load(**_metadata: Any) -> Splits:
        return splits

    return load


def _config(index: Mapping[str, Entry], name: str) -> dict[str, Any]:
    """A copy of lm-eval's definition `name`, includes resolved."""
    config = index[name].cfg
    assert config is not None, f"lm-eval has no definition of {name}"
    return deepcopy(config)
