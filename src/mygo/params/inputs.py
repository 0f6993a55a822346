"""What a stage reads besides the outputs of other stages: folders of base models, source files of custom modules.

DVC watches it through the section `inputs` of params.yaml, whose values stand in `deps` of dvc.yaml. Hydra fills the
section (src/hydra_plugins); a params.yaml that was edited by hand is held against it before a stage runs.
"""

import sys
import sysconfig
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from mygo.errors import UserError

# DVC wants a path for each key. Where there is nothing to watch it is one that the stage depends on anyway.
BASE_FOLDER = "data/base"
TRASH_EXPERTS = "src/mygo/models/trash.py"
QUALITY_LOSSES = "src/mygo/models/losses.py"
EXTERNAL = "src/mygo/selection/scores/external.py"
MADE = ("data/selector", "data/warmed")  # models that stages make
WATCHED = {"convert": (), "collect": MADE, "finetune": ()}  # models that are deps anyway
KEYS = {
    **{stage: f"{stage}.base_model" for stage in WATCHED},
    "trash_expert": "convert.trash_expert_module",
    "quality_loss": "warmup.quality_loss.function",
    "external": "select.external.path",
}


def input_of(name: str, params: Mapping[str, Any], root: Path) -> str:
    """The value that `inputs.<name>` has under these parameters: a path, relative to `root` where it lies there."""
    value = value_of(KEYS[name], params)
    if name in WATCHED:
        return model_folder(value, root, WATCHED[name])
    if name == "trash_expert":
        return source_file(value, root) or TRASH_EXPERTS
    if name == "external":
        return value if value is not None and (root / value).is_file() else EXTERNAL
    file = source_file(value, root)
    # One file may define both, and DVC refuses to name it twice in one stage.
    return file if file and file != input_of("trash_expert", params, root) else QUALITY_LOSSES


def check_inputs(params: Mapping[str, Any], root: Path) -> None:
    """Raise `UserError` if the section `inputs` is not what Hydra would compose: DVC would miss a change."""
    for name, key in KEYS.items():
        got, expected = params["inputs"][name], input_of(name, params, root)
        if got != expected:
            value = value_of(key, params)
            value = "null" if value is None else value
            raise UserError(
                f"inputs.{name}: got {got!r}; with {key}={value} it is {expected!r}, which DVC has to watch; write "
                f"that, or compose params.yaml with `dvc exp run -S {key}={value}`"
            )


def value_of(key: str, params: Any) -> Any:
    """The value of a dotted key."""
    for part in key.split("."):
        params = params[part]
    return params


def model_folder(base_model: str | None, root: Path, watched: tuple[str, ...] = ()) -> str:
    """The folder of a local base model, or `data/base` for a hub id, null and a folder that is watched anyway."""
    if base_model is None or not is_folder(base_model, root):
        return BASE_FOLDER
    path = (root / base_model).resolve()
    return (
        BASE_FOLDER if any(path.is_relative_to((root / w).resolve()) for w in (BASE_FOLDER, *watched)) else base_model
    )


def is_folder(base_model: str, root: Path) -> bool:
    """Whether a base model names a folder, there or not; else it is a hub id (`name` or `owner/name`)."""
    if base_model.rstrip("/") in (BASE_FOLDER, *MADE):  # also before a stage has made it
        return True
    return (root / base_model).is_dir() or base_model.startswith((".", "/", "~")) or base_model.count("/") > 1


def source_file(named: str | None, root: Path) -> str | None:
    """The file of the module in `package.module:name`, found without importing it or the packages around it.

    `None` for null, for what is not found, and for what Python or an installed library brings.
    """
    origin = find_module((named or "").partition(":")[0], root)
    if origin is None or not _is_the_users(origin):
        return None
    return origin.relative_to(root.resolve()).as_posix() if origin.is_relative_to(root.resolve()) else str(origin)


def find_module(module: str, root: Path) -> Path | None:
    """The file of a module as `python -m` finds it from `root`; `None` if it has none."""
    path, origin = [str(root), *filter(None, sys.path)], None
    for part in module.split("."):
        spec = PathFinder.find_spec(part, path) if part else None
        if spec is None:
            return None
        origin, path = spec.origin, list(spec.submodule_search_locations or ())
    return Path(origin).resolve() if origin and Path(origin).is_file() else None


def _is_the_users(file: Path) -> bool:
    library = {"site-packages", "dist-packages"} & set(file.parts)
    return not library and not file.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve())


def repository_root(start: Path) -> Path:
    """The folder with dvc.yaml that `start` lies in; `start` itself where there is none."""
    return next((folder for folder in (start, *start.parents) if (folder / "dvc.yaml").exists()), start)
