"""lm-eval on a tiny Qwen3 with and without LoRA, against log-likelihoods that we compute directly."""

import logging
import re
import shutil
import socket
import tempfile
from pathlib import Path

import huggingface_hub.constants
import lm_eval.api.task
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from lm_eval import utils as lm_eval_utils
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from mygo.errors import UserError
from mygo.evaluation import mmlu
from mygo.evaluation.baseline import baseline_settings, write_baseline
from mygo.evaluation.harness import evaluate_base
from mygo.evaluation.report import headline, subject_rows, summarise, write_evaluation
from mygo.evaluation.target import evaluate_target
from mygo.runtime import Runtime, start_runtime


def evaluate(params, world, adapter="adapter"):
    """Base and adapter, each as lm-eval gave it; what eval makes of the baseline on disk must be the same."""
    runtime, benchmark = start_runtime(params.seed), world / "benchmark"
    base = evaluate_base(params, runtime, benchmark)
    with tempfile.TemporaryDirectory() as folder:
        baseline = Path(folder) / "baseline"
        write_baseline(base, baseline_settings(params, runtime, benchmark), baseline)
        both = evaluate_target(params, runtime, world / adapter, benchmark, baseline)
    results = {"base": base, "adapter": both["adapter"]}
    assert summarise(both) == summarise(results)
    return results


@pytest.fixture(scope="module")
def connections():
    """Every attempt to reach something, with the hub's offline switch off."""
    attempts = []

    def refuse(*args):
        attempts.append(args)
        raise OSError("this test has no network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda _self, address: refuse(address))
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield attempts


@pytest.fixture(scope="module")
def results(make_params, world, connections):
    return evaluate(make_params(), world)


def direct_loglikelihoods(model, tokenizer, questions):
    """Sum of the log-probabilities of each choice after the chat prompt, one forward per choice."""
    table = []
    for question in questions:
        prompt = f"<|user|>\n{question['question'].strip()}\n<|assistant|>"
        start = len(tokenizer(prompt)["input_ids"])
        row = []
        for choice in question["choices"]:
            ids = torch.tensor(
                [tokenizer(f"{prompt}\n{choice}")["input_ids"]]
            )  # lm-eval counts the line end before it as part of the choice
            with torch.no_grad():
                log_probs = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[start - 1 :]
            row.append(log_probs.sum().item())
        table.append(row)
    return np.array(table)


def loglikelihoods(results, task):
    samples = sorted(results["samples"][task], key=lambda sample: sample["doc_id"])
    return np.array([[response[0] for response in sample["filtered_resps"]] for sample in samples])


@pytest.mark.parametrize("name", ["base", "adapter"])
def test_accuracy_is_that_of_our_own_loglikelihoods(results, world, name):
    tokenizer = AutoTokenizer.from_pretrained(world / "base")
    model = AutoModelForCausalLM.from_pretrained(world / "base")
    if name == "adapter":
        model = PeftModel.from_pretrained(model, str(world / "adapter"))
    questions = [
        row for row in pq.read_table(world / "benchmark" / "test.parquet").to_pylist() if row["subject"] == "orbits"
    ]
    expected = direct_loglikelihoods(model.eval(), tokenizer, questions)
    np.testing.assert_allclose(loglikelihoods(results[name], "mmlu_orbits"), expected, rtol=0, atol=1e-3)
    accuracy = np.mean(expected.argmax(1) == [question["answer"] for question in questions])
    assert results[name]["results"]["mmlu_orbits"]["acc,none"] == accuracy


def test_base_and_adapter_are_two_models(results):
    assert (
        np.abs(loglikelihoods(results["base"], "mmlu_orbits") - loglikelihoods(results["adapter"], "mmlu_orbits")).max()
        > 0.1
    )


def test_merged_equals_attached(results, make_params, world):
    merged = evaluate(make_params("eval.merge_adapter=true", "eval.tasks=[mmlu_orbits]"), world)
    np.testing.assert_allclose(
        loglikelihoods(merged["adapter"], "mmlu_orbits"),
        loglikelihoods(results["adapter"], "mmlu_orbits"),
        rtol=0,
        atol=1e-3,
    )


def test_nothing_reaches_for_the_network(results, connections):
    assert results["adapter"]["results"]["mmlu"]["sample_len"] == 27
    assert connections == []


def test_outputs_are_the_same_bytes_again(results, make_params, world, tmp_path):
    again = evaluate(make_params(), world)
    for name, evaluated in (("first", results), ("second", again)):
        write_evaluation(evaluated, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == ["results.json", "samples.parquet", "summary.json"]
    assert all((tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes() for name in files)
    assert str(world) not in (tmp_path / "first" / "results.json").read_text()
    assert headline(results) == headline(again)


def test_the_written_samples_give_the_reported_accuracy(results, tmp_path):
    write_evaluation(results, tmp_path / "eval")
    samples = pq.read_table(tmp_path / "eval" / "samples.parquet").to_pandas()
    assert samples["correct"].mean() == pytest.approx(summarise(results)["mmlu"]["acc"])
    assert samples[["subject", "index"]].to_numpy().tolist()[:7] == [["alloys", index] for index in range(6)] + [
        ["ballads", 0]
    ]
    choice = np.array(samples["loglikelihoods"].tolist()).argmax(1)
    assert (samples["correct"] == (choice == samples["target"].astype(int))).all()


def test_rows_for_the_plot(results):
    rows = subject_rows(results)
    assert [(row["subject"], row["model"], row["n"]) for row in rows] == [
        (subject, model, n)
        for subject, n in (("alloys", 6), ("ballads", 9), ("orbits", 12))
        for model in ("base", "adapter")
    ]


def test_limit_and_shots_reach_lm_eval(make_params, world):
    results = evaluate(make_params("eval.limit=1", "eval.num_fewshot=2"), world)
    prompts = [sample["arguments"][0][0] for sample in results["base"]["samples"]["mmlu_alloys"]]
    assert len(prompts) == 1
    assert prompts[0].count("<|assistant|>") == 3
    metrics = summarise(results)
    assert metrics["num_fewshot"] == 2
    assert metrics["mmlu"]["n"] == 3
    assert "stderr" not in metrics["mmlu"]  # one question a subject has none
    assert subject_rows(results)[0]["stderr"] is None


def test_a_context_that_is_too_short_is_told_once(make_params, world, capsys):
    evaluate(make_params("eval.max_length=24", "eval.tasks=[mmlu_alloys]"), world)
    told = [line for line in capsys.readouterr().err.splitlines() if "longer than" in line]
    assert len(told) == 2  # one for each model, not for each of 6 questions and 4 choices
    assert re.fullmatch(
        r"warning: \d\d requests were longer than the model's context and lost their beginning \(eval\.max_length\)",
        told[0],
    )


def test_choices_are_scored_in_float32_whatever_the_model_computes_in(make_params, world):
    params = make_params("eval.dtype=bfloat16", "eval.tasks=[mmlu_orbits]")
    scores = torch.from_numpy(
        loglikelihoods(evaluate_base(params, start_runtime(0), world / "benchmark"), "mmlu_orbits")
    )
    in_bfloat16 = scores.bfloat16().double() == scores  # sums that were taken in bfloat16 are numbers of bfloat16
    assert in_bfloat16.double().mean() < 0.1


@pytest.mark.usefixtures("results")
def test_lm_eval_is_left_as_it_was():
    assert logging.getLogger("lm_eval").level == logging.NOTSET
    assert "from_string" not in vars(lm_eval_utils.env)
    assert isinstance(lm_eval.api.task.tqdm, type)


@pytest.mark.parametrize("size", [{"hidden": 48}, {"layers": 1}, {"layers": 3}])
def test_an_adapter_of_another_base_is_refused(make_params, world, make_base, tmp_path, size):
    make_base(tmp_path / "other", **size)
    with pytest.raises(UserError, match=r"adapter: the adapter does not fit finetune\.base_model '.*other'"):
        evaluate(make_params(f"finetune.base_model={tmp_path / 'other'}"), world)


def test_missing_inputs_are_one_sentence(make_params, world, tmp_path):
    shutil.copytree(world, tmp_path / "world")
    copy = tmp_path / "world"
    with pytest.raises(UserError, match=r"nothing: there is no adapter_config\.json"):
        evaluate(make_params(), copy, adapter="nothing")
    with pytest.raises(UserError, match=r"finetune\.base_model: .*absent"):
        evaluate(make_params(f"finetune.base_model={tmp_path / 'absent'}"), copy)
    with pytest.raises(UserError, match=r"eval\.apply_chat_template: got true; .* has no chat template"):
        evaluate(make_params("eval.apply_chat_template=true"), copy)
    (copy / "adapter" / "adapter_model.safetensors").rename(copy / "adapter" / "adapter_model.bin")
    with pytest.raises(UserError, match=r"there is no adapter_model\.safetensors"):
        evaluate(make_params(), copy)


@pytest.mark.parametrize(
    ("processes", "sentence"),
    [
        (2, "eval.limit: got 1; takes null, or at least 2, one question of a task for each process of the launch"),
        (7, "eval.tasks: mmlu_alloys has 6 questions for 7 processes; launch at most 6"),
    ],
)
def test_a_process_without_a_question_is_refused_before_the_model_is_loaded(make_params, world, processes, sentence):
    params = make_params("finetune.base_model=absent", *(["eval.limit=1"] if processes == 2 else []))
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        evaluate_base(params, Runtime(torch.device("cpu"), torch.float32, 0, processes), world / "benchmark")


def test_both_models_see_the_same_random_examples(make_params, world, monkeypatch):
    monkeypatch.setitem(
        mmlu.CONTINUATION, "fewshot_config", {"sampler": "default"}
    )  # drawn at random, as in many other tasks of lm-eval
    results = evaluate(make_params("eval.num_fewshot=2", "eval.tasks=[mmlu_orbits]"), world)
    base, adapter = (
        [sample["arguments"] for sample in results[model]["samples"]["mmlu_orbits"]] for model in ("base", "adapter")
    )
    assert base == adapter
    assert len({sample[0][0].split("<|assistant|>")[0] for sample in base}) > 1  # not always the same first example
