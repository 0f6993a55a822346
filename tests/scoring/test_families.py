"""Rows of every family say what the library says of each sample alone, packed where attention can be, else padded."""

import pytest
import torch

from mygo.models import from_base, load_base, routing_parameters
from mygo.models.base_weights import BaseWeights
from mygo.scoring.engine import Engine
from mygo.scoring.nll import finish_of
from mygo.scoring.row_size import RowSize
from tests.tiny_decoders import DECODERS, MOE, ROUTED, saver, tiny

PADDED = {"gemma2"}  # whose attention caps its logits
FAMILIES = [("quality_gate", name) for name in DECODERS] + [
    (family, name) for family in ("trash_can", "stock_moe") for name in sorted(MOE)
]


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    return saver(tmp_path_factory.mktemp("bases"))


@pytest.fixture
def texts():
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(2, 64, (length,), generator=generator) for length in (30, 21, 21, 9, 2, 1)]
    return ids, [torch.arange(len(sample)) >= len(sample) // 2 for sample in ids]


@pytest.mark.parametrize(("family", "name"), FAMILIES, ids="-".join)
def test_the_self_test_passes_and_the_base_beside_it(save, texts, tmp_path, family, name):
    """The model as warm-up leaves it: everything that routes has moved."""
    model = from_base(family, save(name), quality_gate_init_std=0.5).eval()
    model.save_pretrained(tmp_path)
    generator = torch.Generator().manual_seed(2)
    for parameter in routing_parameters(model):
        own = model.get_parameter(parameter)
        own.data += 0.2 * torch.randn(own.shape, generator=generator)
    engine = Engine(model, 64, RowSize(64), "collect", BaseWeights.of(model, tmp_path), hidden_states=True)
    assert engine.self_test(*texts) < 0.7
    assert engine.packed == (name not in PADDED)
    row = engine.score(*texts)[0][1]
    experts, routed = 6 if family == "trash_can" else 4, len(ROUTED.get(name, []))
    widths = {field: value.shape[1] for field, value in vars(row).items() if value is not None and value.dim() > 1}
    gates = dict.fromkeys(("gate_mean_SL", "gate_weighted_SL", "gate_mean_answer_SL", "gate_weighted_answer_SL"), 2)
    assert widths == (
        (gates | {"gate_LN": row.gate_LN.shape[1]} if family == "quality_gate" else {})
        | ({"hidden_mean_SD": 32} if family == "quality_gate" and not routed else {})
        | (dict.fromkeys(("router_probs_S", "router_logits_S"), routed * experts) if routed else {})
        | ({"trash_mass_S": routed} if family == "trash_can" else {})
    )
    with engine.as_base():
        scored = engine.score(*texts)
    base = load_base(save(name)).eval()
    for members, row in scored:
        assert row.base_hidden_mean_SD.shape == (len(members), 32)
        for i, nll in zip(members, row.nll_S.tolist(), strict=True):
            if len(texts[0][i]) > 1:
                ids = texts[0][i]
                logits = base(ids[None]).logits[0, :-1]
                expected = torch.nn.functional.cross_entropy(logits, ids[1:]).item()
                assert nll == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_the_mass_that_stays_with_regular_experts_is_the_mean_over_all_tokens(save, texts):
    model = from_base("trash_can", save("olmoe"), quality_gate_init_std=0.3).eval()
    said = [model(ids[None], output_router_logits=True).router_logits for ids in texts[0]]
    engine = Engine(model, 64, RowSize(64), "collect")
    for members, row in engine.score(*texts):
        for i, mass_L in zip(members, row.trash_mass_S, strict=True):
            probs = [layer["moe_logits"].softmax(-1)[:, :4] for layer in said[i]]
            expected = torch.stack([p.sort(descending=True).values[:, :2].sum(1).mean() for p in probs])
            torch.testing.assert_close(mass_L, expected, atol=1e-5, rtol=0)


def test_a_plain_mixture_of_experts_records_its_routers_and_is_its_own_base(save, texts):
    engine = Engine(load_base(save("mixtral")), 64, RowSize(64), "collect")
    assert engine.self_test(*texts) < 0.5
    assert engine.score(*texts)[0][1].router_probs_S.shape[1] == 8
    with engine.as_base():
        assert engine.score(*texts)[0][1].router_probs_S is None


@pytest.mark.parametrize(
    ("config", "logits", "expected"),
    [
        ({}, 3.0, None),
        ({"final_logit_softcapping": 2.0}, 3.0, 2 * 0.9051483),  # 2 tanh(1.5)
        ({"logits_scaling": 4.0}, 3.0, 0.75),
        ({"logit_scale": 2.0, "final_logit_softcapping": None}, 3.0, 6.0),
        ({"logit_scale": 0.5, "final_logit_softcapping": 3.0}, 3.0, 3 * 0.4621172),  # 3 tanh(0.5)
    ],
)
def test_what_a_family_makes_of_its_logits(config, logits, expected):
    model = tiny("llama")
    for key, value in config.items():
        setattr(model.config, key, value)
    finish = finish_of(model.config)
    if expected is None:
        assert finish is None
    else:
        assert finish(torch.tensor(logits)).item() == pytest.approx(expected, rel=1e-5)
