"""A score that the statistics will not allow is refused before the first stage."""

import pytest

from mygo.launch.preflight import preflight
from tests.launch.test_later_stages import UNGATED, WARMED, refused, root
from tests.launch.test_preflight import params_with

__all__ = ["root"]


def test_perplexity_needs_the_base(root):
    given = {"select__score": "perplexity", "select__strategy": "random", "collect__base_nll": False}
    for model, named in ((None, "convert.family=select_moe"), (WARMED, f"collect.base_model={WARMED}")):
        assert refused(root, **given, collect__base_model=model) == (
            "select.score: got perplexity, which is made of the NLL of the base model without gates, and what collect "
            f"records with {named} holds none; set collect.base_nll to true, or take "
            "quality, weighted, normalized, raw, expert_logits, trash_mass, length, random, dsir, external, combine"
        )
    for model in ("data/base/qwen3", "qwen3", "gpt2"):
        preflight(params_with(root, **given, collect__base_model=model), root)
    preflight(params_with(root, **given | {"collect__base_nll": True}), root)


def test_gate_scores_need_gates(root):
    for model in ("data/base/qwen3", "qwen3"):
        assert refused(root, collect__base_model=model) == (
            "select.score: got quality, which is made of quality gates, and what collect records with "
            f"collect.base_model={model} holds none; take perplexity, answer_nll, length, random, dsir, "
            "external, combine"
        )
        preflight(params_with(root, collect__base_model=model, select__strategy="random"), root)
        preflight(params_with(root, collect__base_model=model, select__score="length"), root)
    for model in ("data/selector", WARMED, "select_moe", "quality_gate_qwen3", "Some/Hub-Model"):
        preflight(params_with(root, collect__base_model=model, collect__base_nll=False), root)


def test_scores_need_what_the_selector_records(root):
    for score, dense in (("expert_logits", "routers"), ("trash_mass", "routers")):
        given = {"select__score": score}
        preflight(params_with(root, **given), root)
        family = {"convert__family": "quality_gate", "convert__base_model": "data/base/qwen3"}
        assert f"got {score}, which is made of {dense}, and " in refused(root, **given, **family)
    assert "set collect.answer_alone to true, or take quality" in refused(root, select__score="ifd")
    preflight(params_with(root, select__score="ifd", collect__answer_alone=True), root)
    parts = [{"score": "quality"}, {"score": "ifd"}]
    combined = {"select__score": "combine", "select__combine": parts}
    assert refused(root, **combined).startswith("select.combine: got ifd, which is made of the base's NLL of answers ")


def test_a_file_of_scores_must_be_there(root):
    given = {"select__score": "external", "select__external__path": "own.csv"}
    assert refused(root, **given) == (
        "select.external.path: got own.csv; takes a file that is there (CSV, TSV, JSONL, Parquet)"
    )
    (root / "own.csv").write_text("id,score\n")
    preflight(params_with(root, **given), root)


@pytest.mark.parametrize("model", ["data/selector", WARMED, "select_moe"])
@pytest.mark.parametrize("key", ["base_nll", "answer_alone", "hidden_states"])
def test_a_selector_named_as_base_model_has_no_base_beside_it(root, model, key):
    given = {"collect__base_nll": False, "collect__base_model": model} | {f"collect__{key}": True}
    assert refused(root, **given) == (
        f"collect.{key}: got true with collect.base_model={model}, a selector, whose base is not known; takes false, "
        "or collect.base_model null with an epoch in collect.checkpoint"
    )
    preflight(params_with(root, **given | UNGATED, select__score="length"), root)


def test_a_score_towards_a_reference_set_needs_one(root):
    given = {"select__score": "dsir", "prepare__reference__source": "none"}
    assert refused(root, **given).startswith(
        "select.score: got dsir, which is made of a reference set, and what collect records with "
        "convert.family=select_moe holds none; set prepare.reference.source to benchmark, local or hub, or take "
    )
    preflight(params_with(root, **given | {"prepare__reference__source": "benchmark"}), root)
    assert "hidden states, and what " in (sentence := refused(root, select__score="rds"))
    assert "set collect.hidden_states to true, or take quality" in sentence
    preflight(params_with(root, select__score="rds", collect__hidden_states=True), root)


def test_an_alpha_between_needs_tokens(root):
    given = {"select__alpha": 0.5, "collect__tokens": False}
    sentence = "select.alpha: got 0.5, which needs the token level; set collect.tokens to true, or take 0 or 1"
    for score in ("quality", "weighted"):
        assert refused(root, **given, select__score=score, select__strategy="random") == sentence
    for changes in (
        {"select__score": "normalized"},
        {"select__score": "length"},
        {"select__alpha": 0.0},
        {"select__alpha": 1.0},
        {"collect__tokens": True},
        {"select__strategy": "full", **UNGATED},
    ):
        preflight(params_with(root, **given | changes), root)


@pytest.mark.parametrize("family", ["trash_can", "stock_moe"])
@pytest.mark.parametrize("base_model", [None, WARMED])
def test_a_family_without_gates_has_no_score_of_gates(root, family, base_model):
    given = {"convert__family": family, "collect__base_model": base_model, "collect__base_nll": base_model is None}
    assert refused(root, **given).startswith("select.score: got quality, which is made of quality gates, and what ")
    for score in ("length", "expert_logits"):
        preflight(params_with(root, **given, select__score=score), root)
    no_base = given | {"collect__base_nll": False}
    assert refused(root, **no_base, select__score="perplexity").startswith("select.score: got perplexity, which is ")


def test_features_are_those_that_the_selector_records(root):
    dense = {"convert__family": "quality_gate", "convert__base_model": "data/base/qwen3"}
    for strategy in ({"select__clusters": 3}, {"select__strategy": "k_center"}):
        for given, features, fits in (
            ({}, "hidden_mean", False),
            ({"collect__hidden_states": True}, "hidden_mean", True),
            ({}, "gate_profile", True),
            (dense, "router_logits", False),
            (dense, "hidden_mean", True),
            (UNGATED, "auto", False),
            (UNGATED, "gate_profile", False),
            (UNGATED, "text", True),
            ({"collect__base_model": "Some/Hub-Model"}, "router_probs", True),
        ):
            asked = given | strategy | {"select__score": "length", "select__clustering__features": features}
            if fits:
                preflight(params_with(root, **asked), root)
            else:
                assert refused(root, **asked).startswith(
                    f"select.clustering.features: got {features}, and what collect "
                )
    preflight(params_with(root, select__clustering__features="hidden_mean"), root)
