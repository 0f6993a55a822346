"""The families of selectors, by the name that `convert.family` takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from mygo.models.families.classes import Classes
from mygo.models.families.quality_gate import gate_family
from mygo.models.families.stock_moe import stock_family
from mygo.models.families.trash_can import trash_can_family
from mygo.params.choices import Family as FamilyName
from mygo.params.families import BASE_TYPES, TAKES, family_of, selector_type, why_not


@dataclass(frozen=True)
class Family:
    """`classes` are made for a `model_type` of bases; `usual` is one of these."""

    classes: Callable[[str], Classes]
    usual: str

    @property
    def config(self) -> type[PreTrainedConfig]:
        return self.classes(self.usual).config

    @property
    def causal_lm(self) -> type[PreTrainedModel]:
        return self.classes(self.usual).causal_lm


FAMILIES: dict[FamilyName, Family] = {
    "select_moe": Family(gate_family, "olmoe"),
    "quality_gate": Family(gate_family, "qwen3"),
    "trash_can": Family(trash_can_family, "olmoe"),
    "stock_moe": Family(stock_family, "olmoe"),
}


def why_not_made(family: FamilyName, config: Mapping[str, Any]) -> str | None:
    """Why no selector of this family is made of a base of this raw config; None if one can be, as far as is known
    before its layers are looked at.
    """
    reason = why_not(family, config)
    if reason is None and config["model_type"] not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return f"a model of type {config['model_type']}, which transformers knows no causal language model of; {TAKES}"
    return reason


def classes_of(config: Mapping[str, Any]) -> Classes | None:
    """The classes of a selector by its raw config; None of a model that is none."""
    family, kind = family_of(config), str(config.get("model_type"))
    if family is None:
        return None
    base = kind if family == "stock_moe" else _BASES.get(kind)
    return None if base is None else FAMILIES[family].classes(base)


_BASES = {
    selector_type(family, base): base
    for family in ("quality_gate", "trash_can")
    for base in BASE_TYPES[family] or MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
}  # the `model_type` of every selector that is not its base, and its base's


def register() -> None:
    """Make every family known to Hugging Face's auto classes: by name now, by its classes when its name comes up."""
    for model_type in _BASES:
        AutoConfig.register(model_type, _unmade(model_type), exist_ok=True)


def _unmade(model_type: str) -> Any:
    """Stands in the library's table of configs until one of this type is read."""

    def config() -> Any:
        classes = classes_of({"model_type": model_type})
        assert classes is not None
        return classes.config

    def made(method: str) -> Any:
        return staticmethod(lambda *args, **kwargs: getattr(config(), method)(*args, **kwargs))

    methods = {name: made(name) for name in ("from_dict", "from_pretrained")}
    return type(
        f"Unmade_{model_type}", (), methods | {"__new__": lambda cls, *args, **kwargs: config()(*args, **kwargs)}
    )
