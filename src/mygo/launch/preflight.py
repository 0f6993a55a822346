"""What would fail in a later stage fails before the first one: files, names, modules, and what a launch makes
impossible. Cheap: nothing heavy is imported.
"""

from pathlib import Path

from mygo.errors import UserError
from mygo.launch.config import LaunchConfig, read_launch_config
from mygo.launch.devices import accelerators
from mygo.launch.named import check_named
from mygo.params import Params
from mygo.params.batches import micro_batches
from mygo.params.choices import MINI_BASE_MODELS
from mygo.params.inputs import BASE_FOLDER, check_inputs, is_folder

OUTPUTS = ("data/selector", "data/warmed")  # models that a stage makes


def preflight(params: Params, root: Path) -> LaunchConfig:
    """Raise `UserError` for the first thing in any stage's section that cannot work here; returns how to launch."""
    check_inputs(params.model_dump(), root)
    _check_sources(params, root)
    _check_base_models(params, root)
    _check_modules(params, root)
    config = read_launch_config(params.launch.accelerate_config)
    _check_processes(params, config)
    return config


def _check_sources(params: Params, root: Path) -> None:
    prepare = params.prepare
    for key, path, wanted in (
        ("prepare.path", prepare.path, prepare.source == "local"),
        ("prepare.benchmark.path", prepare.benchmark.path, prepare.benchmark.source == "csv"),
    ):
        if wanted and not (root / path).exists():
            raise UserError(f"{key}: got {path!r}, which is not there")


def _check_base_models(params: Params, root: Path) -> None:
    for key, model in (
        ("convert.base_model", params.convert.base_model),
        ("collect.base_model", params.collect.base_model),
        ("finetune.base_model", params.finetune.base_model),
    ):
        if model is None or not is_folder(model, root):
            continue
        path = (root / model).resolve()
        if path.is_relative_to((root / BASE_FOLDER).resolve()):
            _check_mini_base_model(key, model, path.name, params.prepare.base_models)
        elif not path.is_dir() and not any(path.is_relative_to((root / out).resolve()) for out in OUTPUTS):
            raise UserError(f"{key}: got {model!r}; takes a folder that is there, or a hub id (owner/name)")


def _check_mini_base_model(key: str, model: str, name: str, made: bool) -> None:
    if name not in MINI_BASE_MODELS:
        made_ones = " and ".join(f"{BASE_FOLDER}/{known}" for known in MINI_BASE_MODELS)
        raise UserError(f"{key}: got {model!r}; prepare makes {made_ones}")
    if not made:
        raise UserError(f"{key}: got {model!r}, which prepare makes only with prepare.base_models=true")


def _check_modules(params: Params, root: Path) -> None:
    convert, loss = params.convert, params.warmup.quality_loss
    if convert.trash_expert_mode == "custom":
        check_named("convert.trash_expert_module", convert.trash_expert_module, root)
    if loss.type == "custom":
        check_named("warmup.quality_loss.function", loss.function, root)


def _check_processes(params: Params, config: LaunchConfig) -> None:
    processes, key = params.launch.num_processes, "launch.num_processes"
    if processes > 1 and not config.distributed:
        raise UserError(
            f"{key}: got {processes}; {config.path} starts one (distributed_type NO), launch=ddp and launch=ddp_cpu "
            "several"
        )
    if not config.use_cpu and config.machines == 1 and (here := accelerators()) < processes:
        raise UserError(
            f"{key}: got {processes}; {config.path} needs a GPU for each process, GPUs here: {here}; launch=cpu and "
            "launch=ddp_cpu need none"
        )
    micro_batches(params.warmup, processes, "warmup")
    micro_batches(params.finetune, processes, "finetune")
    if params.eval.limit is not None and params.eval.limit < processes:
        raise UserError(
            f"eval.limit: got {params.eval.limit}; takes null, or at least {key}={processes}, one question of a task "
            "for each process"
        )
