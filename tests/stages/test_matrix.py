"""Every family, objective, score and strategy on the smallest mini world, in one process: what makes sense together
selects something, and the rest is refused by a sentence, by select and before anything runs.
"""

import csv
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from mygo.collection.reference import collect_with_reference
from mygo.conversion.convert import convert
from mygo.data.pool import open_pool
from mygo.errors import UserError
from mygo.launch.base_models import check_base_models
from mygo.launch.grading import check_grading
from mygo.params import Params, check_params
from mygo.params.choices import BY_SCORE, Family, ObjectiveName, ScoreName, StrategyName
from mygo.preparation.prepare import prepare
from mygo.runtime import start_runtime
from mygo.selection.reading.opened import Memo, Opened, beside, open_both
from mygo.selection.run import select_from
from mygo.training.warmup import warm_up
from tests.launch.test_inputs import composed

pytestmark = pytest.mark.slow

SMALLEST = [
    *("prepare.mini_world.facts=64", "prepare.mini_world.samples=100", "prepare.mini_world.pretrain_steps=2"),
    *("warmup.epochs=1", "collect.answer_alone=true", "collect.hidden_states=true", "collect.base_nll=true"),
]
BASES: dict[Family, str] = {"select_moe": "olmoe", "quality_gate": "qwen3", "trash_can": "olmoe", "stock_moe": "olmoe"}
OF_GATES = {"quality", "weighted", "normalized", "raw"}
OF_ROUTERS = {"expert_logits", "trash_mass"}
# How a score is asked for, where its name is not enough.
ASKED: dict[str, list[str]] = {
    "external": ["select.external.path=judged.csv"],
    "combine": ["select.combine=[{score: perplexity, weight: 2.0, order: lowest}, {score: length}]"],
}
STRATEGIES: dict[StrategyName, list[str]] = {
    "top": [],
    "cluster_round_robin": ["select.clusters=5"],
    "random": [],
    "random_balanced": [],
    "full": [],
    "threshold": ["select.threshold=-1.0e+9"],
    "facility_location": [],
    "k_center": [],
}


@dataclass(frozen=True)
class World:
    """What `prepare` wrote, below a folder that the process stands in; and for each selector its own copy."""

    root: Path

    def params(self, family: Family, objective: ObjectiveName, *settings: str) -> Params:
        chosen = [f"convert.family={family}", f"convert.base_model=data/base/{BASES[family]}"]
        return check_params(composed(*SMALLEST, *chosen, f"warmup.objective={objective}", *settings))

    def graded(self, family: Family, objective: ObjectiveName) -> Opened:
        """The pool's statistics under a selector of this family, warmed up by this objective."""
        data = self.root / f"{family}-{objective}"
        params, runtime = self.params(family, objective), start_runtime(0)
        for made in ("pool", "reference", "warmup_pool"):
            shutil.copytree(self.root / "data" / made, data / made)
        convert(params.convert, 0, data / "selector")
        warm_up(
            params.warmup,
            runtime,
            0,
            data / "selector",
            data / "warmup_pool",
            data / "warmed",
            self.root / "plots" / data.name,
        )
        collect_with_reference(params.collect, runtime, data)
        return open_both(data / "statistics", data / "pool", Memo(2**30), *beside(data / "statistics", data / "pool"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root, before = tmp_path_factory.mktemp("world"), Path.cwd()
    os.chdir(root)
    prepare(check_params(composed(*SMALLEST)).prepare, 0, root / "data")
    ids = open_pool(root / "data/pool").to_table(columns=["id"])["id"].to_pylist()
    with Path("judged.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "score"), *((name, len(name) + i) for i, name in enumerate(ids))])
    yield World(root)
    os.chdir(before)


def makes_sense(family: Family, score: ScoreName, strategy: StrategyName) -> bool:
    """A strategy that asks no score does without one that the family cannot give."""
    gates, routers = family in ("select_moe", "quality_gate"), family != "quality_gate"
    possible = (score not in OF_GATES or gates) and (score not in OF_ROUTERS or routers)
    return possible or strategy not in BY_SCORE


@pytest.mark.parametrize("objective", get_args(ObjectiveName))
@pytest.mark.parametrize("family", get_args(Family))
def test_what_makes_sense_selects_and_the_rest_is_refused_by_a_sentence(world, family, objective):
    opened = world.graded(family, objective)
    assert set(STRATEGIES) == set(get_args(StrategyName))
    for score in get_args(ScoreName):
        for strategy, settings in STRATEGIES.items():
            settings = [f"select.score={score}", f"select.strategy={strategy}", *ASKED.get(score, []), *settings]
            params, out = world.params(family, objective, *settings), world.root / "selected"
            if makes_sense(family, score, strategy):
                check_grading(params, world.root)
                selected = select_from(opened, params.select, 0, out).metrics["selected"]
                assert selected == len((out / "selected.jsonl").read_bytes().splitlines()) > 0, settings
                continue
            for refused in (
                lambda params=params: check_grading(params, world.root),
                lambda params=params, out=out: select_from(opened, params.select, 0, out),
            ):
                with pytest.raises(UserError, match=rf"^select\.score: got {score}, [^\n]* take [^\n]*$"):
                    refused()


@pytest.mark.parametrize("family", ["select_moe", "trash_can", "stock_moe"])
def test_a_dense_base_is_refused_by_a_sentence(world, family):
    params = world.params(family, "published", "convert.base_model=data/base/qwen3")
    for refused in (
        lambda: check_base_models(params, world.root),
        lambda: convert(params.convert, 0, world.root / "never"),
    ):
        with pytest.raises(UserError, match=rf"^convert\.base_model: got [^\n]*qwen3[^\n]*{family}[^\n]*$"):
            refused()
    assert not (world.root / "never").exists()
