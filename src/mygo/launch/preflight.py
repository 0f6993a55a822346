"""What would fail in a later stage fails before the first one: files, names, modules, and what a launch makes
impossible. Cheap: nothing heavy is imported.
"""

from pathlib import Path

from mygo.errors import UserError
from mygo.launch.base_models import check_base_models
from mygo.launch.clustering import check_clustering
from mygo.launch.config import LaunchConfig, read_launch_config
from mygo.launch.devices import accelerators
from mygo.launch.grading import check_grading
from mygo.launch.named import check_named
from mygo.launch.sources import check_sources
from mygo.launch.tasks import check_tasks
from mygo.launch.trash_experts import check_trash_expert
from mygo.params import Params
from mygo.params.batches import micro_batches
from mygo.params.inputs import check_inputs


def preflight(params: Params, root: Path) -> LaunchConfig:
    """Raise `UserError` for the first thing in any stage's section that cannot work here; returns how to launch."""
    check_inputs(params.model_dump(), root)
    check_sources(params, root)
    check_base_models(params, root)
    check_grading(params, root)
    check_clustering(params.select)
    _check_modules(params, root)
    config = read_launch_config(params.launch.accelerate_config)
    _check_processes(params, config)
    check_tasks(params, root)
    return config


def _check_modules(params: Params, root: Path) -> None:
    check_trash_expert(params.convert, root)
    loss = params.warmup.quality_loss
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
