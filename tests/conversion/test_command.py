"""`python -m mygo.conversion`: equal or not, what differs, and what it cannot use."""

import math
import subprocess
import sys

import pytest
import torch
from transformers import AutoTokenizer

import mygo.conversion.__main__ as command
from mygo.conversion.convert import convert
from mygo.conversion.survey import Survey
from mygo.models import load_selector
from mygo.models.checkpoints import save_trained_only


@pytest.fixture
def selector(case, make_params, tmp_path):
    convert(make_params(case.family, case.base), 0, tmp_path / "selector")
    return tmp_path / "selector"


@pytest.fixture
def run(monkeypatch, capsys):
    """Exit status, what was printed, and the error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mygo.conversion", *map(str, arguments)])
        status = 0
        try:
            command.main()
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.mark.parametrize("flags", [[], ["--memory-efficient"], ["--dtype", "bfloat16"], ["--device", "cpu"]])
def test_a_selector_as_convert_left_it_is_its_base_and_gates(case, selector, run, flags):
    status, out, err = run(case.base, selector, *flags)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"converted: a model of type {case.family}")
    assert lines[1].endswith(" compared, 0 not equal, 0 beyond the tolerance of 0")
    assert lines[-2] == (
        "logits: not compared" if "--memory-efficient" in flags else
        "logits: differ by 0 at most, with nothing going to trash"
    )  # fmt: skip
    assert lines[-1] == "equal: the converted model is its base and what was added"


def moved(selector, folder, changes, trained_only=False):
    """A checkpoint of the selector in which these tensors are moved by so much."""
    model = load_selector(selector)
    state = model.state_dict()
    for name, by in changes.items():
        state[name] += by
    if trained_only:
        tokenizer = AutoTokenizer.from_pretrained(selector)
        save_trained_only(model, {name: state[name] for name in changes}, tokenizer, folder, "../selector")
    else:
        model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("trained_only", [False, True])
@pytest.mark.parametrize("flags", [[], ["--memory-efficient"]])
def test_after_a_warm_up_what_differs_is_named(case, selector, tmp_path, run, flags, trained_only):
    router = "mlp.gate.weight" if case.family == "select_moe" else "self_attn.q_proj.weight"
    changes = {f"model.layers.{layer}.{router}": 0.25 * (layer + 1) for layer in (0, 1)}
    changes["model.layers.0.mlp.quality_gate.weight"] = 1.0  # added, and not the base's
    warmed = moved(selector, tmp_path / "warmed", changes, trained_only=trained_only)
    status, out, err = run(case.base, warmed, *flags)
    assert status == 1
    first, second = f"model.layers.1.{router}", f"model.layers.0.{router}"
    assert f"  {first} differs by 0.5\n  {second} differs by 0.25\n" in out
    assert err.startswith(f"error: {warmed}: not {case.base} and what was added: 2 of ")
    assert err.endswith(f" tensors differ ({first}, {second})\n")
    status, out, err = run(case.base, warmed, *flags, "--tolerance", "0.51")
    assert (status, err) == (0, "")
    assert "2 not equal, 0 beyond the tolerance of 0.51" in out


def test_gates_alone_may_be_trained(case, selector, tmp_path, run):
    warmed = moved(selector, tmp_path / "warmed", {"model.layers.0.mlp.quality_gate.weight": 1.0})
    assert run(case.base, warmed)[0] == 0


@pytest.mark.parametrize("flags", [[], ["--memory-efficient"]])
def test_another_base_has_tensors_of_its_own(bases, case, selector, run, flags):
    other = bases["qwen2"]
    status, out, err = run(other, selector, *flags)
    assert status == 1
    assert "tensors are in one of the two models only (model.layers.0." in err
    assert "logits: not compared" in out


@pytest.mark.parametrize(
    ("base", "converted", "flags", "sentence"),
    [
        ("nowhere/at/all", "selector", [], "error: BASE: got nowhere/at/all, which does not exist; takes a folder"),
        ("base", "nothing", [], "nothing: no selector is here; run the convert and warmup stages first"),
        ("base", "base", [], "which is no selector; takes one that the convert or warmup stage wrote"),
        ("base", "base", ["--memory-efficient"], "which is no selector; takes one"),
        ("base", "selector", ["--device", "nodevice"], "error: --device: got nodevice, which is not here; takes cpu"),
        ("base", "selector", ["--device", "meta"], "error: --device: got meta, which is not here; takes cpu"),
    ],
)
def test_what_it_cannot_use_is_one_sentence(case, selector, run, base, converted, flags, sentence):
    known = {"base": case.base, "selector": selector}
    status, out, err = run(known.get(base, base), known.get(converted, converted), *flags)
    assert (status, out) == (1, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("tolerance", ["-1", "nan", "inf", "much"])
def test_a_tolerance_is_a_number_from_0(run, tolerance):
    status, _, err = run("base", "selector", "--tolerance", tolerance)
    assert status == 2
    assert f"argument --tolerance: got '{tolerance}'; takes a number from 0" in err


def test_nan_is_the_largest_difference():
    survey = Survey("a", torch.float32, {"x": 0.5, "y": math.nan, "z": 0.0}, [], 0.0, 1.0)
    assert [name for name, _ in survey.largest()] == ["y", "x"]
    assert survey.refusal() == "1 of 3 tensors differ (y)"


def test_logits_that_differ_though_all_tensors_agree_are_refused():
    assert Survey("a", torch.float32, {"x": 0.0}, [], 1e-6, 0.0).refusal() is None
    assert (
        Survey("a", torch.float32, {"x": 0.0}, [], 0.5, 0.0).refusal()
        == "all tensors agree, and the logits differ by 0.5; 1e-05 is allowed"
    )
    assert Survey("a", torch.bfloat16, {"x": 0.0}, [], 0.005, 0.0).refusal() is None


def test_help_says_what_it_is_for():
    done = subprocess.run(
        [sys.executable, "-m", "mygo.conversion", "--help"], capture_output=True, text=True, check=True
    )
    for word in ("BASE CONVERTED", "--device", "--dtype", "--tolerance", "--memory-efficient", "Exit status 0"):
        assert word in done.stdout
