"""Which model grades: a warmed epoch of the selector, or any other causal language model, whose perplexity is then a
baseline.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel

from mygo.models.base import load_base, load_tokenizer, read_config, resolve_revision
from mygo.models.checkpoints import checkpoint_digest, checkpoint_folder, load_checkpoint
from mygo.params import CollectParams
from mygo.workdir import hash_folder

KEY = "collect.base_model"


@dataclass(frozen=True)
class Grader:
    """A folder, or a hub id with the commit that was asked for; `warmed` if it is a selector's checkpoint."""

    name: str
    revision: str | None
    warmed: bool
    base: Path | None = None  # the selector before its warm-up, where its NLL is asked for

    @classmethod
    def of(cls, params: CollectParams, warmed: Path, selector: Path | None = None) -> "Grader":
        """What `collect.base_model` names, or the epoch that `collect.checkpoint` says. Raises `UserError` if it is not
        there.
        """
        if params.base_model is None:
            base = selector if params.base_nll else None
            assert base is not None or not params.base_nll, "the NLL of the base needs the selector before its warm-up"
            return cls(str(checkpoint_folder(warmed, params.checkpoint)), None, warmed=True, base=base)
        commit = resolve_revision(params.base_model, params.revision, KEY)
        read_config(params.base_model, commit, KEY)
        return cls(params.base_model, commit, warmed=False)

    def digest(self) -> str:
        """Of all files, or of a hub model its name and commit."""
        if self.warmed:
            return checkpoint_digest(Path(self.name))
        return hash_folder(Path(self.name)) if self.revision is None else f"{self.name}@{self.revision}"

    def base_digest(self) -> str | None:
        """Of the files that decide the NLL of the base, where there is one beside the grader."""
        return None if self.base is None else hash_folder(self.base)

    def load(self, dtype: torch.dtype) -> PreTrainedModel:
        return (
            load_checkpoint(Path(self.name), dtype)
            if self.warmed
            else load_base(self.name, self.revision, dtype, key=KEY)
        )

    def tokenizer(self) -> Any:
        return (
            AutoTokenizer.from_pretrained(self.name)
            if self.warmed
            else load_tokenizer(self.name, self.revision, key=KEY)
        )

    def text_config(self) -> Any:
        return AutoConfig.from_pretrained(self.name, revision=self.revision or "main").get_text_config()
