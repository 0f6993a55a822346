"""Rules about the repository itself: who imports whom, params.yaml equals conf, what dvc.yaml names exists, files stay
small.
"""

import ast
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from mygo.params import Params, check_params
from tests.imports import imported, reached
from tests.launch.test_inputs import composed

ROOT = Path(__file__).resolve().parents[1]
GROUND = {"errors", "params", "metrics", "workdir"}  # what everything stands on
BELOW = GROUND | {"runtime", "data", "models", "scoring"}  # what a workflow stands on; workflows never use each other
MAY_IMPORT = {
    "errors": set(),
    "runtime": set(),
    "workdir": {"errors"},
    "params": {"errors"},
    "metrics": {"errors", "workdir"},
    "launch": {"errors", "params"},  # nothing but stages and what is started with them imports it
    "data": GROUND,
    "models": GROUND,
    "scoring": GROUND | {"models"},
    "selection": GROUND | {"data"},
    "preparation": BELOW,
    "conversion": BELOW,
    "training": BELOW,
    "collection": BELOW,
    "evaluation": BELOW,
    "comparison": GROUND,
}
TORCH = {"torch", "transformers", "peft", "accelerate"}
FOREIGN = {
    "params": TORCH,
    "metrics": TORCH,
    "workdir": TORCH,
    "data": TORCH,
    "selection": TORCH | {"datasets"},
    "comparison": TORCH | {"datasets"},
    "models": {"peft", "datasets"},
    "scoring": {"peft", "datasets"},
}
MAY_USE_TORCH = {"selection/clustering/on_gpu.py"}  # imported where a GPU is asked for, never at the start
WORKFLOWS = ("preparation", "conversion", "training", "collection", "selection", "evaluation")


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT / "src/mygo").parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path", [p for p in sources("src/mygo") if room(p) != "__init__"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_rooms_import_only_what_stands_below_them(path):
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("mygo.")}
    assert ours <= MAY_IMPORT[room(path)] | {room(path)}
    foreign = {name.split(".")[0] for name in imported(path)} & FOREIGN.get(room(path), set())
    assert foreign == ({"torch"} if str(path.relative_to(ROOT / "src/mygo")) in MAY_USE_TORCH else set())


@pytest.mark.parametrize("path", [p for p in sources("stages") if p.name != "__init__.py"], ids=lambda p: p.name)
def test_a_stage_is_thin_and_uses_one_room(path):
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("mygo.")}
    assert len(ours & set(WORKFLOWS)) == 1
    assert ours <= GROUND | {"launch", "runtime"} | set(WORKFLOWS)
    body = ast.parse(path.read_text())
    docstring = ast.get_docstring(body) or ""
    assert "In:" in docstring
    assert "Out:" in docstring
    assert len(path.read_text().splitlines()) - len(docstring.splitlines()) <= 40


@pytest.mark.parametrize(
    "path",
    [*sources("src"), *sources("stages"), *sources("tests"), *sources("benchmarks")],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= 250


def test_params_yaml_is_the_composition_of_the_defaults():
    assert OmegaConf.to_container(OmegaConf.load(ROOT / "params.yaml")) == composed()


def choices() -> list[str]:
    groups = ("selector", "data", "target", "select", "launch")
    return [
        f"{group}={path.stem}"
        for group in groups
        for path in sorted((ROOT / "conf" / group).glob("*.yaml"))
        if path.stem != "base"
    ]


@pytest.mark.parametrize("choice", choices())
def test_every_preset_is_valid(choice):
    check_params(composed(choice))


def test_every_group_has_the_promised_choices():
    promised = {
        "selector": "olmoe_1b_7b qwen3_1_7b mini_select_moe mini_quality_gate mini_trash_can mini_stock_moe",
        "data": "mini_world local less openhermes",
        "target": "mini llama2_7b qwen2_5_1_5b qwen3_1_7b",
        "select": "quality random full perplexity length cluster_kmeans expert_logits trash_mass answer_nll ifd "
        "external combine threshold facility_location k_center random_balanced cluster_elbow "
        "cluster_hdbscan cluster_spectral cluster_gaussian_mixture cluster_text select_moe_published "
        "quality_gate_published",
        "launch": "cpu single_gpu",
    }
    assert {f"{group}={name}" for group, names in promised.items() for name in names.split()} <= set(choices())


@pytest.mark.parametrize("data", ["less", "openhermes", "local"])
def test_published_settings_are_kept(data):
    params = check_params(composed("selector=olmoe_1b_7b", "target=llama2_7b", f"data={data}"))
    warmup, lora, tuned = params.warmup, params.finetune.lora, params.finetune
    assert (warmup.learning_rate, warmup.epochs, warmup.quality_loss.weight, warmup.batch_size) == (1e-4, 4, 0.01, 4)
    assert (params.prepare.warmup_ratio, params.prepare.base_models) == (0.05, False)
    assert (lora.r, lora.alpha, tuned.learning_rate, tuned.batch_size, tuned.epochs) == (128, 512, 2e-5, 128, 4)
    params = check_params(composed("selector=qwen3_1_7b", "target=qwen2_5_1_5b", f"data={data}"))
    warmup, lora, tuned = params.warmup, params.finetune.lora, params.finetune
    assert (warmup.learning_rate, warmup.epochs, warmup.quality_loss.weight, warmup.batch_size) == (3e-4, 2, 1.0, 16)
    assert (params.prepare.warmup_ratio, params.prepare.base_models) == (0.025, False)
    assert (lora.r, lora.alpha, tuned.batch_size, tuned.epochs) == (128, 256, 64, 3)
    assert (tuned.lr_scheduler, tuned.warmup_ratio) == ("cosine", 0.03)


@pytest.mark.parametrize("selector", ["olmoe_1b_7b", "mini_select_moe"])
def test_perplexity_asks_collect_for_the_base(selector):
    groups = (f"selector={selector}", "select=perplexity")
    first, second = composed(*groups), composed(*reversed(groups))
    assert first == second
    assert first["collect"]["base_nll"]
    select = check_params(first).select
    assert (select.score, select.order, select.strategy, select.ratio) == ("perplexity", "lowest", "top", 0.25)
    assert first["select"].keys() == composed()["select"].keys()
    assert not composed(*groups, "collect.base_nll=false")["collect"]["base_nll"]
    assert not composed("selector=olmoe_1b_7b")["collect"]["base_nll"]


@pytest.mark.parametrize("choices", [("target=llama2_7b",), ("selector=olmoe_1b_7b",), ("selector=mini_quality_gate",)])
def test_presets_make_the_mini_bases_where_one_is_used(choices):
    assert check_params(composed(*choices)).prepare.base_models


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("select_moe_published", ("cluster_round_robin", 0.05)), ("quality_gate_published", ("top", 0.30))],
)
def test_published_ratios_are_kept(choice, expected):
    select = check_params(composed(f"select={choice}")).select
    assert (select.strategy, select.ratio) == expected
    assert (select.score, select.tokens, select.order) == ("quality", "all", "highest")
    assert (select.alpha, select.eps, select.tau) == (1.0, 1e-8, 0.0)


def test_every_stage_has_a_script_a_key_and_a_class():
    stages = list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    names = ["prepare", "convert", "warmup", "collect", "select", "finetune", "baseline", "eval"]
    assert stages == ["check", *names]
    own = set(names) - {"baseline"}  # it answers what `eval` asks, about the model that `finetune` names
    assert own | {"seed", "launch", "inputs"} == set(Params.model_fields)
    assert {path.stem for path in sources("stages")} - {"__init__"} == set(stages)


def test_how_a_stage_is_launched_is_nothing_that_dvc_sees():
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        assert stage["cmd"] == f"python -m mygo.launch {name}"
        assert name == "check" or not any("launch" in entry for entry in [*stage["deps"], *stage["params"]])


def test_what_check_looks_into_makes_it_run_again():
    """A module that was broken after a good run would else be found when DVC has deleted what it had made."""
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["check"]["deps"]
    assert {"${inputs.quality_loss}", "${inputs.trash_expert}", "${launch.accelerate_config}"} <= set(deps)


def test_what_is_checked_first_is_everything_and_all_others_wait_for_it():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert set(stages["check"]["params"]) == set(Params.model_fields)
    produced = {out: name for name, stage in stages.items() for out in stage["outs"]}
    for name in set(stages) - {"check"}:
        waiting = [name]
        for stage in waiting:  # grows: what a stage waits for, whatever `inputs` names
            waiting += [by for out, by in produced.items() if any(dep.startswith(out) for dep in stages[stage]["deps"])]
        assert "check" in waiting


def test_no_dependency_lies_inside_an_output():
    """DVC 3.67 then wants the folder that HEAD's lock names in the cache, and stops an experiment in a fresh clone."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    outs = {out for stage in stages for out in stage["outs"]}
    assert {dep for stage in stages for dep in stage["deps"] if any(dep.startswith(f"{out}/") for out in outs)} == set()


def test_dvc_yaml_names_files_that_exist_and_describes_every_stage():
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values():
        assert stage["desc"]
        code = [dep for dep in stage["deps"] if dep.startswith(("src/", "stages/"))]
        assert [dep for dep in code if not (ROOT / dep).exists()] == []


@pytest.mark.parametrize(
    "name", ["check", "prepare", "convert", "warmup", "collect", "select", "finetune", "baseline", "eval"]
)
def test_the_deps_of_a_stage_hold_all_code_that_decides_its_outputs(name):
    """Follow the imports of the stage's script; whatever it reaches must stand in `deps`, but for the rooms that decide
    no output.
    """
    decides_nothing = {"errors", "params", "metrics", "workdir", "launch"}  # runtime decides the number format
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][name]["deps"]
    files = reached(ROOT / "stages" / f"{name}.py", lambda file: room(file) not in decides_nothing)
    assert [
        str(path.relative_to(ROOT))
        for path in files
        if not any(path.is_relative_to(ROOT / dep) for dep in deps) and path.name != "__init__.py"
    ] == []
