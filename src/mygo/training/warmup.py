"""Warm-up: the gates of a converted selector learn to grade, everything else stays as it is.

L layers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from mygo.data.pool import count_rows, iter_batches
from mygo.data.records import from_records
from mygo.models.checkpoints import load_checkpoint
from mygo.params import WarmupParams
from mygo.runtime import Runtime
from mygo.training.callbacks import LiveCallback, StartMessage
from mygo.training.dataset import BATCH, ConversationDataset, PadCollator, encoder_for, pad_token_id
from mygo.training.objectives import WarmupTrainer, configure_losses, good_ratio_rows
from mygo.training.output import output_folder
from mygo.training.saving import SaveEveryEpoch, write_digests
from mygo.training.trainable import make_trainable
from mygo.training.trainer import training_arguments


@dataclass(frozen=True)
class WarmupReport:
    """The metrics, and the mean good_ratio of every layer at every logged step as rows of a plot."""

    metrics: dict[str, Any]
    good_ratio: list[dict[str, float]]


def warm_up(
    params: WarmupParams, runtime: Runtime, seed: int, selector: Path, pool: Path, out: Path, plots: Path
) -> WarmupReport:
    """Train the gates of `selector` on `pool`; writes `out/epoch_N` and `out/digests.json`."""
    set_seed(seed)  # LoRA's matrices are drawn before the Trainer seeds
    dtype = runtime.resolve(params.dtype)
    model = load_checkpoint(selector, dtype)  # first: it says what is wrong if there is none
    tokenizer = AutoTokenizer.from_pretrained(selector)
    dataset = _dataset(params, tokenizer, pool, runtime)
    configure_losses(model, params)
    make_trainable(model, params)
    with output_folder(plots, runtime) as curves, output_folder(out, runtime) as folder:
        trainer = WarmupTrainer(
            model=model,
            args=training_arguments(params, runtime, seed, len(dataset), "warmup"),
            train_dataset=dataset,
            data_collator=PadCollator(pad_token_id(tokenizer)),
            callbacks=[StartMessage("warmup"), SaveEveryEpoch(folder, tokenizer, params, dtype), LiveCallback(curves)],
        )
        trainer.train()
        if runtime.is_main:
            write_digests(folder)
            dataset.write_rejected(folder)
    return WarmupReport(_metrics(trainer, dataset), good_ratio_rows(trainer))


def _dataset(
    params: WarmupParams, tokenizer: PreTrainedTokenizerBase, pool: Path, runtime: Runtime
) -> ConversationDataset:
    batches = (from_records(batch["messages"]) for batch in iter_batches(pool, ["messages"], BATCH))
    encoder = encoder_for(params, tokenizer)
    return ConversationDataset(batches, encoder, count_rows(pool), "warmup", speaks=runtime.is_main)


def _metrics(trainer: WarmupTrainer, dataset: ConversationDataset) -> dict[str, Any]:
    """The loss, its parts and the mean good_ratio over layers, all of the last logged steps, and what was trained on.
    What every layer's good_ratio is stands in the plots: here it would be a row for each.
    """
    last = [entry for entry in trainer.state.log_history if "loss" in entry][-1]
    good_ratio = [value for name, value in last.items() if name.startswith("good_ratio/")]
    return {
        **{name: value for name, value in last.items() if name.endswith("loss")},
        "good_ratio": round(sum(good_ratio) / len(good_ratio), 6),
        **dataset.metrics(),
        "steps": trainer.state.global_step,
    }
