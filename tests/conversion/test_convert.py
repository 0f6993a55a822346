"""The convert stage: what it writes, that it checks itself, and that the check can fail."""

import hashlib
import shutil

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

import mygo.conversion.convert
from mygo.conversion.convert import convert
from mygo.conversion.parity import compare_files, compare_models
from mygo.errors import UserError
from mygo.models import load_base, load_selector


def fuse_experts(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One tensor per expert -> gate_up_proj [E, 2I, D] and down_proj [E, D, I], as OLMoE holds them in memory."""
    fused = {name: tensor for name, tensor in tensors.items() if ".experts." not in name}
    for layer in (0, 1):
        prefix = f"model.layers.{layer}.mlp.experts"
        gate, up, down = (
            torch.stack([tensors[f"{prefix}.{expert}.{part}.weight"] for expert in range(4)])
            for part in ("gate_proj", "up_proj", "down_proj")
        )
        fused |= {f"{prefix}.gate_up_proj": torch.cat([gate, up], dim=1), f"{prefix}.down_proj": down}
    return fused


def change_one(folder, tensors, name, by):
    tensors[name] = tensors[name] + by
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_conversion_says_what_it_compared(case, make_params, tmp_path):
    metrics = convert(make_params(case.family, case.base), 0, tmp_path / "selector")
    base = load_base(str(case.base))
    assert metrics == {
        "parameters": base.num_parameters() + 64,
        "parity": True,
        "tensors_compared": len(base.state_dict()),
        "max_abs_difference": 0.0,
        "logits_max_abs_difference": 0.0,
    }
    assert AutoTokenizer.from_pretrained(tmp_path / "selector")("a a").input_ids == [2, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["selector"]


def test_the_same_seed_gives_the_same_bytes_and_another_other_gates(case, make_params, tmp_path):
    digests = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        torch.rand(len(name))  # the state of the global generator does not matter
        convert(make_params(case.family, case.base), seed, tmp_path / name)
        digests.append(
            {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()}
        )
    assert digests[0] == digests[1]
    assert {name for name in digests[0] if digests[0][name] != digests[2][name]} == {"model.safetensors"}
    assert str(case.base.parent) not in "".join(path.read_text() for path in (tmp_path / "one").glob("*.json"))


def test_gates_start_where_the_parameters_say(case, make_params, tmp_path, read_tensors):
    convert(
        make_params(case.family, case.base, quality_gate_init_mean=5.0, quality_gate_init_std=0.1),
        0,
        tmp_path / "selector",
    )
    gate = read_tensors(tmp_path / "selector")["model.layers.0.mlp.quality_gate.weight"]
    assert gate.mean().item() == pytest.approx(5.0, abs=0.1)
    assert 0.05 < gate.std().item() < 0.2
    assert load_selector(tmp_path / "selector").config.quality_gate_init_mean == 5.0


def test_files_hold_one_tensor_per_expert_as_on_the_hub(bases, make_params, tmp_path, read_tensors):
    """The base on disk has the hub's layout; conversion keeps it, and its experts are not random."""
    before = read_tensors(bases["olmoe"])
    assert "model.layers.1.mlp.experts.3.up_proj.weight" in before
    convert(make_params("select_moe", bases["olmoe"]), 0, tmp_path / "selector")
    after = read_tensors(tmp_path / "selector")
    assert set(after) - set(before) == {f"model.layers.{layer}.mlp.quality_gate.weight" for layer in (0, 1)}
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("memory_efficient", [False, True])
def test_a_base_with_fused_experts_in_its_files_converts_as_well(
    bases, make_params, tmp_path, read_tensors, memory_efficient
):
    base = shutil.copytree(bases["olmoe"], tmp_path / "fused")
    save_file(fuse_experts(read_tensors(base)), base / "model.safetensors", metadata={"format": "pt"})
    metrics = convert(make_params("select_moe", base, memory_efficient=memory_efficient), 0, tmp_path / "selector")
    assert metrics["max_abs_difference"] == 0.0
    per_expert = len(read_tensors(bases["olmoe"]))
    assert metrics["tensors_compared"] == (
        per_expert if memory_efficient else len(load_base(str(bases["olmoe"])).state_dict())
    )


def test_fused_and_separate_experts_compare_part_by_part(bases, make_params, tmp_path, read_tensors):
    convert(make_params("select_moe", bases["olmoe"]), 0, tmp_path / "selector")
    fused = shutil.copytree(bases["olmoe"], tmp_path / "fused")
    tensors = fuse_experts(read_tensors(fused))
    save_file(tensors, fused / "model.safetensors", metadata={"format": "pt"})
    assert compare_files(fused, tmp_path / "selector", torch.float32, False, 0.0).tensors == len(
        read_tensors(bases["olmoe"])
    )
    tensors["model.layers.1.mlp.experts.gate_up_proj"][2, 16, 0] += 1  # row 16 of 32 is the first of up_proj
    save_file(tensors, fused / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"model\.layers\.1\.mlp\.experts\.2\.up_proj\.weight differs by 1;"):
        compare_files(fused, tmp_path / "selector", torch.float32, False, 0.0)


def test_memory_efficient_compares_files_and_no_logits(case, make_params, tmp_path, monkeypatch, read_tensors):
    monkeypatch.setattr(mygo.conversion.convert, "load_base", None)  # the base is never loaded as a model of its own
    metrics = convert(make_params(case.family, case.base, memory_efficient=True), 0, tmp_path / "selector")
    assert metrics["logits_max_abs_difference"] is None
    assert metrics["tensors_compared"] == len(read_tensors(case.base))
    assert load_selector(tmp_path / "selector").config.model_type.startswith(case.family)


def test_memory_efficient_reads_sharded_files(case, make_params, tmp_path):
    load_base(str(case.base)).save_pretrained(tmp_path / "base", max_shard_size="8KB")
    for file in case.base.glob("tokenizer*"):
        shutil.copy(file, tmp_path / "base")
    assert len(list((tmp_path / "base").glob("*.safetensors"))) > 2
    metrics = convert(make_params(case.family, tmp_path / "base", memory_efficient=True), 0, tmp_path / "selector")
    assert metrics["tensors_compared"] > 20


@pytest.mark.parametrize("memory_efficient", [False, True])
def test_a_tied_base_may_store_its_output_layer_as_well(bases, make_params, tmp_path, read_tensors, memory_efficient):
    base = shutil.copytree(bases["qwen3"], tmp_path / "base")
    tensors = read_tensors(base)
    save_file(
        tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()},
        base / "model.safetensors",
        metadata={"format": "pt"},
    )
    assert (
        convert(make_params("quality_gate", base, memory_efficient=memory_efficient), 0, tmp_path / "selector")[
            "max_abs_difference"
        ]
        == 0.0
    )


def test_bfloat16_stays_bfloat16(case, bfloat16_base, make_params, tmp_path, read_tensors):
    metrics = convert(make_params(case.family, bfloat16_base), 0, tmp_path / "selector")
    assert {tensor.dtype for tensor in read_tensors(tmp_path / "selector").values()} == {torch.bfloat16}
    assert metrics["max_abs_difference"] == 0.0
    assert metrics["logits_max_abs_difference"] <= 1e-2


@pytest.mark.parametrize("memory_efficient", [False, True])
def test_a_dtype_that_was_asked_for_is_no_difference(case, make_params, tmp_path, memory_efficient, read_tensors):
    metrics = convert(
        make_params(case.family, case.base, dtype="bfloat16", memory_efficient=memory_efficient),
        0,
        tmp_path / "selector",
    )
    assert metrics["max_abs_difference"] == 0.0
    assert {tensor.dtype for tensor in read_tensors(tmp_path / "selector").values()} == {torch.bfloat16}


@pytest.mark.parametrize("mode", ["zero", "noise", "batch_noise", "low_rank", "expert_mean", "custom"])
def test_open_gates_equal_the_base_whatever_the_trash(case, make_params, tmp_path, mode):
    module = "torch.nn:Identity" if mode == "custom" else None
    params = make_params(case.family, case.base, trash_expert_mode=mode, trash_expert_module=module)
    if mode == "expert_mean" and case.family == "quality_gate":  # a dense block has one expert
        with pytest.raises(UserError, match=r"^convert\.trash_expert_mode: got expert_mean"):
            convert(params, 0, tmp_path / "selector")
        assert not (tmp_path / "selector").exists()
        return
    metrics = convert(params, 0, tmp_path / "selector")
    assert metrics["logits_max_abs_difference"] == 0.0
    assert load_selector(tmp_path / "selector").config.trash_expert_mode == mode


@pytest.mark.parametrize(
    "name", ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.{ffn}.weight", "model.embed_tokens.weight"]
)
@pytest.mark.parametrize("by", [0.01, float("nan")])
def test_one_changed_tensor_is_found_in_memory_and_in_files(case, make_params, tmp_path, read_tensors, name, by):
    name = name.format(ffn="experts.2.up_proj" if case.family == "select_moe" else "up_proj")
    selector = tmp_path / "selector"
    convert(make_params(case.family, case.base), 0, selector)
    change_one(selector, read_tensors(selector), name, by)
    base, changed = load_base(str(case.base)), load_selector(selector)
    tied = changed.config.tie_word_embeddings
    in_memory = name.replace("experts.2.up_proj.weight", "experts.gate_up_proj")
    with pytest.raises(UserError, match=f"(lm_head.weight|{in_memory}) differs by"):
        compare_models(base, changed, 0.0)
    with pytest.raises(UserError, match=f"{name} differs by"):
        compare_files(case.base, selector, torch.float32, tied, 0.0)
    if by == 0.01:
        assert compare_files(case.base, selector, torch.float32, tied, 0.011).max_abs_difference == pytest.approx(
            0.01, rel=1e-3
        )
        assert compare_models(base, changed, 0.011).logits_max_abs_difference > 0


def test_a_missing_or_added_tensor_is_found_in_files(case, make_params, tmp_path, read_tensors):
    selector = tmp_path / "selector"
    convert(make_params(case.family, case.base), 0, selector)
    tensors = read_tensors(selector)
    for changed in (
        {name: tensor for name, tensor in tensors.items() if name != "model.norm.weight"},
        tensors | {"model.extra.weight": torch.zeros(1)},
    ):
        save_file(changed, selector / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(UserError, match=r"model\.(norm|extra)\.weight is in one of the two models only"):
            compare_files(case.base, selector, torch.float32, True, 0.0)


def test_logits_that_differ_fail_though_all_tensors_agree(case, make_params, tmp_path):
    convert(make_params(case.family, case.base), 0, tmp_path / "selector")
    selector = load_selector(tmp_path / "selector")
    selector.model.layers[0].mlp.register_forward_hook(lambda _module, _args, out: out * 1.5)
    with pytest.raises(UserError, match="with the gates held open the logits differ by"):
        compare_models(load_base(str(case.base)), selector, 0.0)


@pytest.mark.parametrize("memory_efficient", [False, True])
def test_a_failing_conversion_leaves_nothing(case, make_params, tmp_path, monkeypatch, memory_efficient):
    from_base = mygo.conversion.convert.from_base

    def tampered(*args, **kwargs):
        model = from_base(*args, **kwargs)
        torch.nn.init.ones_(model.model.layers[0].self_attn.k_proj.weight)
        return model

    monkeypatch.setattr(mygo.conversion.convert, "from_base", tampered)
    with pytest.raises(UserError, match=r"k_proj\.weight differs by"):
        convert(make_params(case.family, case.base, memory_efficient=memory_efficient), 0, tmp_path / "selector")
    assert list(tmp_path.iterdir()) == []


def test_a_base_without_a_tokenizer_is_refused(case, make_params, tmp_path):
    base = shutil.copytree(case.base, tmp_path / "base", ignore=shutil.ignore_patterns("tokenizer*", "special*"))
    with pytest.raises(UserError, match=r"^convert\.base_model: .* has no tokenizer"):
        convert(make_params(case.family, base), 0, tmp_path / "selector")
    assert not (tmp_path / "selector").exists()
