"""The base model's own results: evaluated once, read by every evaluation of an adapter on this base."""

import json
from pathlib import Path
from typing import Any

from mygo.errors import UserError
from mygo.evaluation.results import Results, read_results, write_results
from mygo.models.base import resolve_revision
from mygo.params import Params
from mygo.runtime import Runtime
from mygo.workdir import hash_folder

SETTINGS = "settings.json"
KEY = "finetune.base_model"


def write_baseline(results: Results, settings: dict[str, Any], folder: Path) -> None:
    """Write lm-eval's results of the base, the outcome of every question, and what was asked."""
    write_results(results, folder, {SETTINGS: settings})


def read_baseline(folder: Path) -> Results:
    return read_results(folder)


def check_baseline(folder: Path, settings: dict[str, Any]) -> None:
    """Raises `UserError` if there is no baseline, or naming the first setting in which it is not what eval asks for."""
    if not (folder / SETTINGS).is_file():
        raise UserError(f"{folder}: there is no {SETTINGS}; takes the folder that the stage baseline writes")
    measured = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    for name, asked in settings.items():
        if measured.get(name) != asked:
            raise UserError(
                f"{folder}: the base was measured with {name} {measured.get(name)!r}, eval asks for {asked!r}; "
                "run the stage baseline again"
            )


def baseline_settings(params: Params, runtime: Runtime, benchmark: Path) -> dict[str, Any]:
    """All that decides the base's answers, by name. A model or benchmark that lies in a folder is known by its files.

    The batch size and the device are left out: they move the last digits only.
    """
    target, asked = params.finetune, params.eval
    folders = {"base model files (digest)": Path(target.base_model), "benchmark files (digest)": benchmark}
    return {
        "seed": params.seed,
        "finetune.base_model": target.base_model,
        "finetune.revision": target.revision,
        "eval.tasks": asked.tasks,
        "eval.num_fewshot": asked.num_fewshot,
        "eval.limit": asked.limit,
        "eval.apply_chat_template": asked.apply_chat_template,
        "eval.max_length": asked.max_length,
        "eval.dtype": str(runtime.resolve(asked.dtype)).removeprefix("torch."),
        **{name: hash_folder(folder) if folder.is_dir() else None for name, folder in folders.items()},
    }


def base_commit(params: Params) -> dict[str, Any]:
    """The commit that `finetune.revision` stands for now, None of a folder. One more setting, for which the hub is
    asked.
    """
    target = params.finetune
    return {"the commit of finetune.base_model": resolve_revision(target.base_model, target.revision, KEY)}
