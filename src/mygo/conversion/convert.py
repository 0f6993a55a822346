"""The convert stage's work: base in, selector out, checked against the base before it appears."""

from pathlib import Path
from typing import Any

from mygo.conversion.parity import Parity, base_folder, compare_files, compare_models
from mygo.models.base import load_base, load_tokenizer, resolve_revision
from mygo.models.checkpoints import load_checkpoint
from mygo.models.loading import check_family, from_base
from mygo.params import ConvertParams
from mygo.workdir import atomic_folder


def convert(params: ConvertParams, seed: int, out: Path) -> dict[str, Any]:
    """Write the selector (model and tokenizer) to the folder `out` and return what is known of it as metrics.

    What was saved is loaded again and compared with the base; only if they agree does `out` appear. `memory_efficient`
    compares files and holds one model at a time; logits are not compared then (null in the metrics).
    A hub model is read at the commit that `convert.revision` stands for now, which the metrics name.
    Raises `UserError` for a base that cannot be had or is of another family, and if the comparison fails.
    """
    commit = resolve_revision(params.base_model, params.revision)
    check_family(params.family, params.base_model, commit)
    tokenizer = load_tokenizer(params.base_model, commit)
    with atomic_folder(out) as staging:
        model = from_base(
            params.family,
            params.base_model,
            commit,
            params.dtype,
            seed,
            trash_expert_mode=params.trash_expert_mode,
            trash_expert_module=params.trash_expert_module,
            trash_expert_rank=params.trash_expert_rank,
            trash_experts=params.trash_experts,
            quality_gate_init_mean=params.quality_gate_init_mean,
            quality_gate_init_std=params.quality_gate_init_std,
        )
        parameters = model.num_parameters()
        model.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
        dtype, tied = model.dtype, model.config.tie_word_embeddings
        del model  # the comparison loads what was saved, and may need the memory
        if params.memory_efficient:
            parity = compare_files(base_folder(params.base_model, commit), staging, dtype, tied, params.tolerance)
        else:
            parity = compare_models(
                load_base(params.base_model, commit, dtype), load_checkpoint(staging, dtype), params.tolerance
            )
    known = {} if commit is None else {"base_model_commit": commit}
    return {**_as_metrics(parameters, parity), **known}


def _as_metrics(parameters: int, parity: Parity) -> dict[str, Any]:
    return {
        "parameters": parameters,
        "parity": True,
        "tensors_compared": parity.tensors,
        "max_abs_difference": parity.max_abs_difference,
        "logits_max_abs_difference": parity.logits_max_abs_difference,
    }
