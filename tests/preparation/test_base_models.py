"""The mini world's base models: packing keeps documents apart, training learns and repeats, the folders load."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, OlmoeForCausalLM, Qwen3ForCausalLM

from mygo.data.mini_world import MiniWorld, build
from mygo.params import MiniWorldParams
from mygo.preparation.base_models import BASE_MODELS, IGNORED, build_base_models, in_rows
from mygo.preparation.tokenizer import train_tokenizer

STEPS = 24


@pytest.fixture(scope="module")
def world() -> MiniWorld:
    return build(MiniWorldParams(facts=64, samples=100, corrupted=0.5, known=0.5, pretrain_steps=STEPS), seed=0)


@pytest.fixture(scope="module")
def built(world: MiniWorld, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, float]]]:
    folder = tmp_path_factory.mktemp("data") / "base"
    return folder, build_base_models(world, folder, seed=0, steps=STEPS)


def test_rows_hold_whole_documents_and_labels_leave_out_their_first_tokens():
    packed = in_rows([[5, 6, 7], [8, 9], [10, 11, 12, 13, 14, 15]], length=5, pad=1)
    assert packed["input_ids"].tolist() == [[5, 6, 7, 8, 9], [10, 11, 12, 13, 14]]
    assert packed["position_ids"].tolist() == [[0, 1, 2, 0, 1], [0, 1, 2, 3, 4]]
    assert packed["labels"].tolist() == [[IGNORED, 6, 7, IGNORED, 9], [IGNORED, 11, 12, 13, 14]]
    padded = in_rows([[5, 6, 7], [8, 9, 10]], length=5, pad=1)
    assert padded["input_ids"].tolist() == [[5, 6, 7, 1, 1], [8, 9, 10, 1, 1]]
    assert padded["labels"].tolist() == [[IGNORED, 6, 7, IGNORED, IGNORED], [IGNORED, 9, 10, IGNORED, IGNORED]]


@pytest.mark.parametrize("name", BASE_MODELS)
def test_documents_of_a_row_do_not_see_each_other(name: str, world: MiniWorld):
    torch.manual_seed(0)
    model = BASE_MODELS[name](train_tokenizer(world.corpus())).eval()
    documents = [[5, 6, 7, 8], [9, 10, 11, 12, 13], [14, 15]]
    with torch.no_grad():
        packed = model(**in_rows(documents, 12, pad=1), use_cache=False).logits[0]
        alone = torch.cat([model(input_ids=torch.tensor([document])).logits[0] for document in documents])
    torch.testing.assert_close(packed[:11], alone, atol=1e-5, rtol=1e-5)


def test_the_loss_falls_and_is_reported(built: tuple[Path, dict[str, dict[str, float]]]):
    _, report = built
    assert list(report) == ["olmoe", "qwen3"]
    for row in report.values():
        assert row["loss_last"] < row["loss_first"] - 0.1
        assert all(value == round(value, 4) for value in row.values())
    assert 800_000 < report["qwen3"]["parameters"] < 1_000_000


@pytest.mark.parametrize(("name", "cls"), [("olmoe", OlmoeForCausalLM), ("qwen3", Qwen3ForCausalLM)])
def test_folders_load_without_a_network_and_have_learnt(
    name: str,
    cls: type,
    built: tuple[Path, dict[str, dict[str, float]]],
    world: MiniWorld,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder, report = built
    model, loading = AutoModelForCausalLM.from_pretrained(folder / name, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(folder / name)
    assert isinstance(model, cls)
    assert not any(loading.values())
    assert sorted(path.name for path in (folder / name).iterdir() if path.suffix == ".safetensors") == [
        "model.safetensors"
    ]
    assert (model.config.eos_token_id, model.config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    packed = in_rows(tokenizer(world.corpus()[:100])["input_ids"], 256, tokenizer.pad_token_id)
    with torch.no_grad():
        assert model(**packed, use_cache=False).loss.item() < report[name]["loss_first"] - 0.1


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads(
    world: MiniWorld, built: tuple[Path, dict[str, dict[str, float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "old").touch()
    folder, report = built
    assert build_base_models(world, tmp_path / "base", seed=0, steps=STEPS) == report
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(
        path.relative_to(tmp_path / "base") for path in (tmp_path / "base").rglob("*") if path.is_file()
    )
    assert all((folder / file).read_bytes() == (tmp_path / "base" / file).read_bytes() for file in files)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_failure_leaves_nothing_behind(world: MiniWorld, tmp_path: Path):
    with pytest.raises(TypeError):
        build_base_models(world, tmp_path / "base", seed=0, steps="many", names=["qwen3"])  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
