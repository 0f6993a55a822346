"""What the parameters make of Hugging Face's Trainer: schedule, clipping, seeds, number format, bars, folders."""

import math
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import PrinterCallback, ProgressCallback, TrainingArguments

from mygo.errors import UserError
from mygo.runtime import Runtime
from mygo.training import trainer as module
from mygo.training.callbacks import LossBar, LossLine
from mygo.training.trainer import LOG_POINTS, FiniteLossTrainer, tensorboard_folder, training_arguments
from tests.training.small_run import small_params

CPU = Runtime(torch.device("cpu"), torch.float32, 0, 1)


@pytest.fixture(autouse=True)
def _in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Slope(nn.Module):
    """loss = 3 w: its gradient is always 3."""

    def __init__(self, loss=3.0):
        super().__init__()
        self.w, self.loss = nn.Parameter(torch.tensor(1.0)), loss

    def forward(self, x=None, labels=None):
        return {"loss": self.loss * self.w}


def arguments(samples=40, runtime=CPU, seed=5, stage="warmup", **changes):
    made = {"batch_size": 4, "micro_batch_size": 4, "epochs": 1, "learning_rate": 0.5} | changes
    return training_arguments(small_params(**made), runtime, seed, samples, stage)


def train(model=None, samples=40, **changes):
    args = arguments(samples, **changes)
    args.report_to, args.logging_steps = [], 1
    data = Dataset.from_dict({"x": list(range(samples)), "labels": [0] * samples})
    trainer = FiniteLossTrainer(model=model or Slope(), args=args, train_dataset=data)
    trainer.train()
    return trainer


def curve(name, **changes):
    return [entry[name] for entry in train(**changes).state.log_history if name in entry]


def test_the_arguments_are_the_parameters():
    args = arguments(
        samples=1000,
        seed=7,
        epochs=3,
        batch_size=8,
        micro_batch_size=2,
        learning_rate=0.25,
        lr_scheduler="cosine",
        warmup_ratio=0.125,
        weight_decay=0.5,
        max_grad_norm=0.75,
        gradient_checkpointing=True,
        dtype="bfloat16",
    )
    assert (args.seed, args.data_seed, args.num_train_epochs) == (7, 7, 3)
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (2, 4)
    assert (args.learning_rate, args.lr_scheduler_type, args.warmup_steps) == (0.25, "cosine", 0.125)
    assert (args.weight_decay, args.max_grad_norm) == (0.5, 0.75)
    assert args.activation_checkpointing
    assert args.activation_checkpointing_kwargs == {"use_reentrant": False}
    assert (args.bf16, args.use_cpu, args.remove_unused_columns) == (True, True, False)
    assert (args.save_strategy, args.report_to, args.logging_nan_inf_filter) == ("no", ["tensorboard"], False)
    assert args.logging_steps == math.floor(375 / LOG_POINTS) == 7
    assert (args.n_gpu, args.ddp_backend, args.dataloader_pin_memory) == (0, None, False)
    assert args.output_dir == "logs/trainer/warmup"


def test_what_is_off_is_off():
    args = arguments()
    assert (args.bf16, args.activation_checkpointing, args.logging_steps) == (False, False, 1)
    assert arguments(runtime=Runtime(torch.device("cpu"), torch.bfloat16, 0, 1)).bf16  # dtype: auto
    assert arguments(samples=41).logging_steps == 1
    assert arguments(samples=4 * 2 * LOG_POINTS - 3).logging_steps == 2  # the last batch is not full


@pytest.mark.parametrize(("steps", "every"), [(399, 7), (400, 8), (449, 8), (450, 9)])
def test_a_curve_has_fifty_points_or_a_few_more(steps, every):
    assert arguments(samples=4 * steps).logging_steps == every


@pytest.mark.parametrize(
    ("device", "processes", "expected"),
    [
        ("cpu", 1, (True, False, None)),
        ("cpu", 2, (True, False, "gloo")),
        ("cuda", 1, (False, True, None)),
        ("cuda", 2, (False, True, None)),
    ],
)
def test_what_a_device_is_told(device, processes, expected, monkeypatch):
    monkeypatch.setattr(module, "TrainingArguments", lambda **given: SimpleNamespace(n_gpu=0, **given))
    args = arguments(runtime=Runtime(torch.device(device), torch.float32, 0, processes), micro_batch_size=2)
    assert (args.use_cpu, args.dataloader_pin_memory, args.ddp_backend) == expected


@pytest.mark.parametrize(("seen", "used"), [(0, 0), (1, 1), (3, 1)])
def test_a_process_uses_one_gpu_of_those_it_sees(seen, used, monkeypatch):
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda _: seen))
    assert arguments()._n_gpu == used


@pytest.mark.parametrize("left", ["bf16", "fp16", "no"])
def test_the_number_format_is_the_stages_own_whatever_the_environment_holds(monkeypatch, left):
    for dtype, expected in (("float32", "no"), ("bfloat16", "bf16")):
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", left)
        assert arguments(dtype=dtype).mixed_precision == expected
        assert train(samples=4, dtype=dtype).accelerator.mixed_precision == expected


def test_what_processes_cannot_share_is_refused():
    with pytest.raises(UserError, match=r"^finetune\.batch_size: got 4; takes a multiple of launch\.num_processes=3$"):
        arguments(runtime=Runtime(torch.device("cpu"), torch.float32, 0, 3), stage="finetune")


@pytest.mark.parametrize(
    ("scheduler", "warmup_ratio", "rates"),
    [
        ("linear", 0.0, [0.5, 0.4, 0.3, 0.2, 0.1]),
        ("linear", 0.4, [0.0, 0.25, 0.5, 1 / 3, 1 / 6]),
        ("constant", 0.4, [0.5] * 5),
        ("constant_with_warmup", 0.4, [0.0, 0.25, 0.5, 0.5, 0.5]),
        ("cosine", 0.0, [0.25 * (1 + math.cos(math.pi * step / 5)) for step in range(5)]),
    ],
)
def test_the_learning_rate_follows_its_schedule(scheduler, warmup_ratio, rates):
    got = curve("learning_rate", samples=20, lr_scheduler=scheduler, warmup_ratio=warmup_ratio)
    assert got == pytest.approx(rates, abs=1e-6)


def test_gradients_are_clipped_at_the_norm_that_was_set():
    seen = []
    model = Slope()
    step = torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        seen.append(model.w.grad.item())
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", spy)
        train(model, samples=4, max_grad_norm=0.75)
        train(model, samples=4, max_grad_norm=9.0)
    assert seen == pytest.approx([0.75, 3.0], abs=1e-4)


def test_weight_decay_takes_its_part():
    # One step of AdamW at rate 0.5 from w = 1: 1 - 0.5 * decay - 0.5 (Adam's first step is the rate)
    after = [train(samples=4, weight_decay=decay).model.w.item() for decay in (0.0, 0.5)]
    assert after == pytest.approx([0.5, 0.25], abs=1e-4)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_names_its_step_and_the_key(loss):
    with pytest.raises(UserError) as error:
        train(Slope(loss))
    assert str(error.value) == f"training: the loss is {loss} at step 1; lower training.learning_rate (now 0.5)"


def test_a_later_step_is_named_too():
    class Breaking(Slope):
        calls = 0

        def forward(self, x=None, labels=None):
            self.calls += 1
            return {"loss": (math.nan if self.calls == 4 else 1.0) * self.w}

    with pytest.raises(UserError, match="the loss is nan at step 4; lower"):
        train(Breaking())


def test_the_last_step_is_logged():
    args = arguments(samples=20)
    args.report_to, args.logging_steps = [], 3
    data = Dataset.from_dict({"x": list(range(20)), "labels": [0] * 20})
    trainer = FiniteLossTrainer(model=Slope(), args=args, train_dataset=data)
    trainer.train()
    assert [entry["step"] for entry in trainer.state.log_history if "loss" in entry] == [3, 5]


def callbacks(trainer):
    return {type(callback) for callback in trainer.callback_handler.callbacks}


def test_a_bar_is_for_terminals_and_a_line_an_epoch_for_files(capsys, monkeypatch):
    trainer = train(samples=40, epochs=2)
    assert LossLine in callbacks(trainer)
    assert not callbacks(trainer) & {LossBar, ProgressCallback, PrinterCallback}
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert [line.rsplit(" ", 1)[0] for line in lines] == [f"training: epoch {n} of 2, loss" for n in (1, 2)]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    trainer = train(samples=40)
    assert LossBar in callbacks(trainer)
    assert not callbacks(trainer) & {LossLine, ProgressCallback, PrinterCallback}
    assert "loss=" in capsys.readouterr().err


def test_every_run_has_a_tensorboard_folder_of_its_own():
    folders = {tensorboard_folder("warmup") for _ in range(3)}
    assert len(folders) == 3
    assert {str(folder.parent) for folder in folders} == {"logs/tensorboard/warmup"}


def test_nothing_that_is_deprecated_is_used():
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        train(samples=4)


def test_a_training_of_one_step_trains():
    """Rounded up its warm-up is that step, at a learning rate of 0."""
    assert curve("learning_rate", samples=4, warmup_ratio=0.03) == [0.5]
