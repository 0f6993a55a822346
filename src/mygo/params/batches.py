"""How a batch is cut into micro-batches for the processes of a launch."""

from mygo.errors import UserError
from mygo.params.schema import TrainingParams


def micro_batches(params: TrainingParams, processes: int, stage: str) -> tuple[int, int]:
    """Samples of a micro-batch, and how many micro-batches of each process make a batch.

    Raises `UserError` if the processes cannot share the batch evenly.
    """
    per_process, rest = divmod(params.batch_size, processes)
    if rest:
        raise UserError(
            f"{stage}.batch_size: got {params.batch_size}; takes a multiple of launch.num_processes={processes}"
        )
    if per_process % params.micro_batch_size:
        raise UserError(
            f"{stage}.micro_batch_size: got {params.micro_batch_size}; takes a divisor of batch_size / "
            f"launch.num_processes = {per_process}"
        )
    return params.micro_batch_size, per_process // params.micro_batch_size
