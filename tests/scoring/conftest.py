"""A folder of its own for what is written, and a selector in which everything matters."""

import pytest
import torch

from mygo.models.checkpoints import load_checkpoint
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import RowSize
from tests.tiny_bases import bases, case  # noqa: F401


@pytest.fixture(autouse=True)
def _work_in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pool(tmp_path, conversations, write_pool_of):
    return write_pool_of(tmp_path / "pool", conversations)


@pytest.fixture
def loud(tiny_selector):
    """The tiny selector with larger weights: what a token sees then decides what it says."""
    model = load_checkpoint(tiny_selector, torch.float32).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data *= 5
    return model


@pytest.fixture
def engine(loud):
    return Engine(loud, 200, RowSize(256), "collect")


@pytest.fixture
def texts():
    """Ids and answers of samples that are all shorter than 64 tokens."""
    generator = torch.Generator().manual_seed(1)
    lengths = [40, 33, 33, 20, 9, 5, 3, 1]
    ids = [torch.randint(3, 80, (length,), generator=generator) for length in lengths]
    return ids, [torch.arange(length) >= length // 2 for length in lengths]
