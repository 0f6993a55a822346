"""A warmed selector says, as its base, what the base model in its own folder says."""

from contextlib import suppress

import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM, AutoTokenizer

from mygo.errors import UserError
from mygo.models import from_base
from mygo.models.base_weights import BaseWeights
from mygo.models.checkpoints import load_checkpoint, save_checkpoint
from mygo.models.gate import gated_blocks
from mygo.params import WarmupParams
from mygo.runtime import Runtime
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import RowSize
from mygo.training.warmup import warm_up

LENGTHS = [30, 12, 12, 7, 2, 1]
SMALL = {"epochs": 1, "batch_size": 8, "micro_batch_size": 8, "max_length": 32, "learning_rate": 0.05}


@pytest.fixture
def selector(case, tmp_path):
    """A selector as convert writes it, with noise in place of the experts, which a base knows nothing of."""
    model = from_base(case.family, str(case.base), quality_gate_init_std=1.0, trash_expert_mode="noise")
    folder = tmp_path / "data/selector"
    save_checkpoint(model, model.state_dict(), AutoTokenizer.from_pretrained(case.base), folder)
    return folder


@pytest.fixture
def warmed(selector, tmp_path, conversations, write_pool_of):
    """Warms the selector up and returns the checkpoint of the epoch."""
    root = OmegaConf.load(__file__.rsplit("/tests/", 1)[0] + "/params.yaml")

    def run(**changes):
        params = WarmupParams.model_validate({**OmegaConf.to_container(root)["warmup"], **SMALL, **changes})
        pool = write_pool_of(tmp_path / "pool", conversations[:16])
        cpu = Runtime(torch.device("cpu"), torch.float32, 0, 1)
        warm_up(params, cpu, 0, selector, pool, tmp_path / "data/warmed", tmp_path / "plots")
        return tmp_path / "data/warmed/epoch_1"

    return run


def texts():
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(2, 64, (length,), generator=generator) for length in LENGTHS]
    return ids, [torch.arange(length) >= length // 2 for length in LENGTHS]


def nlls(engine: Engine) -> list[torch.Tensor]:
    """Per-token NLL of each sample."""
    found = {}
    for members, row in engine.score(*texts()):
        assert (row.gate_LN is None) is not engine.says.gates
        found |= dict(zip(members, row.one_by_one([LENGTHS[i] for i in members]), strict=True))
    return [found[i].nll_M for i in range(len(LENGTHS))]


def far(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True) if len(a))


@pytest.mark.parametrize(
    ("trainable", "save", "part"),
    [("full_rank", "complete", "mlp.gate"), ("lora", "complete", "self_attn"), ("lora", "trained_only", "self_attn")],
)
def test_the_nll_of_the_base_is_that_of_the_base_model(case, selector, warmed, trainable, save, part):
    model = load_checkpoint(warmed(trainable=trainable, save=save), torch.float32)
    base = BaseWeights.of(model, selector)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    changed = [names[id(parameter)] for parameter, _ in base.changed]
    dense = case.family == "quality_gate" and trainable == "full_rank"  # gates alone, which a base does not have
    assert (changed == []) if dense else (changed and all(part in name for name in changed))
    engine = Engine(model, 48, RowSize(64), "collect", base)
    assert engine.self_test(*texts()) < 1
    plain = AutoModelForCausalLM.from_pretrained(case.base).eval()
    expected = []
    for ids in texts()[0]:
        with torch.no_grad():
            logits = plain(ids[None]).logits[0, :-1]
        expected.append(torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none"))
    before = nlls(engine)
    with engine.as_base():
        assert far(nlls(engine), expected) < 1e-5
    assert far(before, expected) > 1e-3  # the gates, and what warm-up changed, do matter
    assert far(nlls(engine), before) == 0  # and are back


def test_gates_are_not_computed_and_all_is_put_back_after_an_error(case, selector, warmed):
    model = load_checkpoint(warmed(trainable="lora"), torch.float32)
    base = BaseWeights.of(model, selector)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}

    def no_gate(*_):
        raise AssertionError("a gate is computed")

    for block in gated_blocks(model).values():
        block.quality_gate.register_forward_hook(no_gate)
        block.trash_expert.register_forward_hook(no_gate)
    engine = Engine(model, 48, RowSize(64), "collect", base)
    with suppress(ZeroDivisionError), engine.as_base():
        nlls(engine)
        raise ZeroDivisionError
    assert engine.says.gates
    assert not [block for block in gated_blocks(model).values() if "forward" in vars(block)]
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def test_a_selector_of_another_shape_is_refused(case, selector, tmp_path):
    model = load_checkpoint(selector, torch.float32)
    model.lm_head.weight = torch.nn.Parameter(torch.zeros(65, 32))
    if case.family == "quality_gate":  # tied: the head is no parameter of its own
        model.model.embed_tokens.weight = model.lm_head.weight
    with pytest.raises(UserError, match="not the selector that was warmed up, which has another "):
        BaseWeights.of(model, selector)
    with pytest.raises(UserError, match="no selector is here"):
        BaseWeights.of(model, tmp_path / "nowhere")


def test_a_model_without_gates_is_its_own_base(case):
    engine = Engine(AutoModelForCausalLM.from_pretrained(case.base), 48, RowSize(64), "collect")
    before = nlls(engine)
    with engine.as_base():
        assert far(nlls(engine), before) == 0
