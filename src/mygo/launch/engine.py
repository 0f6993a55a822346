"""Launches that need accelerate's own launcher: FSDP, DeepSpeed, several machines, whatever else a config may hold."""

import logging
import os

from mygo.errors import LAUNCH, UserError, shown
from mygo.launch.config import LaunchConfig
from mygo.launch.folder import launch_folder
from mygo.launch.guard import stop_with_parent


def run_with_accelerate(
    stage: str, arguments: list[str], processes: int, config: LaunchConfig, environment: dict[str, str]
) -> int:
    """`accelerate launch` in this process; returns its exit status. Its report of who failed is left out: the process
    that failed has said why. Raises `UserError` if accelerate does not take the config.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    stop_with_parent()
    command = ["--quiet", "--config_file", config.path, "--num_processes", str(processes)]
    command += ["--main_process_ip", "127.0.0.1"] if config.machines == 1 else []
    if os.environ.get("MYGO_TRACEBACK") != "1":
        logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with launch_folder() as folder:
        os.environ.update(environment | {LAUNCH: str(folder)})
        try:
            launch_command(launch_command_parser().parse_args([*command, "-m", f"stages.{stage}", *arguments]))
        except ChildFailedError as error:
            status = error.get_first_failure()[1].exitcode
            return 128 - status if status < 0 else status
        except (ValueError, ImportError) as error:  # of the config: what a stage raises is not raised here
            raise UserError(
                f"{config.path}: accelerate does not take it ({shown(' '.join(str(error).split()), 300)})"
            ) from error
    return 0
