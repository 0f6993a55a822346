"""Fine-tuning: an adapter in PEFT's format, the same bytes for the same seed, one sentence for what is wrong."""

import json
import shutil
import warnings

import huggingface_hub.constants
import pytest
import torch
from omegaconf import OmegaConf
from peft import PeftModel
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from mygo.errors import UserError
from mygo.evaluation.adapter import check_commit
from mygo.params import FinetuneParams
from mygo.preparation.tokenizer import train_tokenizer
from mygo.runtime import Runtime
from mygo.training.finetune import fine_tune

CPU = Runtime(torch.device("cpu"), torch.float32, 0, 1)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tokenizer = train_tokenizer(["<|user|>\namber brook\n<|assistant|>\ncedar dune ember frost\n"])
    torch.manual_seed(0)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_dim": 8,
    }
    Qwen3ForCausalLM(Qwen3Config(**shape, num_key_value_heads=4, pad_token_id=0)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tune(base, conversations, tmp_path, monkeypatch):
    defaults = OmegaConf.to_container(OmegaConf.load("params.yaml"))["finetune"]
    small = {
        "base_model": str(base),
        "epochs": 4,
        "batch_size": 8,
        "micro_batch_size": 4,
        "max_length": 64,
        "learning_rate": 0.01,
    }
    monkeypatch.chdir(tmp_path)
    selected = tmp_path / "selected.jsonl"
    selected.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in conversations[:16]))

    def run(out="adapter", **changes):
        params = FinetuneParams.model_validate({**defaults, **small, **changes})
        return fine_tune(params, CPU, 0, selected, tmp_path / out, tmp_path / "plots/finetune")

    return run


def test_the_adapter_is_pefts_and_lowers_the_loss(tune, base, tmp_path):
    metrics = tune()
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "rejected.parquet",
    ]
    curve = (tmp_path / "plots/finetune/plots/metrics/train/loss.tsv").read_text().split()
    assert metrics["loss"] < float(curve[3]) - 0.2
    ids = torch.arange(3, 20)[None]
    model = AutoModelForCausalLM.from_pretrained(base)
    before = model(ids).logits.detach()
    assert not torch.allclose(PeftModel.from_pretrained(model, str(tmp_path / "adapter"))(ids).logits, before)


def test_the_adapter_of_a_hub_model_names_the_commit_of_its_base(tune, base, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    shutil.copytree(base, tmp_path / "hub/models--some--model/snapshots" / ("a" * 40))
    (tmp_path / "hub/models--some--model/refs").mkdir()
    (tmp_path / "hub/models--some--model/refs/main").write_text("a" * 40)
    assert tune(base_model="some/model", epochs=1)["base_model_commit"] == "a" * 40
    adapter = tmp_path / "adapter"
    assert json.loads((adapter / "adapter_config.json").read_text())["revision"] == "a" * 40
    check_commit(adapter, "a" * 40)
    check_commit(adapter, None)
    with pytest.raises(
        UserError, match=f"was trained on commit {'a' * 40} .* eval would use {'b' * 40}; run the stage"
    ):
        check_commit(adapter, "b" * 40)


def test_the_same_seed_gives_the_same_bytes(tune, tmp_path):
    tune("a")
    tune("b")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    modules = json.loads((tmp_path / "a/adapter_config.json").read_text())["target_modules"]
    assert modules == sorted(modules)


def test_gradient_checkpointing_trains_to_the_same_loss(tune):
    assert tune("a")["loss"] == pytest.approx(tune("b", gradient_checkpointing=True)["loss"], abs=1e-3)


def test_nan_stops_with_the_step_and_leaves_nothing(tune, tmp_path):
    with pytest.raises(UserError, match=r"finetune: the loss is (nan|inf) at step \d+; lower finetune\.learning_rate"):
        tune(learning_rate=1e30, max_grad_norm=1e30, warmup_ratio=0.0)
    assert not (tmp_path / "adapter").exists()


def test_a_run_neither_appends_to_what_another_left_nor_leaves_anything(tune, tmp_path):
    live, half = tmp_path / "plots/finetune/plots/metrics/train/loss.tsv", tmp_path / ".adapter.0123abcd.tmp"
    live.parent.mkdir(parents=True)
    live.write_text("step\tloss\n900\t9.9\n")
    half.mkdir()
    (tmp_path / "plots/.finetune.0123abcd.tmp").mkdir()
    with pytest.raises(UserError, match="the loss is"):
        tune(learning_rate=1e30, max_grad_norm=1e30, warmup_ratio=0.0)
    assert live.read_text() == "step\tloss\n900\t9.9\n"  # a run that fails writes no curve either
    tune()
    assert "900" not in live.read_text()
    assert not [path for path in tmp_path.rglob("*.tmp") if path.is_dir()]


def test_a_log_file_has_a_few_lines_and_no_warning(tune, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        tune(epochs=2, batch_size=2, micro_batch_size=1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(", loss")[0] for line in lines] == [
        "finetune: 16 samples, 500 tokens, 306 predicted",
        "finetune: 16 steps of 1 x 2 x 1 samples, 2 epochs",
        "finetune: epoch 1 of 2",
        "finetune: epoch 2 of 2",
    ]


def test_a_selection_that_is_not_there_is_named(tune, tmp_path):
    (tmp_path / "selected.jsonl").unlink()
    with pytest.raises(UserError, match=r"selected\.jsonl: not found; run the select stage first"):
        tune()


def test_a_base_that_is_not_there_is_named(tune):
    with pytest.raises(UserError, match=r"^finetune\.base_model: got data/nowhere/model"):
        tune(base_model="data/nowhere/model")
