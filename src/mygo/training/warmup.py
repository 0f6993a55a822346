"""Warm-up: the gates of a converted selector learn to grade, everything else stays as it is."""

from pathlib import Path

from accelerate.utils import set_seed
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from mygo.data.pool import count_rows, iter_batches
from mygo.data.records import from_records
from mygo.models.checkpoints import load_checkpoint
from mygo.params import WarmupParams
from mygo.runtime import Runtime
from mygo.training.dataset import BATCH, ConversationDataset, encoder_for
from mygo.training.objectives import OBJECTIVES, Outcome, Task
from mygo.training.output import output_folder
from mygo.training.saving import write_digests


def warm_up(
    params: WarmupParams, runtime: Runtime, seed: int, selector: Path, pool: Path, out: Path, plots: Path
) -> Outcome:
    """Train `selector` on `pool` for `warmup.objective`; writes `out/epoch_N` and `out/digests.json`.

    The metrics are those of the objective, and what was trained on.
    """
    set_seed(seed)  # LoRA's matrices are drawn before the Trainer seeds
    model = load_checkpoint(selector, runtime.resolve(params.dtype))  # first: it says what is wrong if there is none
    tokenizer = AutoTokenizer.from_pretrained(selector)
    dataset = _dataset(params, tokenizer, pool, runtime)
    with output_folder(plots, runtime) as curves, output_folder(out, runtime) as folder:
        task = Task(model, tokenizer, dataset, params, runtime, seed, pool, folder, curves)
        outcome = OBJECTIVES[params.objective](task)
        if runtime.is_main:
            write_digests(folder)
            dataset.write_rejected(folder)
    return Outcome(outcome.metrics | dataset.metrics(), outcome.good_ratio)


def _dataset(
    params: WarmupParams, tokenizer: PreTrainedTokenizerBase, pool: Path, runtime: Runtime
) -> ConversationDataset:
    batches = (from_records(batch["messages"]) for batch in iter_batches(pool, ["messages"], BATCH))
    encoder = encoder_for(params, tokenizer)
    return ConversationDataset(batches, encoder, count_rows(pool), "warmup", speaks=runtime.is_main)
