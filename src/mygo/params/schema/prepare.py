"""The section `prepare`: where the pool and the benchmark come from."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from mygo.params.choices import RowFormat
from mygo.params.schema.fields import NONE_IS_EMPTY, Chance, Count, Place, Section, Share


class HubDataset(Section):
    """One data set of the hub, read at a pinned revision (a commit hash, a tag or a branch; the commit is recorded)."""

    name: str
    revision: str
    subset: str | None
    split: str
    data_files: str | None
    source_dataset: str


class HubBenchmark(Section):
    name: str
    revision: str


class BenchmarkParams(Section):
    source: Literal["mini_world", "csv", "hub"]
    path: Place
    hub: HubBenchmark


class ReferenceParams(Section):
    """Samples that the scores `dsir` and `rds` compare the pool with. `benchmark`: its dev questions."""

    source: Literal["none", "local", "hub", "benchmark"]
    path: Place
    format: RowFormat
    hub: list[HubDataset]


class MiniWorldParams(Section):
    """Size of the synthetic world and of the two tiny models that are pretrained on half of it."""

    facts: Annotated[int, Field(ge=64)]
    samples: Annotated[int, Field(ge=100)]
    corrupted: Chance
    known: Share
    pretrain_steps: Count


class PrepareParams(Section):
    source: Literal["mini_world", "local", "hub", "mixed"]
    path: Place
    format: RowFormat
    label_column: str | list[str] | None
    hub: list[HubDataset]
    subset_ratio: Annotated[dict[str, Share], NONE_IS_EMPTY]
    warmup_ratio: Share
    base_models: bool
    benchmark: BenchmarkParams
    decontaminate: bool
    decontaminate_words: Annotated[int, Field(ge=8)]
    reference: ReferenceParams
    mini_world: MiniWorldParams

    @property
    def label_columns(self) -> list[str]:
        """The columns that hold labels; the first of them is what `select` reports on."""
        named = self.label_column
        return [] if named is None else [named] if isinstance(named, str) else named

    @field_validator("label_column")
    @classmethod
    def _each_label_column_once(cls, named: str | list[str] | None) -> str | list[str] | None:
        if named == []:
            raise ValueError("got []; takes null, a name, or a list of names")
        if isinstance(named, list) and len(set(named)) < len(named):
            raise ValueError(f"got {named}; takes each column once")
        return named
