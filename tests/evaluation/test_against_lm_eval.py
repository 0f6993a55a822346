"""Prompts, questions and groups of our MMLU tasks against the ones that lm-eval itself builds from the same rows."""

from contextlib import contextmanager
from pathlib import Path

import datasets
import pandas as pd
import pytest

from mygo.data.benchmark import MMLU, read_csv_benchmark, write_benchmark
from mygo.evaluation.mmlu import load_mmlu
from mygo.evaluation.tasks import load_tasks

INVENTED = Path(__file__).parent / "data" / "mmlu"


@pytest.fixture(scope="module", params=["invented", pytest.param("real", marks=pytest.mark.slow)])
def csv_folder(request):
    """Hendrycks' layout: a few invented questions of three subjects, and the real ones where they lie beside the
    repository.
    """
    return INVENTED if request.param == "invented" else request.getfixturevalue("shared_data") / "mmlu" / "data"


@pytest.fixture(scope="module")
def mmlu_folder(csv_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mmlu") / "benchmark"
    write_benchmark(read_csv_benchmark(csv_folder), MMLU, folder)
    return folder


@pytest.fixture(scope="module")
def present(csv_folder):
    """Names of the tasks that the folder has questions for."""
    return {f"mmlu_{path.name.removesuffix('_test.csv')}" for path in (csv_folder / "test").glob("*_test.csv")}


@pytest.fixture(scope="module")
def own_group(manager, csv_folder, present):
    """lm-eval's own `mmlu`, untouched."""
    with from_csv(csv_folder, present):
        return manager.load(["mmlu"])["groups"]["mmlu"]


@pytest.fixture(scope="module")
def own_tasks(own_group, present):
    """lm-eval's own tasks for the subjects of the folder, in its order."""
    return [task for task in own_group.get_all_tasks() if task.task_name in present]


@contextmanager
def from_csv(folder, present):
    """lm-eval's download is answered with the CSV files, read by pandas and not by our reader; a subject that has none
    gets one question.
    """

    def load_dataset(path, name):
        assert path == "cais/mmlu"
        there = f"mmlu_{name}" in present
        none = [{"question": "", "subject": name, "choices": [""] * 4, "answer": 0}]
        return {
            split: datasets.Dataset.from_list(
                read_rows(folder / split / f"{name}_{split}.csv", name) if there else none
            )
            for split in ("dev", "test")
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_dataset", load_dataset)
        yield


def read_rows(file, subject):
    table = pd.read_csv(file, header=None, dtype=str, keep_default_na=False)
    return [
        {"question": row[0], "subject": subject, "choices": list(row[1:5]), "answer": "ABCD".index(row[5])}
        for row in table.itertuples(index=False)
    ]


@pytest.mark.parametrize("shots", [0, 5])
def test_prompts_choices_targets_and_few_shot_order_are_those_of_lm_eval(rendered, mmlu_folder, own_tasks, shots):
    ours = rendered(load_mmlu(mmlu_folder, shots).get_all_tasks(), shots, limit=4)
    theirs = rendered(own_tasks, shots, limit=4)
    assert len(theirs) in (3, 57)
    assert sum(map(len, theirs.values())) == len(theirs) * 4 * 4
    assert list(ours) == list(theirs)  # the order in which lm-eval runs them
    for name in theirs:
        assert ours[name] == theirs[name]


def test_all_questions_of_some_subjects_are_those_of_lm_eval(mmlu_folder, own_tasks):
    ours, theirs = (
        {task.task_name: task for task in tasks} for tasks in (load_mmlu(mmlu_folder, None).get_all_tasks(), own_tasks)
    )
    for name in ("mmlu_anatomy", "mmlu_philosophy", "mmlu_us_foreign_policy"):
        assert list(ours[name].test_docs()) == list(theirs[name].test_docs())
        assert list(ours[name].fewshot_docs()) == list(theirs[name].fewshot_docs())


def test_local_files_through_lm_evals_own_loader_render_the_same(mmlu_folder, manager, csv_folder, tmp_path):
    name, subject = "mmlu_anatomy", "anatomy"
    files = {}
    for split in ("dev", "test"):
        files[split] = str(tmp_path / f"{split}.jsonl")
        pd.DataFrame(read_rows(csv_folder / split / f"{subject}_{split}.csv", subject)).to_json(
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
    assert len(requests[0]) in (6 * 4, 40 * 4)


def test_groups_and_weights_are_those_of_lm_eval(own_group, tmp_path):
    subjects = [task.task_name.removeprefix("mmlu_") for task in own_group.get_all_tasks()]
    rows = [{"question": "Q?", "subject": subject, "choices": list("wxyz"), "answer": 0} for subject in subjects]
    write_benchmark({"dev": [], "test": rows}, MMLU, tmp_path / "benchmark")
    ours = load_mmlu(tmp_path / "benchmark", None)
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
