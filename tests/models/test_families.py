"""Every family on a tiny base of every architecture: what the library offers works, and open gates are the base."""

import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from mygo.conversion.parity import gates_held_open
from mygo.errors import UserError
from mygo.models import from_base, load_base, load_selector, records, routing_parameters
from mygo.models.gate import gated_blocks
from mygo.params.families import selector_type
from tests.tiny_decoders import DECODERS, MOE, ROUTED, saver

FAMILIES = [("quality_gate", name) for name in DECODERS] + [
    (family, name) for family in ("trash_can", "stock_moe") for name in sorted(MOE)
]


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    return saver(tmp_path_factory.mktemp("bases"))


@pytest.fixture(params=FAMILIES, ids="-".join)
def case(request):
    return request.param


@pytest.fixture
def model(case, save):
    """Gates of 0.5 rather than 0.02: they are closed to some tokens and open to others."""
    return from_base(case[0], save(case[1]), quality_gate_init_std=0.5).eval()


def layers_of(case, key):
    """Places in `router_logits`, and the places among the layers that have a router."""
    family, name = case
    routed = ROUTED.get(name, [])
    if family == "quality_gate":
        return [0, 1] if key == "quality_score" else routed
    return list(range(len(routed))) if key == "moe_logits" else []


def test_open_gates_and_shut_trash_are_the_base(case, model, save, tokens):
    base = load_base(save(case[1])).eval()
    expected = base(tokens).logits
    with gates_held_open(model):
        torch.testing.assert_close(model(tokens).logits, expected, atol=1e-5, rtol=0)
    unlike = (model(tokens).logits - expected).abs().max()
    assert (unlike == 0) if case[0] == "stock_moe" else (unlike > 1e-2)


def test_the_base_keeps_its_tensors_and_their_names(case, model, save):
    base, own = load_base(save(case[1])).state_dict(), model.state_dict()
    added = {"quality_gate": ".quality_gate.weight", "trash_can": ".trash_router.weight", "stock_moe": "none"}[case[0]]
    assert {name for name in own if added not in name} == set(base)
    assert all(torch.equal(own[name], tensor) for name, tensor in base.items())
    many = {"quality_gate": 2, "trash_can": len(ROUTED.get(case[1], [])), "stock_moe": 0}[case[0]]
    assert len([name for name in own if added in name]) == many


def test_what_was_saved_is_loaded_again_by_everybody(case, model, tokens, tmp_path):
    model.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).model_type == selector_type(case[0], DECODERS[case[1]][0])
    expected = model(tokens).logits
    for load in (AutoModelForCausalLM.from_pretrained, load_selector):
        again, info = load(tmp_path, output_loading_info=True)
        assert not any(info.values())
        torch.testing.assert_close(again.eval()(tokens).logits, expected, atol=1e-5, rtol=0)
    assert type(load_selector(tmp_path)) is type(model)
    assert type(AutoModel.from_pretrained(tmp_path)) is type(model.get_decoder())


def test_left_padding_changes_nothing(model, tokens):
    padded, mask = (torch.nn.functional.pad(x, (3, 0)) for x in (tokens, torch.ones_like(tokens)))
    alone = model(tokens, labels=tokens)
    labels = padded.masked_fill(mask == 0, -100)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    beside = model(padded, attention_mask=mask, labels=labels, position_ids=positions)
    torch.testing.assert_close(beside.logits[:, 3:], alone.logits, atol=1e-4, rtol=0)
    for name in {"quality_loss", "constraint_loss", "good_ratio"} & set(alone):
        torch.testing.assert_close(beside[name], alone[name], atol=1e-4, rtol=0)


def test_generate_follows_the_greedy_path_with_and_without_padding(model, tokens):
    path = model.generate(tokens[:1], max_new_tokens=4, do_sample=False, eos_token_id=None)
    for end in range(7, 11):
        logits = model(path[:, :end], use_cache=False).logits[0, -1]
        assert logits[path[0, end]] > logits.max() - 1e-4
    padded, mask = (torch.nn.functional.pad(x, (2, 0)) for x in (tokens[:1], torch.ones_like(tokens[:1])))
    left = model.generate(padded, attention_mask=mask, max_new_tokens=4, do_sample=False, eos_token_id=None)
    assert torch.equal(left[:, 9:], path[:, 7:])


def test_non_reentrant_checkpointing_keeps_the_gradient_of_everything_that_routes(model, tokens):
    names = routing_parameters(model)
    gradients = []
    for checkpointing in (False, True):
        model.train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        model(tokens, labels=tokens, use_cache=False).loss.backward()
        gradients.append([dict(model.named_parameters())[name].grad.clone() for name in names])
    assert names
    assert all(gradient.abs().max() > 0 for gradient in gradients[0])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


def test_layers_say_what_they_have(case, model, tokens):
    said = model(tokens, output_router_logits=True).router_logits
    for key in ("quality_score", "moe_logits"):
        assert [i for i, layer in enumerate(said) if key in layer] == layers_of(case, key)
    experts = 6 if case[0] == "trash_can" else 4
    assert all(layer["moe_logits"].shape == (14, experts) for layer in said if "moe_logits" in layer)
    assert all(layer["quality_score"].shape == (2, 7, 1) for layer in said if "quality_score" in layer)
    assert model(tokens).router_logits is None


def test_what_a_model_records_is_asked_of_it(case, model):
    says, routed = records(model), case[1] in ROUTED
    assert (says.gates, says.routers) == (case[0] == "quality_gate", routed)
    assert says.hidden == (says.gates and not routed)
    assert (says.trash_experts, says.experts_per_token) == (2 * (case[0] == "trash_can"), 2 * routed)


def test_routing_parameters_are_what_routes(case, model):
    names = routing_parameters(model)
    routers = len(ROUTED.get(case[1], []))
    expected = {"quality_gate": 2 + routers, "trash_can": 2 * routers, "stock_moe": routers}[case[0]]
    assert len(names) == len(set(names)) == expected
    assert all(name in dict(model.named_parameters()) for name in names)


@pytest.mark.parametrize("mode", ["noise", "batch_noise", "low_rank", "custom"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "phi", "qwen3_moe_mixed"])
def test_every_trash_expert_stands_beside_every_kind_of_block(save, tokens, tmp_path, name, mode):
    module = "torch.nn:Identity" if mode == "custom" else None
    model = from_base("quality_gate", save(name), trash_expert_mode=mode, trash_expert_module=module).eval()
    base = load_base(save(name)).eval()
    with gates_held_open(model):
        torch.testing.assert_close(model(tokens).logits, base(tokens).logits, atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(load_selector(tmp_path)(tokens).logits, model(tokens).logits, atol=1e-5, rtol=0)


def test_dense_layers_beside_sparse_ones_are_gated_alike(save):
    blocks = list(gated_blocks(from_base("quality_gate", save("qwen3_moe_mixed"))).values())
    assert [type(block).__name__ for block in blocks] == ["GatedQwen3MoeSparseMoeBlock", "GatedQwen3MoeMLP"]


@pytest.mark.parametrize("family", ["quality_gate", "trash_can", "stock_moe"])
@pytest.mark.parametrize("name", sorted(MOE))
def test_experts_run_grouped_by_default(save, family, name):
    assert from_base(family, save(name)).config._experts_implementation == "grouped_mm"


@pytest.mark.parametrize(
    ("kind", "sizes", "why"),
    [
        (
            "opt",
            {"ffn_dim": 32, "word_embed_proj_dim": 32},
            "got a OPTModel, which cannot be gated: it has no list of 2 layers",
        ),
        (
            "bloom",
            {"n_layer": 2, "n_head": 4},
            "got a BloomModel, which cannot be gated: its BloomMLP takes more than the hidden state",
        ),
        (
            "falcon",
            {},
            "got a FalconModel, which cannot be gated: transformers records nothing of what its modules say",
        ),
        (
            "phimoe",
            {"num_local_experts": 4, "num_key_value_heads": 4, "intermediate_size": 16},
            "got a PhimoeModel, which cannot be gated: transformers' rule for the names in its files takes gates for "
            "routers",
        ),
        (
            "mamba",
            {"state_size": 4},
            "got a MambaModel, which cannot be gated: its MambaBlock has no feed-forward block (mlp, feed_forward, "
            "block_sparse_moe, moe, ffn)",
        ),
    ],
)
def test_a_decoder_without_a_block_that_can_be_gated_is_refused(tmp_path, kind, sizes, why):
    shape = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(shape | sizes))).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"^convert\.base_model: got a \w+Model, which cannot be gated: ") as error:
        from_base("quality_gate", str(tmp_path))
    assert why in str(error.value)
    assert "takes olmoe for select_moe" in str(error.value)


def test_a_process_that_made_no_family_imports_none_and_knows_all(save, tmp_path):
    from_base("quality_gate", save("llama")).save_pretrained(tmp_path)
    code = (
        "import sys, mygo.models; from transformers import AutoModelForCausalLM; "
        "print([kind for kind in ('llama', 'gemma2', 'qwen3_moe', 'mixtral', 'phi') "
        "if f'transformers.models.{kind}.modeling_{kind}' in sys.modules]); "
        "print(type(AutoModelForCausalLM.from_pretrained(sys.argv[1])).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nQualityGateLlamaForCausalLM\n"
