"""Selectors: language models with gates, or with routers that say as much. Importing this makes them known to
`AutoModelForCausalLM`.

The way of a token: families -> gate (trash expert) or routers -> causal_lm -> losses, constraint -> terms; loading and
checkpoints make and read them.
"""

import sys

from transformers.utils import logging

from mygo.models.base import load_base
from mygo.models.families import FAMILIES, register
from mygo.models.gate import freeze_all_but, routing_parameters
from mygo.models.loading import from_base, load_selector
from mygo.models.recording import Records, records

__all__ = [
    "FAMILIES",
    "Records",
    "freeze_all_but",
    "from_base",
    "load_base",
    "load_selector",
    "records",
    "register",
    "routing_parameters",
]

register()
if not sys.stderr.isatty():
    logging.disable_progress_bar()  # loading and saving draw bars, which are for terminals, not for log files
