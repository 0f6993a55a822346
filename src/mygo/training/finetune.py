"""Fine-tuning: LoRA on the target model with the selected samples."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from mygo.data.encoding import Message
from mygo.errors import UserError
from mygo.models.base import load_base, load_tokenizer, resolve_revision
from mygo.params import FinetuneParams
from mygo.runtime import Runtime
from mygo.training.callbacks import LiveCallback, StartMessage
from mygo.training.dataset import BATCH, ConversationDataset, PadCollator, encoder_for, pad_token_id
from mygo.training.lora import add_lora
from mygo.training.output import output_folder
from mygo.training.trainer import FiniteLossTrainer, training_arguments

KEY = "finetune.base_model"


class FinetuneTrainer(FiniteLossTrainer):
    stage = "finetune"


def fine_tune(
    params: FinetuneParams, runtime: Runtime, seed: int, selected: Path, out: Path, plots: Path
) -> dict[str, Any]:
    """Train a LoRA adapter on `selected` (JSON lines with `messages`); writes it to `out` in PEFT's format, returns the
    metrics, with the commit that `finetune.revision` stands for where the base is a hub model.
    """
    set_seed(seed)  # LoRA's matrices are drawn before the Trainer seeds
    dtype = runtime.resolve(params.dtype)
    commit = resolve_revision(params.base_model, params.revision, KEY)
    base = load_base(params.base_model, commit, dtype, key=KEY)
    tokenizer = load_tokenizer(params.base_model, commit, key=KEY)
    base.config.use_cache = False
    dataset = _dataset(params, tokenizer, selected, runtime)
    model = add_lora(base, params.lora, "finetune")
    if params.gradient_checkpointing:
        model.enable_input_require_grads()
    with output_folder(plots, runtime) as curves, output_folder(out, runtime) as folder:
        trainer = FinetuneTrainer(
            model=model,
            args=training_arguments(params, runtime, seed, len(dataset), "finetune"),
            train_dataset=dataset,
            data_collator=PadCollator(pad_token_id(tokenizer)),
            callbacks=[StartMessage("finetune"), LiveCallback(curves)],
        )
        trainer.train()
        if runtime.is_main:
            _save(model, folder, commit)
            dataset.write_rejected(folder)
    known = {} if commit is None else {"base_model_commit": commit}
    return _metrics(trainer, dataset) | known


def _save(model: PeftModel, folder: Path, commit: str | None) -> None:
    """PEFT's own format, with the commit of the base, without its empty model card and with the module names in an
    order that is always the same.
    """
    model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config |= {"target_modules": sorted(config["target_modules"]), "revision": commit}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _metrics(trainer: FinetuneTrainer, dataset: ConversationDataset) -> dict[str, Any]:
    """The last logged loss, and what was trained on."""
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "loss": losses[-1],
        **dataset.metrics(),
        "steps": trainer.state.global_step,
    }


def _dataset(
    params: FinetuneParams, tokenizer: PreTrainedTokenizerBase, selected: Path, runtime: Runtime
) -> ConversationDataset:
    if not selected.is_file():
        raise UserError(f"{selected}: not found; run the select stage first")
    with selected.open("rb") as file:
        total = sum(1 for _ in file)
    if not total:
        raise UserError(f"{selected}: holds no samples; raise select.ratio")
    encoder = encoder_for(params, tokenizer)
    return ConversationDataset(_read_batches(selected), encoder, total, "finetune", speaks=runtime.is_main)


def _read_batches(selected: Path) -> Iterator[list[list[Message]]]:
    with selected.open("rb") as file:
        while lines := list(islice(file, BATCH)):
            yield [json.loads(line)["messages"] for line in lines]
