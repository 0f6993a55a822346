"""What would fail in a later stage is refused before the first one, with one sentence."""

import json
from pathlib import Path

import pytest
import yaml

from mygo.errors import UserError
from mygo.launch import preflight as module
from mygo.launch.base_models import has_routers
from mygo.launch.preflight import preflight
from mygo.params import check_params
from mygo.params.inputs import KEYS, input_of
from tests.launch.conftest import ROOT, set_keys

CPU, DDP_CPU, GPU = (f"conf/accelerate/{name}.yaml" for name in ("cpu", "ddp_cpu", "single_gpu"))


def params_with(root: Path, **changes):
    """params.yaml with these keys (`__` for a dot) and the section `inputs` that Hydra would compose."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    set_keys(raw, {key.replace("__", "."): value for key, value in changes.items()})
    raw["inputs"] = {name: input_of(name, raw, root) for name in KEYS}
    return check_params(raw)


@pytest.fixture
def root(repository, monkeypatch):
    monkeypatch.chdir(repository.folder)
    return repository.folder


def test_the_defaults_pass(root):
    assert not preflight(params_with(root), root).distributed


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {
                "select__clusters": "auto",
                "select__clustering__method": "hdbscan",
                "select__clustering__backend": "cuml",
            },
            "select.clustering.backend: got cuml, and cuml is not installed here (RAPIDS' wheels are cuml-cu12 and "
            "cuml-cu13); takes cpu",
        ),
        ({"prepare__source": "local", "prepare__path": "none"}, "prepare.path: got 'none', which is not there"),
        (
            {"prepare__benchmark__source": "csv", "prepare__benchmark__path": "none"},
            "prepare.benchmark.path: got 'none', which is not there",
        ),
        (
            {"convert__base_model": "/no/such/folder"},
            "convert.base_model: got '/no/such/folder'; takes a folder that is there, or a hub id (owner/name)",
        ),
        (
            {"finetune__base_model": "data/base/qwen"},
            "finetune.base_model: got 'data/base/qwen'; prepare makes data/base/olmoe and data/base/qwen3",
        ),
        (
            {"prepare__base_models": False},
            "convert.base_model: got 'data/base/olmoe', which prepare makes only with prepare.base_models=true",
        ),
        (
            {"convert__trash_expert_mode": "custom", "convert__trash_expert_module": "own"},
            "convert.trash_expert_module: got 'own'; takes package.module:name",
        ),
        (
            {
                "convert__trash_expert_mode": "expert_mean",
                "convert__family": "quality_gate",
                "convert__base_model": "data/base/qwen3",
            },
            "convert.trash_expert_mode: got expert_mean, but convert.base_model=data/base/qwen3 is dense: it has no "
            "experts to take the mean of; takes zero, noise, batch_noise, low_rank or custom",
        ),
        (
            {"warmup__quality_loss__type": "custom", "warmup__quality_loss__function": "own.los:loss"},
            "warmup.quality_loss.function: got 'own.los:loss', which cannot be imported (there is no module own.los)",
        ),
        (
            {"warmup__quality_loss__type": "custom", "warmup__quality_loss__function": "own.losses:los"},
            "warmup.quality_loss.function: got 'own.losses:los', but losses.py defines no los",
        ),
        ({"launch__accelerate_config": "none"}, "launch.accelerate_config: got 'none', which is not there"),
        (
            {"launch__num_processes": 2},
            f"launch.num_processes: got 2; {CPU} starts one (distributed_type NO), launch=ddp and launch=ddp_cpu "
            "several",
        ),
        (
            {"launch__num_processes": 3, "launch__accelerate_config": DDP_CPU},
            "warmup.batch_size: got 16; takes a multiple of launch.num_processes=3",
        ),
        (
            {
                "launch__num_processes": 2,
                "launch__accelerate_config": DDP_CPU,
                "warmup__micro_batch_size": 8,
                "finetune__micro_batch_size": 8,
                "eval__limit": 1,
            },
            "eval.limit: got 1; takes null, or at least 2, one question of a task for each process of the launch",
        ),
    ],
)
def test_what_cannot_work_is_one_sentence(root, changes, sentence):
    (root / "own").mkdir()
    (root / "own/losses.py").write_text("def loss(good_ratio, attention_mask): ...\n")
    with pytest.raises(UserError) as error:
        preflight(params_with(root, **changes), root)
    assert str(error.value) == sentence


def test_an_extra_is_asked_for_only_where_samples_are_clustered(root, monkeypatch):
    monkeypatch.setattr("mygo.launch.clustering.find_spec", lambda _: None)
    preflight(params_with(root, select__clustering__projection="umap"), root)
    with pytest.raises(
        UserError, match=r"^select\.clustering\.projection: got umap, .*mygo\[umap\].*; takes pca or none$"
    ):
        preflight(params_with(root, select__clustering__projection="umap", select__clusters=9), root)


def test_modules_that_are_there_pass_without_being_imported(root):
    (root / "own.py").write_text("import torch\nraise SystemExit\ndef loss(): ...\nif torch: Expert = 1\n")
    preflight(
        params_with(
            root,
            warmup__quality_loss__type="custom",
            warmup__quality_loss__function="own:loss",
            convert__trash_expert_mode="custom",
            convert__trash_expert_module="own:Expert",
        ),
        root,
    )


def test_the_mean_of_experts_needs_experts_where_that_can_be_known(root):
    for name, config in (("sparse", {"model_type": "olmoe", "num_experts": 4}), ("dense", {"model_type": "qwen3"})):
        (root / name).mkdir()
        (root / name / "config.json").write_text(json.dumps(config))
    mode = {"convert__trash_expert_mode": "expert_mean"}
    for base in ("data/base/olmoe", "sparse", "allenai/OLMoE-1B-7B-0125"):
        preflight(params_with(root, **mode, convert__base_model=base), root)
    with pytest.raises(UserError, match=r"^convert\.trash_expert_mode: got expert_mean, but .*=dense is dense"):
        preflight(params_with(root, **mode, convert__family="quality_gate", convert__base_model="dense"), root)


@pytest.mark.parametrize("family", ["trash_can", "stock_moe"])
def test_a_sparse_type_without_a_sparse_layer_is_refused_before_anything_runs(root, family):
    (root / "own").mkdir()
    config = {"model_type": "qwen3_moe", "num_experts": 4, "num_hidden_layers": 2}
    chosen = {"convert__base_model": "own", "convert__family": family, "select__score": "trash_mass"}
    for dense, refused in (([1], False), ([0, 1], True)):
        (root / "own/config.json").write_text(json.dumps(config | {"mlp_only_layers": dense}))
        assert has_routers("own", root) is not refused
        if refused:
            with pytest.raises(UserError, match=r"^convert\.base_model: got .* all of whose layers are dense"):
                preflight(params_with(root, **chosen), root)
        else:
            preflight(params_with(root, **chosen), root)


@pytest.mark.parametrize(("here", "refused"), [(0, True), (1, False)])
def test_a_launch_on_gpus_needs_one_for_each_process(root, monkeypatch, here, refused):
    monkeypatch.setattr(module, "accelerators", lambda: here)
    params = params_with(root, launch__accelerate_config=GPU)
    if refused:
        with pytest.raises(UserError, match=r"needs a GPU for each process, GPUs here: 0; launch=cpu"):
            preflight(params, root)
    else:
        preflight(params, root)
