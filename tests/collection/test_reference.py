"""The reference set is graded as the pool is, by the model that is loaded already."""

import json
import shutil
from pathlib import Path

import pytest

from mygo.collection import collect as module
from mygo.collection.collect import collect
from mygo.collection.reference import collect_with_reference
from mygo.errors import UserError
from tests.collection.processes import CPU, EIGHT_SHARDS, FORKS, contents

pytestmark = pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)
DATA = Path("data")
PARAMS = EIGHT_SHARDS.model_copy(update={"base_nll": True, "hidden_states": True})


@pytest.fixture
def data(tiny_selector, pool, conversations, write_pool_of):
    """A folder as the stages before leave it."""
    shutil.copytree(tiny_selector, DATA / "warmed/epoch_1")
    shutil.copytree(tiny_selector, DATA / "selector")
    shutil.copytree(pool, DATA / "pool")
    write_pool_of(DATA / "reference", conversations[7:20])
    return DATA


def alone(folder, out):
    """The bytes of the folder's pool, collected by itself."""
    collect(PARAMS, CPU, DATA / "warmed", DATA / folder, Path(out), DATA / "selector")
    return contents(Path(out))


def test_it_gets_the_statistics_of_a_pool_and_the_model_is_loaded_once(data, monkeypatch):
    load, loads = module.load_engine, []
    monkeypatch.setattr(module, "load_engine", lambda *given: loads.append(given) or load(*given))
    metrics = collect_with_reference(PARAMS, CPU, data)
    assert len(loads) == 1
    assert metrics["samples"] == 40
    assert contents(data / "statistics") == alone("pool", "pool")
    assert contents(data / "reference_statistics") == alone("reference", "reference")
    manifest = json.loads((data / "reference_statistics/manifest.json").read_text())
    assert [shard["rows"] for shard in manifest["shards"]] == [5, 5, 3]


def test_a_killed_run_goes_on_in_either(data, monkeypatch):
    score, scored = module.score_shard, []

    def dies(*given):
        scored.append(given)
        if len(scored) == 10:
            raise UserError("killed")
        return score(*given)

    monkeypatch.setattr(module, "score_shard", dies)
    with pytest.raises(UserError, match="killed"):
        collect_with_reference(PARAMS, CPU, data)
    assert (data / "statistics/manifest.json").exists()
    assert not (data / "reference_statistics").exists()
    collect_with_reference(PARAMS, CPU, data)
    assert len(scored) == 8 + 2 + 2  # one shard of the reference was done, one is done again
    assert contents(data / "reference_statistics") == alone("reference", "reference")


def test_two_processes_grade_both(data):
    processes = [FORKS.Process(target=grade, args=(rank, Path.cwd())) for rank in (1, 0)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    assert contents(data / "statistics") == alone("pool", "pool")
    assert contents(data / "reference_statistics") == alone("reference", "reference")


def grade(rank, folder):
    import os

    import torch

    from mygo.runtime import Runtime

    os.chdir(folder)
    torch.set_num_threads(1)
    collect_with_reference(PARAMS, Runtime(torch.device("cpu"), torch.float32, rank, 2), DATA)


def test_without_a_reference_set_there_is_an_empty_folder(data):
    collect_with_reference(PARAMS, CPU, data)
    shutil.rmtree(data / "reference")
    (data / "reference").mkdir()
    collect_with_reference(PARAMS, CPU, data)
    assert list((data / "reference_statistics").iterdir()) == []
