"""What decides the bytes of the statistics is in the fingerprint, and nothing else is."""

import json
import shutil
from dataclasses import replace

import huggingface_hub.constants
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from mygo.collection import fingerprint
from mygo.collection.collect import collect
from mygo.collection.fingerprint import CODE, LIBRARIES, PACKAGE, code_digest, make_fingerprint
from mygo.collection.grader import Grader
from tests.collection.processes import CPU, PARAMS
from tests.imports import reached

one_family = pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)
AUTO = PARAMS.model_copy(update={"dtype": "auto"})


@pytest.fixture
def of(tiny_selector, pool):
    """The fingerprint of this pool under other params or another runtime."""
    grader = Grader.of(PARAMS, tiny_selector.parent)

    def of(params=AUTO, runtime=CPU):
        return make_fingerprint(params, runtime, grader, pool)

    return of


@one_family
def test_device_and_number_format_are_in_it(of):
    cuda = replace(CPU, device=torch.device("cuda"))
    bfloat16 = replace(CPU, dtype=torch.bfloat16)
    assert of() != of(runtime=cuda)
    assert of() != of(runtime=bfloat16)  # what `auto` means there
    assert of() != of(AUTO.model_copy(update={"dtype": "bfloat16"}))
    assert of() == of(AUTO.model_copy(update={"dtype": "float32"})) == of(PARAMS, bfloat16)


@one_family
def test_how_many_processes_grade_is_not_in_it(of):
    assert of() == of(runtime=replace(CPU, rank=3, processes=8)) == of(runtime=CPU.as_worker())


@pytest.mark.parametrize(
    "change",
    [
        {"tokens_per_batch": 64},
        {"max_length": 32},
        {"shard_size": 7},
        {"tokens": False},
        {"answer_alone": True},
        {"hidden_states": True},
    ],
)
@one_family
def test_parameters_are_in_it(of, change):
    assert of() != of(AUTO.model_copy(update=change))


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
@one_family
def test_versions_of_libraries_are_in_it(of, library, monkeypatch):
    before = of()
    monkeypatch.setattr(library, "__version__", "0.0.1")
    assert of()["libraries"] == {**before["libraries"], library.__name__: "0.0.1"}


@one_family
def test_our_code_is_in_it_as_it_is_installed(of, tmp_path, monkeypatch):
    package = tmp_path / "mygo"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    assert of()["code"] == code_digest(package)
    with (package / "scoring/rows.py").open("a") as file:
        file.write("\n")
    assert of()["code"] != code_digest(package)
    shutil.copy(PACKAGE / "scoring/rows.py", package / "scoring/rows.py")
    with (package / "evaluation/report.py").open("a") as file:  # decides nothing of the statistics
        file.write("\n")
    assert of()["code"] == code_digest(package)
    monkeypatch.setattr(fingerprint, "code_digest", lambda: "other")
    assert of()["code"] == "other"


def test_all_code_that_collecting_reaches_is_in_it():
    """Follow the imports, but for those that decide no output."""
    files = reached(PACKAGE / "collection/collect.py")
    names = sorted(path.relative_to(PACKAGE).as_posix() for path in files if path.name != "__init__.py")
    decides_nothing = ("errors", "metrics", "params/", "workdir")
    assert [name for name in names if not name.startswith((*CODE, *decides_nothing))] == []
    assert len(names) > 20


@one_family
def test_the_users_own_trash_expert_is_in_it(tiny_selector, pool, tmp_path):
    shutil.copytree(tiny_selector, tmp_path / "warmed/epoch_1")
    config = json.loads((tiny_selector / "config.json").read_text())
    config |= {"trash_expert_mode": "custom", "trash_expert_module": "own_expert:Expert"}
    (tmp_path / "warmed/epoch_1/config.json").write_text(json.dumps(config))
    grader, digests = Grader.of(PARAMS, tmp_path / "warmed"), []
    for code in ("class Expert: ...", "class Expert: ...  # other", None):
        if code is not None:
            (tmp_path / "own_expert.py").write_text(code)
        digests.append(make_fingerprint(AUTO, CPU, grader, pool))
    assert digests[0] != digests[1] == digests[2]
    assert make_fingerprint(AUTO, CPU, Grader.of(PARAMS, tiny_selector.parent), pool)["trash_expert"] is None


@one_family
def test_a_hub_model_is_its_commit_which_the_metrics_record(tiny_selector, pool, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub = tmp_path / "hub/models--some--llama"
    shape = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48}
    for commit in ("a" * 40, "b" * 40):
        LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=4)).save_pretrained(hub / "snapshots" / commit)
        AutoTokenizer.from_pretrained(tiny_selector).save_pretrained(hub / "snapshots" / commit)
    (hub / "refs").mkdir()
    (hub / "refs/main").write_text("a" * 40)
    params = PARAMS.model_copy(update={"base_model": "some/llama"})
    first = collect(params, CPU, tmp_path / "none", pool, tmp_path / "out")
    assert first["base_model_commit"] == "a" * 40
    assert Grader.of(params, tmp_path).digest() == f"some/llama@{'a' * 40}"
    (hub / "refs/main").write_text("b" * 40)  # the branch moved on: other weights
    assert collect(params, CPU, tmp_path / "none", pool, tmp_path / "out")["base_model_commit"] == "b" * 40
    assert "base_model_commit" not in collect(PARAMS, CPU, tiny_selector.parent, pool, tmp_path / "warmed")
