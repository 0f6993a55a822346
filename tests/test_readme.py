"""The README's table of parameters holds every key of the schema, and no other; its list of presets, and the tables of
methods, hold every one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from mygo.params import Params, TrainingParams, choices

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def keys_of(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys_of(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def keys_in_table() -> Iterator[str]:
    """`.x` stands for the key before it with another last part."""
    last = ""
    for line in README.partition("## Parameters")[2].partition("Hydra groups")[0].splitlines():
        for key in re.findall(r"`([^`]+)`", line.split("|")[1]) if line.startswith("| `") else ():
            last = f"{last.rpartition('.')[0]}{key}" if key.startswith(".") else key
            yield last


def test_the_table_of_parameters_is_the_schema():
    table = set(keys_in_table())
    sections = {key.removesuffix(".*") for key in table if key.endswith(".*")}
    training = {f"finetune.{key}" for key in keys_of(TrainingParams)}  # the table says them of warmup
    schema = set(keys_of(Params))
    missing = {key for key in schema - table - training if key.rpartition(".")[0] not in sections}
    assert missing == set()
    assert {key for key in table if not key.endswith(".*")} - schema == set()
    assert all(any(key.startswith(f"{section}.") for key in schema) for section in sections)


def test_the_groups_are_those_of_conf():
    """`select` (`quality`, `random`, ...): every preset of every group by name, and no other."""
    listed = README.partition("Hydra groups: ")[2].partition("\n\n")[0]
    for group in ("selector", "data", "target", "select", "launch"):
        names = re.search(rf"`{group}` \(([^)]*)\)", listed)
        assert names is not None
        there = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} - {"base"}
        assert set(re.findall(r"`([^`]+)`", names[1])) == there


METHODS = [
    ("Scores", choices.ScoreName),
    ("Strategies", choices.StrategyName),
    ("Clustering", choices.ClusterMethod),
    ("Families", choices.Family),
    ("Trash experts", choices.TrashExpertMode),
    ("Losses", choices.QualityLossType),
]


@pytest.mark.parametrize(("section", "choice"), METHODS, ids=[name for name, _ in METHODS])
def test_every_method_has_its_row_in_the_tables_of_methods(section, choice):
    text = (ROOT / "docs/methods.md").read_text().partition(f"\n## {section} ")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row[1])} >= set(get_args(choice))
    presets = {name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row[2])}
    group = {"Scores": "select", "Strategies": "select", "Clustering": "select", "Families": "selector"}.get(section)
    if group:
        assert presets - {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} == set()
