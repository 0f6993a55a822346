"""Conversion of every family from every architecture: the base and what the family adds, in memory and from files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from mygo.conversion import parity
from mygo.conversion.convert import convert
from mygo.conversion.parity import compare_files, compare_models
from mygo.conversion.survey import survey_files, survey_models
from mygo.errors import UserError
from mygo.models import load_base, load_selector
from mygo.models.checkpoints import save_trained_only
from tests.tiny_decoders import DECODERS, MOE, ROUTED, saver

TOKENIZER = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 2}, unk_token="a")))

CASES = [("quality_gate", name) for name in DECODERS] + [
    (family, name) for family in ("trash_can", "stock_moe") for name in sorted(MOE)
]


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    save_model = saver(tmp_path_factory.mktemp("bases"))

    def save(name):
        path = save_model(name)
        TOKENIZER.save_pretrained(path)
        return path

    return save


@pytest.mark.parametrize("memory_efficient", [False, True])
@pytest.mark.parametrize(("family", "name"), CASES, ids="-".join)
def test_a_selector_is_its_base_and_what_the_family_adds(
    save, make_params, tmp_path, read_tensors, family, name, memory_efficient
):
    params = make_params(family, save(name), memory_efficient=memory_efficient)
    metrics = convert(params, 0, tmp_path / "selector")
    assert metrics["max_abs_difference"] == 0.0
    if not memory_efficient:
        assert metrics["logits_max_abs_difference"] <= 1e-5
    added = {"quality_gate": 2 * 32, "trash_can": 2 * 32 * len(ROUTED.get(name, [])), "stock_moe": 0}[family]
    assert metrics["parameters"] == load_base(save(name)).num_parameters() + added
    before, after = read_tensors(tmp_path / "../" / save(name)), read_tensors(tmp_path / "selector")
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("family", ["trash_can", "stock_moe"])
def test_a_changed_router_is_found_in_memory_and_in_files(save, make_params, tmp_path, read_tensors, family):
    convert(make_params(family, save("olmoe")), 0, tmp_path / "selector")
    tensors = read_tensors(tmp_path / "selector")
    tensors["model.layers.1.mlp.gate.weight"] += 0.01
    save_file(tensors, tmp_path / "selector/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"model\.layers\.1\.mlp\.gate\.weight differs by 0\.01"):
        compare_models(load_base(save("olmoe")), load_selector(tmp_path / "selector"), 0.0)
    with pytest.raises(UserError, match=r"model\.layers\.1\.mlp\.gate\.weight differs by 0\.01"):
        compare_files(Path(save("olmoe")), tmp_path / "selector", torch.float32, False, 0.0)


def test_a_trash_row_that_is_chosen_fails_the_comparison(save, make_params, tmp_path, monkeypatch):
    """The tensors agree; only the logits show it."""
    convert(make_params("trash_can", save("olmoe")), 0, tmp_path / "selector")
    monkeypatch.setattr(parity, "_says", lambda value, module, args, out: out)
    with pytest.raises(UserError, match="with the gates held open the logits differ by"):
        compare_models(load_base(save("olmoe")), load_selector(tmp_path / "selector"), 0.0)


def test_how_many_trash_experts_is_a_parameter(save, make_params, tmp_path):
    convert(make_params("trash_can", save("olmoe"), trash_experts=5), 0, tmp_path / "selector")
    model = load_selector(tmp_path / "selector")
    assert model.config.trash_experts == 5
    assert model.model.layers[0].mlp.gate.trash_router.weight.shape == (5, 32)


@pytest.mark.parametrize("family", ["trash_can", "stock_moe", "quality_gate"])
def test_trained_tensors_alone_lie_over_a_mixtral_whose_files_name_them_otherwise(save, make_params, tmp_path, family):
    convert(make_params(family, save("mixtral")), 0, tmp_path / "selector")
    model = load_selector(tmp_path / "selector")
    router = "model.layers.1.mlp.gate.weight"
    moved = {name: tensor + 0.25 for name, tensor in model.state_dict().items() if name == router or "_gate." in name}
    save_trained_only(model, moved, TOKENIZER, tmp_path / "warmed/epoch_1", "../../selector")
    warmed, asked = tmp_path / "warmed/epoch_1", (save("mixtral"), None)
    for survey in (
        survey_files(*asked, warmed, "auto", 0.0),
        survey_models(*asked, warmed, "auto", torch.device("cpu"), 0.0),
    ):
        assert survey.strays == []
        ((name, difference),) = survey.largest()
        assert name.endswith("layers.1.mlp.gate.weight") or name.endswith("layers.1.block_sparse_moe.gate.weight")
        assert difference == pytest.approx(0.25, rel=1e-5)
