"""Classes of a family, made from those that the library has for a base.

They are made when they are asked for: the library holds hundreds of decoders, whose files take seconds to import.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING

from mygo.models.causal_lm import SelectorCausalLM, SelectorPreTrained


@dataclass(frozen=True)
class Classes:
    """A config, a decoder, and that decoder with its output layer."""

    config: type[PreTrainedConfig]
    model: type[PreTrainedModel]
    causal_lm: type[PreTrainedModel]


class Decoder(SelectorPreTrained):
    """Mixin before the class of a base's decoder: changes it once it is made."""

    alter: ClassVar[Callable[[PreTrainedModel], None]]

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        type(self).alter(self)
        self.post_init()


class WithDecoder(SelectorCausalLM):
    """Mixin before the class of a base's causal LM: exchanges its decoder for the family's."""

    decoder_class: ClassVar[type[PreTrainedModel]]

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        setattr(self, self.base_model_prefix, type(self).decoder_class(config))
        self.post_init()


def base_classes(base_type: str) -> Classes:
    """The library's own classes for a `model_type`. Raises `KeyError` where it has none for a causal LM."""
    config = CONFIG_MAPPING[base_type]
    model: Any = MODEL_MAPPING[config]
    causal_lm: Any = MODEL_FOR_CAUSAL_LM_MAPPING[config]
    return Classes(config, model, causal_lm)


def make_classes(
    model_type: str,
    base_type: str,
    settings: type[PreTrainedConfig],
    causal_lm: type[WithDecoder],
    alter: Callable[[Any], None],
    recorded: Callable[[type[PreTrainedModel]], dict[str, Any]],
) -> Classes:
    """Classes of the name `model_type`, known to the auto classes from here on.

    `settings` go before the base's config, `causal_lm` before its causal LM; `alter` changes the base's decoder, and
    `recorded` says what the library is to record of it.
    """
    base, name = base_classes(base_type), "".join(word.capitalize() for word in model_type.split("_"))
    config = strict(_made(f"{name}Config", (settings, base.config), model_type=model_type))
    given = {"config_class": config, "_can_record_outputs": recorded(base.model)}
    model = _made(f"{name}Model", (Decoder, base.model), base=base.model, alter=staticmethod(alter), **given)
    lm = _made(f"{name}ForCausalLM", (causal_lm, base.causal_lm), base=base.causal_lm, decoder_class=model, **given)
    AutoConfig.register(model_type, config, exist_ok=True)
    AutoModel.register(config, model, exist_ok=True)
    AutoModelForCausalLM.register(config, lm, exist_ok=True)
    keep_weight_conversion(base_type, [(base.model, model), (base.causal_lm, lm)])
    return Classes(config, model, lm)


def keep_weight_conversion(base_type: str, pairs: list[tuple[type, type]]) -> None:
    """Read and write checkpoints of our classes as the base does with its own (MoE: one tensor per expert in files,
    fused ones in memory): (base's class, ours) each.

    By class name: without it the experts of a base silently stay random.
    """
    for base, ours in pairs:
        if (mapping := _conversion(base_type, base)) is not None:
            register_checkpoint_conversion_mapping(ours.__name__, mapping, overwrite=True)


def name_in_memory(cls: type[PreTrainedModel], name: str) -> str:
    """What a tensor of a checkpoint's files is called in a model of this class."""
    for transform in get_checkpoint_conversion_mapping(cls.__name__) or []:
        name = transform.rename_source_key(name)[0]
    return name


def renames(base_type: str, name: str) -> bool:
    """Whether a base's weight conversion would take the name of a parameter of ours for one of its own."""
    mapping = _conversion(base_type, base_classes(base_type).causal_lm) or []
    return any(transform.rename_source_key(name)[0] != name for transform in mapping)


def _conversion(base_type: str, base: type) -> list[Any] | None:
    return get_checkpoint_conversion_mapping(base.__name__) or get_checkpoint_conversion_mapping(base_type)


def _made(name: str, bases: tuple[type, ...], **attributes: Any) -> Any:
    return type(name, bases, {"__module__": __name__, **attributes})
