"""Our MMLU tasks and groups, and the tasks that are lm-eval's own."""

import datasets
import pytest

from mygo.data.benchmark import MMLU, write_benchmark
from mygo.data.chat.plain import plain_text
from mygo.errors import UserError
from mygo.evaluation import tasks as tasks_module
from mygo.evaluation.mmlu import CONTINUATION, _subject_keys, load_mmlu
from mygo.evaluation.tasks import load_tasks


def test_a_question_without_letters_is_asked_in_the_plain_chat_format():
    asked = CONTINUATION["doc_to_text"].replace("{{question.strip()}}", "Q?") + "A"
    chat = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A"}]
    assert asked + CONTINUATION["fewshot_delimiter"] == plain_text(chat)


def test_an_unknown_subject_takes_the_same_template(rendered, manager, tmp_path):
    rows = [
        {"question": "Q?", "subject": subject, "choices": ["w", "x", "y", "z"], "answer": 2}
        for subject in ("anatomy", "sea_shanties")
    ]
    write_benchmark({"dev": rows, "test": rows}, MMLU, tmp_path / "benchmark")
    group = load_mmlu(tmp_path / "benchmark", 0)
    assert {child.name: child.child_names for child in group} == {
        "mmlu_stem": ["mmlu_anatomy"],
        "mmlu_other": ["mmlu_sea_shanties"],
    }
    prompt = (
        "The following are multiple choice questions (with answers) about sea shanties.\n\nQ?\nA. w\nB. x\nC. y\nD. "
        "z\nAnswer:"
    )
    assert rendered(group.get_all_tasks(), 0, None)["mmlu_sea_shanties"] == [
        (prompt, f" {letter}", letter == "C") for letter in "ABCD"
    ]
    for name in manager.task_index["mmlu_stem_tasks"].tags | manager.task_index["mmlu_humanities_tasks"].tags:
        config = manager.task_index[name].cfg
        assert (
            _subject_keys(name.removeprefix("mmlu_")).items() <= config.items()
        )  # so do the subjects that lm-eval knows


def test_a_subject_is_never_a_template(rendered, tmp_path):
    name = '{{ 7 * 7 }} {% endraw %} "é" {#'
    row = {"question": "Q?", "subject": name, "choices": ["w", "x", "y", "z"], "answer": 2}
    write_benchmark({"dev": [], "test": [row]}, MMLU, tmp_path / "benchmark")
    (requests,) = rendered(load_mmlu(tmp_path / "benchmark", 0).get_all_tasks(), 0, None).values()
    assert requests[0][0].startswith(f"The following are multiple choice questions (with answers) about {name}.")


def test_a_subject_is_shown_escaped_and_short(tmp_path):
    name = "sea\nerror: forged \x1b[31m" + "x" * 10_000
    row = {"question": "Q?", "subject": name, "choices": ["w", "x", "y", "z"], "answer": 2}
    write_benchmark({"dev": [], "test": [row]}, MMLU, tmp_path / "benchmark")
    with pytest.raises(UserError) as caught:
        load_mmlu(tmp_path / "benchmark", 5)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    with pytest.raises(UserError) as caught:
        load_tasks(["mmlu", "mmlu_other"], None, tmp_path / "benchmark")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_continuation_prompts_by_hand(rendered, world):
    group = load_mmlu(world / "benchmark", 1)
    assert {child.name: child.child_names for child in group} == {
        "mmlu_stem": ["mmlu_alloys", "mmlu_orbits"],
        "mmlu_humanities": ["mmlu_ballads"],
    }
    zero = "<|user|>\nWhich orbits is number 0?\n<|assistant|>\n"
    assert rendered(group.get_all_tasks(), 0, 1)["mmlu_orbits"] == [
        (zero, "orbits-0", False),
        (zero, "blue 0", True),
        (zero, "a", False),
        (zero, "0", False),
    ]
    one = (
        "<|user|>\nWhich orbits is number 50?\n<|assistant|>\n350\n" + zero
    )  # (50 + 1) % 4 = 3: the last choice, 50 * 7
    assert rendered(group.get_all_tasks(), 1, 1)["mmlu_orbits"][0] == (one, "orbits-0", False)


def test_parts_of_mmlu_are_local_too(world):
    loaded = load_tasks(["mmlu_humanities", "mmlu_alloys"], None, world / "benchmark")
    assert list(loaded["tasks"]) == ["mmlu_ballads", "mmlu_alloys"]
    assert all(task.config.num_fewshot == 0 for task in loaded["tasks"].values())


@pytest.mark.parametrize(
    ("names", "shots", "sentence"),
    [
        (
            ["arc_easi"],
            None,
            r"eval\.tasks: got 'arc_easi'; takes mmlu or the name of an lm-eval task, such as .*arc_easy",
        ),
        (["humaneval"], None, r"eval\.tasks: got 'humaneval', which runs code"),
        (["mmlu", "mmlu_stem"], None, r"eval\.tasks: Duplicate task 'mmlu_alloys'"),
        (["mmlu"], 4, r"eval\.num_fewshot: got 4; .*dev\.parquet has 3 questions for alloys"),
    ],
)
def test_wrong_names_and_shots_are_refused(world, manager, monkeypatch, names, shots, sentence):
    monkeypatch.setattr(tasks_module, "TaskManager", lambda **_: manager)
    with pytest.raises(UserError, match=sentence):
        load_tasks(names, shots, world / "benchmark")


def test_another_task_goes_to_lm_eval_by_name(manager, monkeypatch, tmp_path):
    asked = []

    def load_dataset(path, name=None, **_):
        asked.append((path, name))
        row = {"question": "Q?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}
        return {split: datasets.Dataset.from_list([row] * 4) for split in ("train", "validation", "test")}

    monkeypatch.setattr(tasks_module, "TaskManager", lambda **_: manager)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    loaded = load_tasks(["arc_easy"], 2, tmp_path / "no benchmark is needed")
    assert asked == [("allenai/ai2_arc", "ARC-Easy")]
    assert loaded["tasks"]["arc_easy"].config.num_fewshot == 2


def test_a_task_that_cannot_be_downloaded_is_one_sentence(manager, monkeypatch, tmp_path):
    def load_dataset(*_, **__):
        raise ConnectionError("no\nroute")

    monkeypatch.setattr(tasks_module, "TaskManager", lambda **_: manager)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError, match=r"^eval\.tasks: 'arc_easy' could not be loaded \(ConnectionError: no route\)$"):
        load_tasks(["arc_easy"], None, tmp_path)


def test_a_folder_without_questions_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"there is no benchmark\.json"):
        load_mmlu(tmp_path, None)
    write_benchmark({"dev": [], "test": []}, MMLU, tmp_path / "benchmark")
    with pytest.raises(UserError, match=r"test\.parquet: holds no question"):
        load_mmlu(tmp_path / "benchmark", None)
