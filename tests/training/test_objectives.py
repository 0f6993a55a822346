"""What an objective of the warm-up may be, and what the trainer asks of a model: no gates, no parts, no steps."""

import pytest
import torch
from datasets import Dataset
from torch import nn

from mygo.models.checkpoints import load_checkpoint
from mygo.training.objectives import OBJECTIVES, Outcome, Task
from mygo.training.objectives.published import WarmupTrainer, _metrics, good_ratio_rows, range_line
from mygo.training.saving import save_epoch
from mygo.training.trainer import training_arguments
from mygo.training.warmup import warm_up
from tests.training.small_run import small_params, small_run
from tests.training.test_warmup import CPU


@pytest.fixture(autouse=True)
def _in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_objective_needs_neither_steps_nor_losses_nor_gates(
    tiny_selector, conversations, write_pool_of, tmp_path, monkeypatch
):
    def opened(task: Task) -> Outcome:
        assert len(task.dataset) == 8
        assert task.pool.is_dir()
        for parameter in task.model.parameters():
            parameter.requires_grad_(False)
        gate = task.model.model.layers[0].mlp.quality_gate.weight.requires_grad_(True)
        nn.init.constant_(gate, 0.5)
        save_epoch(task.model, task.tokenizer, task.folder / "epoch_1", task.params, torch.float32)
        return Outcome({"held_out_accuracy": 0.75}, [])

    monkeypatch.setitem(OBJECTIVES, "published", opened)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/selector").symlink_to(tiny_selector)
    pool = write_pool_of(tmp_path / "pool", conversations[:8])
    params = small_params(save="trained_only")
    outcome = warm_up(params, CPU, 0, tiny_selector, pool, tmp_path / "data/warmed", tmp_path / "plots/warmup")
    assert (outcome.metrics["held_out_accuracy"], outcome.metrics["samples"]) == (0.75, 8)
    assert "good_ratio" not in outcome.metrics
    assert outcome.good_ratio == []
    assert {path.name for path in (tmp_path / "data/warmed").iterdir()} == {
        "epoch_1",
        "digests.json",
        "rejected.parquet",
    }
    loaded = load_checkpoint(tmp_path / "data/warmed/epoch_1", torch.float32)
    assert (loaded.model.layers[0].mlp.quality_gate.weight == 0.5).all()


class NoGates(nn.Module):
    """loss = lm + constraint = 3 w + 2 w: parts of its own, no gates, other losses."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(1.0))

    def forward(self, input_ids=None, attention_mask=None, labels=None, **_):
        parts = {"lm_loss": 3 * self.w, "constraint_loss": 2 * self.w, "regular_share": torch.tensor([0.25, 0.5])}
        logits = torch.zeros(2, 1, 3)
        return {"loss": 5 * self.w, "logits": logits, **parts}


def train(model, debug=False, micro_batch_size=8):
    args = training_arguments(small_params(epochs=1, micro_batch_size=micro_batch_size), CPU, 0, 16, "warmup")
    args.report_to, args.logging_steps = [], 1
    row = {"input_ids": [1, 2], "attention_mask": [1, 1], "labels": [1, 2]}
    data = Dataset.from_list([row] * 16).with_format("torch")
    trainer = WarmupTrainer(model=model, args=args, train_dataset=data, debug=debug)
    trainer.train()
    return trainer


def test_the_trainer_logs_whatever_parts_a_model_reports():
    trainer = train(NoGates(), debug=True)
    first = trainer.state.log_history[0]
    assert (first["loss"], first["lm_loss"], first["constraint_loss"]) == pytest.approx((5.0, 3.0, 2.0))
    assert (first["regular_share/layer_00"], first["regular_share/layer_01"]) == pytest.approx((0.25, 0.5))
    assert good_ratio_rows(trainer) == []
    assert set(_metrics(trainer)) == {"loss", "lm_loss", "constraint_loss", "steps"}


class Ranging(NoGates):
    """Two micro-batches a step, whose ranges cross: means add up, the smallest and the largest are kept."""

    def forward(self, **inputs):
        self.calls = getattr(self, "calls", 0) + 1
        low, high = ((0.2, 0.5), (0.1, 0.6), (0.3, 0.9), (0.4, 0.8))[self.calls - 1]
        ranges = {"good_ratio": torch.tensor([0.25]), "good_ratio_range": torch.tensor([[low, high]])}
        return super().forward(**inputs) | ranges


def test_the_range_of_a_step_is_over_its_micro_batches(capsys):
    train(Ranging(), debug=True, micro_batch_size=4)
    lines = [line for line in capsys.readouterr().err.splitlines() if "by layer" in line]
    assert [line.partition("by layer: ")[2] for line in lines] == ["0: 0.100 0.500 0.600", "0: 0.300 0.500 0.900"]


def test_a_line_of_ranges_by_hand():
    line = range_line(3, [0.1, 0.25], [0.5, 0.375], [0.98765, 1.0])
    assert line == ("warmup: step 3, good_ratio min mean max by layer: 0: 0.100 0.500 0.988, 1: 0.250 0.375 1.000")


def test_debug_says_a_line_a_step_over_its_micro_batches(tiny_selector, conversations, capsys):
    _, trainer = small_run(small_params({"debug": True}, epochs=1), CPU, tiny_selector, conversations[:16])
    lines = [line for line in capsys.readouterr().err.splitlines() if "good_ratio" in line]
    assert [line.split(",")[0] for line in lines] == ["warmup: step 1", "warmup: step 2"]
    for line, logged in zip(lines, (entry for entry in trainer.state.log_history if "loss" in entry), strict=True):
        layers = [layer.split(": ")[1].split() for layer in line.split("by layer: ")[1].split(", ")]
        for layer, (low, mean, high) in enumerate(layers):
            assert float(mean) == pytest.approx(logged[f"good_ratio/layer_{layer:02d}"], abs=6e-4)
            assert 0 <= float(low) < float(mean) < float(high) <= 1


def test_nothing_is_said_unless_asked(tiny_selector, conversations, capsys):
    _, trainer = small_run(small_params(epochs=1), CPU, tiny_selector, conversations[:8])
    assert "by layer" not in capsys.readouterr().err
    assert trainer.model.config.quality_loss_debug is False
