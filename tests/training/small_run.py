"""One short warm-up on conversations in a file, in this process or in one of several: the first gradients, and the log.

As a module it is one process of a launch: `python -m tests.training.small_run selector conversations.json out.json`.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from transformers import AutoTokenizer, TrainerCallback

from mygo.models.checkpoints import load_checkpoint
from mygo.params import WarmupParams
from mygo.runtime import Runtime, start_runtime
from mygo.training.dataset import ConversationDataset, PadCollator, encoder_for, pad_token_id
from mygo.training.objectives.losses import configure_losses
from mygo.training.objectives.published import WarmupTrainer
from mygo.training.trainable import make_trainable
from mygo.training.trainer import training_arguments

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = OmegaConf.to_container(OmegaConf.load(ROOT / "params.yaml"))["warmup"]
SMALL = {"epochs": 3, "batch_size": 8, "micro_batch_size": 2, "max_length": 64, "learning_rate": 0.05}
SMALL |= {"max_grad_norm": 1e9, "warmup_ratio": 0.0}
LOSS = {"weight": 5.0, "function": "tests.training.small_run:away_from_a_third"}
KINDS = [(kind, averaging) for kind in ("sigmoid", "mse", "custom") for averaging in ("sample_wise", "token_wise")]


def away_from_a_third(good_ratio: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    return (good_ratio - 1 / 3) ** 2


def small_params(loss: Mapping[str, Any] | None = None, **changes: Any) -> WarmupParams:
    quality_loss = {**DEFAULTS["quality_loss"], **LOSS, **(loss or {})}
    return WarmupParams.model_validate({**DEFAULTS, **SMALL, **changes, "quality_loss": quality_loss})


@dataclass
class FirstGradients(TrainerCallback):
    """The gradients of the gates before the first step of the optimizer."""

    gates: dict[str, list[float]] = field(default_factory=dict)

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.gates = self.gates or {
            name.removeprefix("module."): parameter.grad.flatten().tolist()
            for name, parameter in model.named_parameters()
            if "quality_gate" in name
        }


def small_run(
    params: WarmupParams, runtime: Runtime, selector: Path, conversations: list, logging_steps: int = 1, seed: int = 0
) -> tuple[dict[str, list[float]], WarmupTrainer]:
    model = load_checkpoint(selector, torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(selector)
    dataset = ConversationDataset([conversations], encoder_for(params, tokenizer), len(conversations), "warmup", False)
    configure_losses(model, params)
    make_trainable(model, params)
    arguments = training_arguments(params, runtime, seed, len(dataset), "warmup")
    arguments.logging_steps = logging_steps
    arguments.report_to = []
    first = FirstGradients()
    trainer = WarmupTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        data_collator=PadCollator(pad_token_id(tokenizer)),
        callbacks=[first],
        debug=params.quality_loss.debug,
    )
    trainer.train()
    return first.gates, trainer


def main(selector: str, conversations: str, out: str) -> None:
    runtime = start_runtime(0)
    samples = json.loads(Path(conversations).read_text())
    results: dict[str, Any] = {}
    for kind, averaging in KINDS:
        params = small_params({"type": kind, "averaging": averaging}, epochs=1)
        results[f"{kind} {averaging}"], _ = small_run(params, runtime, Path(selector), samples[:8])
    _, trainer = small_run(small_params(), runtime, Path(selector), samples, logging_steps=4)
    results["log"] = trainer.state.log_history
    Path(out).with_suffix(f".{runtime.rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
