"""Stock MoE: an unmodified mixture of experts, whose routers alone are warmed up, on the language-model loss.

The selector is the base: the same `model_type`, the same tensors; its config carries a mark that says which family it
is. The class here differs from the library's in its `forward` only, which returns the terms of the loss.
"""

from functools import cache
from typing import Any

from mygo.models.causal_lm import SelectorCausalLM
from mygo.models.families.classes import Classes, base_classes, keep_weight_conversion


@cache
def stock_family(base_type: str) -> Classes:
    """The base's own classes, its causal LM with terms of the loss. It keeps the library's name for it, which
    `save_pretrained` writes into the config.
    """
    base = base_classes(base_type)
    given: dict[str, Any] = {"__module__": __name__, "base": base.causal_lm, "config_class": base.config}
    causal_lm = type(base.causal_lm.__name__, (SelectorCausalLM, base.causal_lm), given)
    keep_weight_conversion(base_type, [(base.causal_lm, causal_lm)])
    return Classes(base.config, base.model, causal_lm)
