"""Our MMLU tasks against the ones that lm-eval itself builds from the same rows."""

from pathlib import Path

import datasets
import lm_eval.tasks
import pandas as pd
import pytest
from lm_eval.tasks import TaskManager

from mygo.data.benchmark import MMLU, read_csv_benchmark, write_benchmark
from mygo.errors import UserError
from mygo.evaluation import tasks as tasks_module
from mygo.evaluation.mmlu import _subject_keys, load_mmlu
from mygo.evaluation.tasks import load_tasks


@pytest.fixture(scope="module")
def manager():
    """lm-eval's index of some of its tasks (of all 14,000 it takes ten seconds)."""
    tasks = Path(lm_eval.tasks.__file__).parent
    return TaskManager(
        include_defaults=False, include_path=[tasks / "mmlu" / "default", tasks / "arc", tasks / "humaneval"]
    )


@pytest.fixture(scope="module")
def mmlu_folder(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mmlu") / "benchmark"
    write_benchmark(read_csv_benchmark(shared_data / "mmlu" / "data"), MMLU, folder)
    return folder


@pytest.fixture(scope="module")
def own_group(manager, shared_data):
    """lm-eval's own `mmlu`, untouched; only its download is answered with the CSV files (read by pandas, not by our
    reader).
    """

    def load_dataset(path, name):
        assert path == "cais/mmlu"
        return {
            split: datasets.Dataset.from_list(
                read_rows(shared_data / "mmlu" / "data" / split / f"{name}_{split}.csv", name)
            )
            for split in ("dev", "test")
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_dataset", load_dataset)
        return manager.load(["mmlu"])["groups"]["mmlu"]


def read_rows(file, subject):
    table = pd.read_csv(file, header=None, dtype=str, keep_default_na=False)
    return [
        {"question": row[0], "subject": subject, "choices": list(row[1:5]), "answer": "ABCD".index(row[5])}
        for row in table.itertuples(index=False)
    ]


def rendered(group, shots, limit):
    """task -> [(context, continuation, right choice?) of every request, in order]"""
    found = {}
    for task in group.get_all_tasks():
        task.set_config("num_fewshot", shots)
        task.set_fewshot_seed(0)
        task.build_all_requests(limit=limit)
        found[task.task_name] = [
            (*request.args, task.doc_to_target(request.doc) == request.idx) for request in task.instances
        ]
    return found


@pytest.mark.parametrize("shots", [0, 5])
def test_prompts_choices_targets_and_few_shot_order_are_those_of_lm_eval(mmlu_folder, own_group, shots):
    ours, theirs = (rendered(group, shots, limit=4) for group in (load_mmlu(mmlu_folder, shots), own_group))
    assert len(theirs) == 57
    assert sum(map(len, theirs.values())) == 57 * 4 * 4
    assert list(ours) == list(theirs)  # the order in which lm-eval runs them
    for name in theirs:
        assert ours[name] == theirs[name]


def test_all_questions_of_some_subjects_are_those_of_lm_eval(mmlu_folder, own_group):
    ours, theirs = (
        {task.task_name: task for task in group.get_all_tasks()} for group in (load_mmlu(mmlu_folder, None), own_group)
    )
    for name in ("mmlu_abstract_algebra", "mmlu_miscellaneous", "mmlu_us_foreign_policy"):
        assert list(ours[name].test_docs()) == list(theirs[name].test_docs())
        assert list(ours[name].fewshot_docs()) == list(theirs[name].fewshot_docs())


def test_local_files_through_lm_evals_own_loader_render_the_same(mmlu_folder, manager, shared_data, tmp_path):
    name, subject = "mmlu_anatomy", "anatomy"
    files = {}
    for split in ("dev", "test"):
        files[split] = str(tmp_path / f"{split}.jsonl")
        pd.DataFrame(read_rows(shared_data / "mmlu" / "data" / split / f"{subject}_{split}.csv", subject)).to_json(
            files[split], orient="records", lines=True
        )
    kwargs = {"data_files": files, "cache_dir": str(tmp_path / "cache")}
    own = manager.load(
        [manager.task_index[name].cfg | {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": kwargs}]
    )["tasks"][name]
    ours = load_tasks([name], 5, mmlu_folder)["tasks"][name]
    requests = []
    for task in (own, ours):
        task.set_config("num_fewshot", 5)
        task.set_fewshot_seed(0)
        task.build_all_requests(limit=40)
        requests.append([request.args for request in task.instances])
    assert requests[0] == requests[1]
    assert len(requests[0]) == 40 * 4


def test_groups_and_weights_are_those_of_lm_eval(mmlu_folder, own_group):
    ours = load_mmlu(mmlu_folder, None)
    tree = {
        group.name: (group.alias, group.child_names, group.aggregate_metric_list)
        for group in [ours, *ours.get_all_groups()]
    }
    assert tree == {
        group.name: (group.alias, group.child_names, group.aggregate_metric_list)
        for group in [own_group, *own_group.get_all_groups()]
    }
    assert {name: len(children) for name, (_, children, _) in tree.items() if name != "mmlu"} == {
        "mmlu_stem": 19, "mmlu_other": 13, "mmlu_social_sciences": 12, "mmlu_humanities": 13,
    }  # fmt: skip


def test_subjects_count_by_their_number_of_questions(mmlu_folder):
    # 1 question all right, 3 questions all wrong: 1 / 4, not the mean 1 / 2 of the subjects
    metrics = {
        "mmlu_anatomy": {"acc,none": 1.0, "sample_len": 1},
        "mmlu_philosophy": {"acc,none": 0.0, "sample_len": 3},
    }
    assert load_mmlu(mmlu_folder, None).aggregate(metrics)["acc,none"] == 0.25


def test_an_unknown_subject_takes_the_same_template(manager, tmp_path):
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
    assert rendered(group, 0, None)["mmlu_sea_shanties"] == [(prompt, f" {letter}", letter == "C") for letter in "ABCD"]
    for name in manager.task_index["mmlu_stem_tasks"].tags | manager.task_index["mmlu_humanities_tasks"].tags:
        config = manager.task_index[name].cfg
        assert (
            _subject_keys(name.removeprefix("mmlu_")).items() <= config.items()
        )  # so do the subjects that lm-eval knows


def test_continuation_prompts_by_hand(world):
    group = load_mmlu(world / "benchmark", 1)
    assert {child.name: child.child_names for child in group} == {
        "mmlu_stem": ["mmlu_alloys", "mmlu_orbits"],
        "mmlu_humanities": ["mmlu_ballads"],
    }
    zero = "<|user|>\nWhich orbits is number 0?\n<|assistant|>\n"
    assert rendered(group, 0, 1)["mmlu_orbits"] == [
        (zero, "orbits-0", False),
        (zero, "blue 0", True),
        (zero, "a", False),
        (zero, "0", False),
    ]
    one = (
        "<|user|>\nWhich orbits is number 50?\n<|assistant|>\n350\n" + zero
    )  # (50 + 1) % 4 = 3: the last choice, 50 * 7
    assert rendered(group, 1, 1)["mmlu_orbits"][0] == (one, "orbits-0", False)


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
        (["mmlu"], 4, r"eval\.num_fewshot: got 4; .*dev\.parquet has 3 questions for 'alloys'"),
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
