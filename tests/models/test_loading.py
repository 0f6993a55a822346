"""What is refused, and how: one sentence that names the key, what it got and what it takes."""

import json
import shutil

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file

from mygo.errors import UserError
from mygo.models import from_base, load_base, load_selector
from mygo.params.families import TAKES


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def refusal(function, *args, **kwargs) -> str:
    with pytest.raises(UserError) as error:
        function(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("family", ["select_moe", "trash_can", "stock_moe"])
@pytest.mark.parametrize("kind", ["qwen3", "qwen2"])
def test_a_base_of_another_family_is_refused(bases, family, kind):
    message = f"convert.base_model: got a model of type {kind} with convert.family={family}; {TAKES}"
    assert refusal(from_base, family, str(bases[kind])) == message


def test_the_family_is_checked_before_the_weights(bases, tmp_path):
    shutil.copy(bases["qwen2"] / "config.json", tmp_path)
    assert "got a model of type qwen2" in refusal(from_base, "select_moe", str(tmp_path))


def test_a_model_type_that_nobody_knows_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "unheard_of", "auto_map": {"AutoConfig": "evil.Config"}}')
    assert refusal(from_base, "quality_gate", str(tmp_path)) == (
        "convert.base_model: got a model of type unheard_of, which transformers knows no causal language model of; "
        f"{TAKES}"
    )


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "t5", "is_encoder_decoder": True}, "it has an encoder, and a selector is a decoder alone"),
        (
            {"model_type": "gemma3", "text_config": {}, "vision_config": {"x": 1}},
            "it reads images beside text; take its text model alone",
        ),
        (
            {"model_type": "csm", "text_config": {"x": 1}},
            "its decoder is a part of a larger model; take its text model alone",
        ),
    ],
)
def test_what_is_not_one_decoder_over_text_is_refused_with_the_reason(tmp_path, config, why):
    (tmp_path / "config.json").write_text(json.dumps(config))
    message = f"convert.base_model: got a model of type {config['model_type']}, which cannot be gated: {why}; {TAKES}"
    assert refusal(from_base, "quality_gate", str(tmp_path)) == message


def test_a_selector_is_no_base(case, tmp_path):
    model = from_base(case.family, str(case.base))
    model.save_pretrained(tmp_path)
    assert refusal(from_base, "quality_gate", str(tmp_path)) == (
        f"convert.base_model: got a model of type {model.config.model_type}, which is a selector of family "
        f"{case.family} already; {TAKES}"
    )


def test_a_path_that_is_not_there_is_refused(tmp_path):
    for path in (str(tmp_path / "nothing"), "data/base/nothing", "./nothing"):
        assert (
            refusal(from_base, "select_moe", path)
            == f"convert.base_model: got {path}, which does not exist; takes a folder with a model, or a hub id"
        )


def test_an_unknown_hub_model_or_no_network_is_refused():
    message = refusal(from_base, "select_moe", "nobody/no-such-model")
    assert message.startswith(
        "convert.base_model: got nobody/no-such-model (no folder here, and not to be had from the hub at "
        "revision main: "
    )
    assert refusal(load_base, "nobody/no-such-model", "v1", key="finetune.base_model").startswith(
        "finetune.base_model: got nobody/no-such-model"
    )


@pytest.mark.parametrize("config", [None, "{}", "not json"])
def test_a_folder_that_holds_no_model_is_refused(tmp_path, config):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert refusal(from_base, "select_moe", str(tmp_path)).startswith(f"convert.base_model: got {tmp_path}")


def test_pickled_weights_are_refused(case, tmp_path):
    base = shutil.copytree(case.base, tmp_path / "pickled")
    (base / "model.safetensors").unlink()
    torch.save({}, base / "pytorch_model.bin")
    assert "no weights as .safetensors" in refusal(from_base, case.family, str(base))
    assert refusal(load_base, str(base), key="finetune.base_model").startswith("finetune.base_model: ")


def test_broken_weights_are_refused(case, tmp_path):
    base = shutil.copytree(case.base, tmp_path / "broken")
    (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:-100])
    assert "cannot be loaded" in refusal(from_base, case.family, str(base))


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_a_base_with_a_tensor_missing_or_left_over_is_refused(case, tmp_path, read_tensors, change):
    base = shutil.copytree(case.base, tmp_path / "base")
    tensors = read_tensors(base)
    if change == "missing":
        del tensors["model.layers.1.self_attn.q_proj.weight"]
    else:
        tensors["model.layers.1.mlp.adapter.weight"] = torch.zeros(2)
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    message = refusal(from_base, case.family, str(base))
    assert f"it lacks {['model.layers.1.self_attn.q_proj.weight'] if change == 'missing' else []}" in message
    assert f"the unknown {['model.layers.1.mlp.adapter.weight'] if change == 'unknown' else []}" in message


def test_only_selectors_load_as_selectors(case, tmp_path):
    assert "run the convert and warmup stages first" in refusal(load_selector, tmp_path / "nothing")
    assert "which is no selector" in refusal(load_selector, case.base)
    model = from_base(case.family, str(case.base))
    model.save_pretrained(tmp_path / "selector")
    assert type(load_selector(tmp_path / "selector")) is type(model)
    assert load_selector(tmp_path / "selector", torch.bfloat16).dtype == torch.bfloat16
