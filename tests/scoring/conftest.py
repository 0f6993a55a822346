"""A folder of its own for what is written."""

import pytest


@pytest.fixture(autouse=True)
def _work_in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pool(tmp_path, conversations, write_pool_of):
    return write_pool_of(tmp_path / "pool", conversations)
