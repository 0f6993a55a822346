"""Selectors: language models with quality gates. Importing this makes them known to `AutoModelForCausalLM`."""

from mygo.models.base import load_base
from mygo.models.families import FAMILIES, register
from mygo.models.gate import freeze_all_but, routing_parameters
from mygo.models.loading import from_base, load_selector

__all__ = ["FAMILIES", "freeze_all_but", "from_base", "load_base", "load_selector", "register", "routing_parameters"]

register()
