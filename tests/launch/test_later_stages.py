"""What a later stage would refuse, after hours, is refused before the first one: models, sources, scores, tasks."""

import json

import pytest

from mygo.data.mini_world import build
from mygo.errors import UserError
from mygo.launch.preflight import preflight
from mygo.params import MiniWorldParams
from mygo.params.families import TAKES
from tests.launch.test_preflight import DDP_CPU, params_with

WARMED, LOCAL = "data/warmed/epoch_2", {"prepare__source": "local", "prepare__path": "mine"}
CSV = {
    "prepare__benchmark__source": "csv",
    "prepare__benchmark__path": "mmlu",
    "prepare__reference__source": "none",
}
UNGATED = {"collect__base_model": "data/base/qwen3"}


@pytest.fixture
def root(repository, monkeypatch):
    """With a folder of each kind of model, and a benchmark of two subjects."""
    monkeypatch.chdir(repository.folder)
    for kind in ("qwen3", "select_moe", "quality_gate_qwen3"):
        (repository.folder / kind).mkdir()
        (repository.folder / kind / "config.json").write_text(json.dumps({"model_type": kind}))
    (repository.folder / "mmlu/test").mkdir(parents=True)
    for subject in ("anatomy", "my_own"):
        (repository.folder / f"mmlu/test/{subject}_test.csv").touch()
    (repository.folder / "empty").mkdir()
    return repository.folder


def refused(root, **changes):
    with pytest.raises(UserError) as error:
        preflight(params_with(root, **changes), root)
    return str(error.value)


def test_a_checkpoint_is_an_epoch_that_the_warm_up_makes(root):
    for number in (3, 0, -1):
        assert refused(root, collect__checkpoint=number) == (
            f"collect.checkpoint: got {number}; takes last, or a number from 1 to warmup.epochs=2"
        )
    for number in (1, 2, "last"):
        preflight(params_with(root, collect__checkpoint=number), root)
    preflight(params_with(root, collect__checkpoint=9, select__score="length", **UNGATED), root)
    for model in ("data/warmed/epoch_3", "data/warmed", "data/warmed/epoch_1/x"):
        assert refused(root, collect__base_model=model) == (
            f"collect.base_model: got {model!r}; with warmup.epochs=2, data/warmed holds epoch_1 to epoch_2"
        )


def test_a_family_is_made_of_its_own_base(root):
    for family in ("select_moe", "trash_can", "stock_moe"):
        assert refused(root, convert__family=family, convert__base_model="qwen3", collect__base_model="qwen3") == (
            f"convert.base_model: got qwen3, a model of type qwen3 with convert.family={family}; {TAKES}"
        )
    assert refused(root, convert__family="quality_gate", convert__base_model="select_moe") == (
        "convert.base_model: got select_moe, a model of type select_moe, which is a selector of family select_moe "
        f"already; {TAKES}"
    )
    for model in ("qwen3", "data/base/qwen3", "data/base/olmoe"):
        preflight(params_with(root, convert__family="quality_gate", convert__base_model=model), root)


@pytest.mark.parametrize("section", ["convert", "collect", "finetune"])
def test_a_folder_without_a_model_is_named(root, section):
    assert refused(root, **{f"{section}__base_model": "empty"}) == (
        f"{section}.base_model: got 'empty', a folder without config.json; takes a folder with a model, or a hub id"
    )


def test_a_pool_holds_a_file_of_data(root):
    (root / "mine").mkdir()
    (root / "elsewhere").mkdir()
    (root / "mine/loop").symlink_to(root / "mine")
    for name in ("README.md", ".gitkeep", "notes.MD", "readme"):
        (root / "mine" / name).touch()
    assert refused(root, **LOCAL).startswith("prepare.path: got 'mine', which holds no data file; takes a file or a ")
    (root / "mine/linked").symlink_to(root / "elsewhere")
    (root / "elsewhere/a.jsonl").touch()
    preflight(params_with(root, **LOCAL), root)
    preflight(params_with(root, **LOCAL | {"prepare__path": "elsewhere/a.jsonl"}), root)


@pytest.mark.parametrize("path", ["empty", "mmlu/test", "mmlu/test/anatomy_test.csv"])
def test_a_benchmark_holds_questions(root, path):
    assert refused(root, **CSV | {"prepare__benchmark__path": path}) == (
        f"prepare.benchmark.path: {path!r} has no questions in test/<subject>_test.csv; takes Hendrycks' folder with "
        "dev/ and test/"
    )


def test_a_hub_source_names_data_sets(root):
    assert refused(root, prepare__source="hub") == (
        "prepare.hub: got source_dataset []; takes one data set or more, each with its own source_dataset"
    )


def test_a_reference_set_is_there(root):
    given = {"prepare__reference__source": "local", "prepare__reference__path": "empty"}
    assert refused(root, **given).startswith("prepare.reference.path: got 'empty', which holds no data file; takes")
    (root / "empty/a.jsonl").touch()
    preflight(params_with(root, **given), root)
    assert refused(root, prepare__reference__source="hub") == (
        "prepare.reference.hub: got source_dataset []; takes one data set or more, each with its own source_dataset"
    )
    dev = CSV | {"prepare__reference__source": "benchmark"}
    assert refused(root, **dev) == (
        "prepare.reference.source: got benchmark, and 'mmlu' has no questions in dev/<subject>_dev.csv; takes none, "
        "local or hub, or a benchmark with dev questions"
    )
    (root / "mmlu/dev").mkdir()
    (root / "mmlu/dev/anatomy_dev.csv").touch()
    preflight(params_with(root, **dev), root)


def test_a_mixed_source_is_files_and_data_sets(root):
    hub = {"name": "a/b", "revision": "main", "subset": None, "split": "train", "data_files": None}
    given = {"prepare__source": "mixed", "prepare__path": "mine", "prepare__hub": [hub | {"source_dataset": "b"}]}
    assert refused(root, **given) == "prepare.path: got 'mine', which is not there"
    (root / "mine").mkdir()
    (root / "mine/a.jsonl").touch()
    preflight(params_with(root, **given), root)
    assert refused(root, **given | {"prepare__hub": []}).startswith("prepare.hub: got source_dataset []; takes one")
    only_hub = given | {"prepare__source": "hub"}
    assert refused(root, **only_hub, prepare__subset_ratio={"a": 0.5}) == (
        "prepare.subset_ratio: got 'a'; prepare.hub has b"
    )
    preflight(params_with(root, **only_hub, prepare__subset_ratio={"b": 0.5}), root)
    assert refused(root, **only_hub, select__source_shares={"a": {"min": 0.5}}) == (
        "select.source_shares: got 'a'; prepare.hub has b"
    )


def test_shares_are_of_the_mini_worlds_sources(root):
    for shares in ({"prepare__subset_ratio": {"alpaca": 0.5}}, {"select__source_shares": {"alpaca": {"min": 0.5}}}):
        (key,) = shares
        assert refused(root, **shares) == (
            f"{key.replace('__', '.')}: got 'alpaca'; the mini world has flan_v2, cot, dolly, oasst1"
        )
    preflight(params_with(root, prepare__subset_ratio={"cot": 0.5}, select__source_shares={"cot": {}}), root)


def test_parts_of_mmlu_are_those_of_the_benchmark(root):
    start = "of which 'mmlu' has no questions; takes mmlu or the name of an lm-eval task, such as mmlu_"
    for name in ("mmlu_anatomi", "mmlu_virology"):
        assert refused(root, **CSV, eval__tasks=["mmlu", name]).startswith(f"eval.tasks: got {name!r}, {start}")
    for names in (["mmlu_stem", "mmlu_social_sciences"], ["mmlu_anatomy", "mmlu_my_own"], ["mmlu_pro"], ["hellaswag"]):
        preflight(params_with(root, **CSV, eval__tasks=names), root)
    preflight(params_with(root, eval__tasks=["mmlu_whatever"]), root)


@pytest.mark.parametrize("facts", [64, 71])
def test_the_mini_world_has_a_question_for_each_process(root, facts):
    sizes = params_with(root).prepare.mini_world.model_dump() | {"facts": facts}
    subjects = [question["subject"] for question in build(MiniWorldParams(**sizes), 0).questions()["test"]]
    assert min(subjects.count(subject) for subject in subjects) == 8
    given = {
        "prepare__mini_world__facts": facts,
        "launch__accelerate_config": DDP_CPU,
        "warmup__max_micro_batch_size": 1,
        "finetune__batch_size": 16,
    }
    preflight(params_with(root, **given, launch__num_processes=8), root)
    assert refused(root, **given, launch__num_processes=16) == (
        f"prepare.mini_world.facts: got {facts}, which makes 8 questions of a subject; takes at least 128 for "
        "launch.num_processes=16, one question of a task for each process"
    )
    preflight(params_with(root, **given, launch__num_processes=16, eval__tasks=["hellaswag"]), root)
