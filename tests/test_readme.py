"""The README's table of parameters holds every key of the schema, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from mygo.params import Params
from mygo.params.schema import TrainingParams

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


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
