"""How a batch is cut into micro-batches for the processes of a launch."""

from mygo.errors import UserError
from mygo.params.schema.training import TrainingParams


def micro_batches(params: TrainingParams, processes: int, stage: str) -> tuple[int, int]:
    """Samples of a micro-batch, and how many micro-batches of each process make a batch.

    Where `micro_batch_size` is null, the micro-batch is the largest that fills the batch evenly and holds at most
    `max_micro_batch_size` samples. Raises `UserError` if the processes cannot share the batch evenly.
    """
    per_process, rest = divmod(params.batch_size, processes)
    if rest:
        raise UserError(
            f"{stage}.batch_size: got {params.batch_size}; takes a multiple of launch.num_processes={processes}"
        )
    size = params.micro_batch_size or _largest_divisor(per_process, params.max_micro_batch_size)
    if per_process % size:
        raise UserError(
            f"{stage}.micro_batch_size: got {size}; takes a divisor of batch_size / launch.num_processes = "
            f"{per_process}, or null, which finds one"
        )
    return size, per_process // size


def _largest_divisor(number: int, at_most: int) -> int:
    return next(size for size in range(min(number, at_most), 0, -1) if number % size == 0)
