"""How many tokens a row holds: given, or begun from what fits; halved when memory runs out, and remembered."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers import PreTrainedModel

from mygo.models.routers import experts_of
from mygo.workdir import write_atomically

# Longer rows gain nothing: a CPU core has its matrices in cache at about 2,048 tokens, a GPU is busy at 16,384.
# Measured by benchmarks/scoring.py.
ENOUGH = {"cpu": 2048, "cuda": 16384}
SMALLEST = 256
SHARE_OF_FREE_MEMORY = 0.5  # of a GPU, whose memory is this process's own
CPU_ACTIVATIONS = 2 * 2**30  # bytes, the same on every machine: on a CPU the length of a row shows in the last digits


@dataclass
class RowSize:
    """The tokens of a row. `file` keeps what a run has learnt for the run that goes on after it."""

    tokens: int
    file: Path | None = None

    @classmethod
    def start(cls, wanted: int | Literal["auto"], model: PreTrainedModel) -> "RowSize":
        """What is wanted, or what fits."""
        return cls(tokens_that_fit(model) if wanted == "auto" else wanted)

    def halve(self, failed: int) -> None:
        """Half of the tokens of the row that did not fit."""
        self.tokens = max(1, min(self.tokens, failed) // 2)
        if self.file is not None:
            write_atomically(self.file, json.dumps(self.tokens).encode())


def tokens_that_fit(model: PreTrainedModel) -> int:
    """A power of two between SMALLEST and ENOUGH whose activations take half of a GPU's free memory or less, on a CPU
    `CPU_ACTIVATIONS` bytes or less, whatever is free at the moment.
    """
    device = model.device
    room = SHARE_OF_FREE_MEMORY * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else CPU_ACTIVATIONS
    tokens = ENOUGH.get(device.type, ENOUGH["cpu"])
    while tokens > SMALLEST and tokens * bytes_per_token(model) > room:
        tokens //= 2
    return tokens


def bytes_per_token(model: PreTrainedModel) -> int:
    """Activations of one token at their widest, as an upper estimate: one layer's, and what is recorded of all
    layers.
    """
    config = model.config.get_text_config()
    used_experts = getattr(config, "num_experts_per_tok", None) or 1
    all_experts = experts_of(config) or 0
    one_layer = 12 * config.hidden_size + used_experts * (3 * config.intermediate_size + 3 * config.hidden_size)
    recorded = config.num_hidden_layers * (all_experts * 3 + 8)
    return 4 * (one_layer + recorded)
