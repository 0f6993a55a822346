"""A pool to collect, and a folder of its own for what is written."""

import contextlib
from multiprocessing import forkserver
from pathlib import Path

import pytest

from tests.collection.processes import Plan, contents, ended


@pytest.fixture(autouse=True)
def _work_in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pool(tmp_path, conversations, write_pool_of):
    return write_pool_of(tmp_path / "pool", conversations)


@pytest.fixture(scope="session")
def _server():
    """Imports for all processes, once. It finds the tests by its working folder: Python 3.11 hands it no other path."""
    with contextlib.chdir(Path(__file__).parents[2]):
        forkserver.ensure_running()


@pytest.fixture
def start(tiny_selector, pool, _server):
    """Starts collect in a process of its own: `start(rank=1, delay=0.1)`."""

    def start(**plan):
        process = Plan(tiny_selector.parent, pool, **plan).start()
        started.append(process)
        return process

    started = []
    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def one_run(start):
    """The bytes of an undisturbed run: `one_run(params=..., threads=2)`."""

    def one_run(**plan):
        assert ended(start(out="undisturbed", **plan)) == 0
        return contents(Path("undisturbed"))

    return one_run
