"""Batches over processes: the micro-batch follows the world size unless it was set."""

import pytest
from omegaconf import OmegaConf

from mygo.errors import UserError
from mygo.params import FinetuneParams, micro_batches


def cut(batch_size, processes, micro_batch_size=None, at_most=16):
    sizes = {"batch_size": batch_size, "micro_batch_size": micro_batch_size, "max_micro_batch_size": at_most}
    defaults = OmegaConf.to_container(OmegaConf.load("params.yaml"))["finetune"]
    return micro_batches(FinetuneParams.model_validate({**defaults, **sizes}), processes, "finetune")


@pytest.mark.parametrize(
    ("batch_size", "processes", "at_most", "size", "accumulation"),
    [
        (16, 1, 16, 16, 1),
        (16, 2, 16, 8, 1),
        (16, 8, 16, 2, 1),
        (128, 8, 2, 2, 8),
        (128, 1, 2, 2, 64),
        (4, 1, 4, 4, 1),
        (4, 4, 4, 1, 1),
        (30, 1, 4, 3, 10),  # 4 does not fill 30 evenly
        (7, 1, 4, 1, 7),
        (12, 2, 100, 6, 1),
    ],
)
def test_the_largest_micro_batch_that_fills_the_batch(batch_size, processes, at_most, size, accumulation):
    assert cut(batch_size, processes, at_most=at_most) == (size, accumulation)


def test_a_micro_batch_that_was_set_is_kept_also_beyond_the_bound():
    assert cut(32, 2, micro_batch_size=4) == (4, 4)
    assert cut(32, 1, micro_batch_size=32, at_most=2) == (32, 1)


@pytest.mark.parametrize(
    ("batch_size", "processes", "micro_batch_size", "sentence"),
    [
        (4, 8, None, "finetune.batch_size: got 4; takes a multiple of launch.num_processes=8"),
        (8, 3, 4, "finetune.batch_size: got 8; takes a multiple of launch.num_processes=3"),
        (
            16,
            8,
            16,
            "finetune.micro_batch_size: got 16; takes a divisor of batch_size / launch.num_processes = 2, or null, "
            "which finds one",
        ),
    ],
)
def test_what_processes_cannot_share_is_one_sentence(batch_size, processes, micro_batch_size, sentence):
    with pytest.raises(UserError) as error:
        cut(batch_size, processes, micro_batch_size)
    assert str(error.value) == sentence
