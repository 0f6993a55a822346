"""The unmodified mixture of experts as a selector: the base itself, with a mark."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from mygo.errors import UserError
from mygo.models import from_base, load_base, load_selector, routing_parameters
from mygo.models.checkpoints import load_checkpoint, save_trained_only
from mygo.models.terms import Term, total
from tests.tiny_decoders import MOE, saver


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    return saver(tmp_path_factory.mktemp("bases"))


def test_the_files_are_the_bases_but_for_the_mark(save, tmp_path, read_tensors):
    for name in sorted(MOE):
        base, out = Path(save(name)), tmp_path / name
        from_base("stock_moe", str(base)).save_pretrained(out)
        before, after = read_tensors(base), read_tensors(out)
        assert before.keys() == after.keys()
        assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
        configs = [json.loads((folder / "config.json").read_text()) for folder in (base, out)]
        added = {"selector_family": "stock_moe", "enable_load_balancing": False}
        assert configs[1] == configs[0] | added


def test_the_library_loads_it_as_the_base(save, tmp_path, tokens):
    from_base("stock_moe", save("olmoe")).save_pretrained(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(plain).__module__.startswith("transformers.")
    assert torch.equal(plain(tokens).logits, load_base(save("olmoe")).eval()(tokens).logits)


def test_a_base_without_the_mark_is_no_selector(save):
    with pytest.raises(UserError, match="got a model of type olmoe, which is no selector"):
        load_selector(save("olmoe"))


@pytest.mark.parametrize("balance", [False, True])
def test_the_loss_is_that_of_the_language_model_and_of_load_balancing(save, tokens, balance):
    model, base = from_base("stock_moe", save("olmoe")).eval(), load_base(save("olmoe")).eval()
    model.config.enable_load_balancing = balance
    out = model(tokens, labels=tokens)
    expected = base(tokens, labels=tokens, output_router_logits=balance)
    torch.testing.assert_close(out.loss, expected.loss)
    assert (out.load_balancing_loss is not None) == balance
    assert out.quality_loss is out.constraint_loss is out.good_ratio is None


def test_a_checkpoint_of_the_routers_alone_lies_over_the_selector(save, tmp_path, tokens):
    model = from_base("stock_moe", save("qwen3_moe_mixed")).eval()
    model.save_pretrained(tmp_path / "selector")
    names = routing_parameters(model)
    assert names == ["model.layers.0.mlp.gate.weight"]
    for name in names:
        model.get_parameter(name).data += 0.3
    expected = model(tokens).logits

    class Tokenizer:
        def save_pretrained(self, folder):
            pass

    state = {name: model.get_parameter(name).data for name in names}
    save_trained_only(model, state, Tokenizer(), tmp_path / "warmed/epoch_1", "../../selector")
    again = load_checkpoint(tmp_path / "warmed/epoch_1", torch.float32).eval()
    torch.testing.assert_close(again(tokens).logits, expected, atol=1e-5, rtol=0)


def test_terms_add_up_with_their_weights():
    terms = {"a": Term(torch.tensor(2.0)), "b": Term(torch.tensor(3.0, dtype=torch.float64), 0.5)}
    assert total(terms).item() == 3.5
    assert total(terms).dtype == torch.float32
