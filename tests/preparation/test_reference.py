"""The reference set and the mixed pool, from parameters to folders."""

import json

import pyarrow.parquet as pq
import pytest

from mygo.data.benchmark import MMLU
from mygo.data.mini_world import build
from mygo.data.pool import open_pool
from mygo.data.records import from_records
from mygo.data.reference import dev_conversations
from mygo.data.sources import PoolSource
from mygo.errors import UserError
from mygo.params import HubDataset
from mygo.preparation import prepare as module
from mygo.preparation.prepare import prepare
from tests.preparation.test_prepare import params_for

SUBSETS = {"hub": 0.5, "b": 0.34}


def lines(path, count, text="a"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": f"{text} {number}"}) + "\n" for number in range(count)))
    return path


def reference(params, **changes):
    return params.model_copy(update={"reference": params.reference.model_copy(update=changes)})


def hub(folder, name):
    fields = {"revision": "main", "subset": None, "split": "train", "data_files": "*.jsonl"}
    return HubDataset(name=str(folder), source_dataset=name, **fields)


def texts(folder):
    return [messages[-1]["content"] for messages in from_records(open_pool(folder).to_table()["messages"])]


def test_a_question_of_mmlu_is_a_conversation_with_its_choices():
    question = {"question": " 1 + 1? ", "subject": "maths", "choices": ["0", "1", "2", "3"], "answer": 2}
    first, second = dev_conversations([question, question], MMLU)
    assert first.messages == [
        {"role": "user", "content": "1 + 1?\nA. 0\nB. 1\nC. 2\nD. 3"},
        {"role": "assistant", "content": "C. 2"},
    ]
    assert (first.source_dataset, second.source_index, second.id, first.label) == ("maths", 1, "maths_1", None)


def test_the_mini_worlds_dev_questions_are_its_reference_and_no_test_question_is(tmp_path):
    params = params_for(lines(tmp_path / "a.jsonl", 3), source="mini_world")
    metrics = prepare(params, 0, tmp_path / "data")
    questions = build(params.mini_world, 0).questions()
    conversations = from_records(open_pool(tmp_path / "data/reference").to_table()["messages"])
    assert metrics["reference"] == {"samples": len(questions["dev"])}
    assert [[message["content"] for message in messages] for messages in conversations] == [
        [question["question"], question["choices"][question["answer"]]] for question in questions["dev"]
    ]
    asked = {question["question"] for question in questions["test"]}
    assert not asked & {messages[0]["content"] for messages in conversations}


def test_without_a_reference_there_is_an_empty_folder(tmp_path):
    params = reference(params_for(lines(tmp_path / "a.jsonl", 3)), source="none")
    assert "reference" not in prepare(params, 0, tmp_path / "data")
    assert list((tmp_path / "data/reference").iterdir()) == []


def test_a_reference_is_read_as_a_pool_is(tmp_path):
    lines(tmp_path / "mine/a.jsonl", 2)
    lines(tmp_path / "more/b.jsonl", 3, "more")
    params = params_for(lines(tmp_path / "a.jsonl", 3))
    metrics = prepare(reference(params, source="local", path=str(tmp_path / "mine")), 0, tmp_path / "data")
    assert metrics["reference"] == {"samples": 2}
    assert texts(tmp_path / "data/reference") == ["a 0", "a 1"]
    prepare(reference(params, source="hub", hub=[hub(tmp_path / "more", "b")]), 0, tmp_path / "data")
    assert texts(tmp_path / "data/reference") == ["more 0", "more 1", "more 2"]
    with pytest.raises(UserError, match=r"^prepare\.reference\.path: nowhere does not exist; takes"):
        prepare(reference(params, source="local", path="nowhere"), 0, tmp_path / "data")


def test_a_benchmark_without_dev_questions_gives_no_reference(tmp_path):
    lines(tmp_path / "mmlu/test/x_test.csv", 1).write_text("q,a,b,c,d,A\n")
    params = params_for(lines(tmp_path / "a.jsonl", 3))
    csv = params.benchmark.model_copy(update={"source": "csv", "path": str(tmp_path / "mmlu")})
    with pytest.raises(UserError, match=r"^prepare\.reference\.source: got benchmark, which has no dev questions"):
        prepare(params.model_copy(update={"benchmark": csv}), 0, tmp_path / "data")


def test_a_mixed_pool_holds_both_and_a_part_of_each(tmp_path):
    folder = lines(tmp_path / "files/a.jsonl", 4).parent
    lines(folder / "b.jsonl", 6, "b")
    lines(tmp_path / "set/train.jsonl", 5, "hub")
    params = params_for(folder, source="mixed", hub=[hub(tmp_path / "set", "hub")], subset_ratio=SUBSETS)
    metrics = prepare(params, 0, tmp_path / "data")
    assert metrics["pool"] | {"samples": 10, "left_out": 5, "sources": 3} == metrics["pool"]
    assert [text.split()[0] for text in texts(tmp_path / "data/pool")] == ["a"] * 4 + ["b"] * 3 + ["hub"] * 3
    with pytest.raises(UserError, match=r"^prepare\.hub: got source_dataset b, which is the name of files in"):
        prepare(params.model_copy(update={"hub": [hub(tmp_path / "set", "b")]}), 0, tmp_path / "data")


def test_contaminated_rows_leave_before_a_part_is_drawn(tmp_path):
    params = params_for(lines(tmp_path / "mine/x.jsonl", 9), subset_ratio={"x": 0.5}, decontaminate=True)
    question = build(params.mini_world, 0).questions()["test"][3]
    with (tmp_path / "mine/x.jsonl").open("a") as file:
        held = f"{question['question']} {question['choices'][question['answer']]}"
        file.write(json.dumps({"text": f"So: {held} Yes."}) + "\n")
    metrics = prepare(params, 0, tmp_path / "data")
    assert metrics["contamination"] == {"questions": 64, "too_short": 0, "found": 1, "rows_left_out": 1}
    assert (metrics["pool"]["samples"], metrics["pool"]["left_out"]) == (5, 5)  # half of nine, and half of nine and one
    reasons = pq.read_table(tmp_path / "data/pool/left_out.parquet")["reason"].to_pylist()
    assert reasons[0].startswith("contaminated: shares ")
    assert reasons[0].endswith(f" words with question 4 of {question['subject']}")
    assert reasons[1:] == ["not drawn (prepare.subset_ratio)"] * 4
    by_subject = pq.read_table(tmp_path / "data/pool/contamination.parquet").to_pylist()
    assert {row["subject"]: row["rows_left_out"] for row in by_subject if row["found"]} == {question["subject"]: 1}


def test_a_pool_of_nothing_but_test_questions_is_refused(tmp_path):
    params = params_for(lines(tmp_path / "x.jsonl", 0), decontaminate=True)
    question = build(params.mini_world, 0).questions()["test"][0]
    held = f"{question['question']} {question['choices'][question['answer']]}"
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": held}) + "\n")
    with pytest.raises(UserError, match=r"^prepare\.decontaminate: got true, and all 1 samples hold test questions"):
        prepare(params, 0, tmp_path / "data")


def test_a_benchmark_in_which_nothing_can_be_looked_for_is_refused(tmp_path):
    """Chinese has no white space between words: every question is one of them."""
    row = "中国的首都是哪一个城市而且它有多少人口,北京,上海,广州,深圳,A\n"
    for part in ("dev", "test"):
        lines(tmp_path / f"mmlu/{part}/x_{part}.csv", 0).write_text(row, encoding="utf-8")
    params = params_for(lines(tmp_path / "a.jsonl", 3), decontaminate=True)
    csv = params.benchmark.model_copy(update={"source": "csv", "path": str(tmp_path / "mmlu")})
    with pytest.raises(
        UserError, match=r"^prepare\.decontaminate: got true, and all 1 test questions have fewer than 8"
    ):
        prepare(params.model_copy(update={"benchmark": csv}), 0, tmp_path / "data")


def test_a_reference_that_cannot_be_read_is_named_as_such_before_the_pool_is_read(tmp_path):
    params = reference(params_for(lines(tmp_path / "a.jsonl", 3)), source="local", path=str(tmp_path / "b.jsonl"))
    (tmp_path / "b.jsonl").write_text("{x\n")
    with pytest.raises(UserError, match=r"^prepare\.reference: b\.jsonl: none of its rows can be read; the first is "):
        prepare(params, 0, tmp_path / "data")
    assert not (tmp_path / "data/pool").exists()


def test_nothing_stays_of_a_pool_without_a_source_that_a_part_is_asked_of(tmp_path):
    params = params_for(lines(tmp_path / "mine/x.jsonl", 3), subset_ratio={"y": 0.5})
    with pytest.raises(UserError, match=r"^prepare\.subset_ratio: got 'y'; the pool has samples of x$"):
        prepare(params, 0, tmp_path / "data")
    assert not (tmp_path / "data/pool").exists()


def test_the_commits_of_the_reference_set_hide_none_of_the_pools():
    """Both may be called alike."""
    source = PoolSource(iter(()), {"hub": "b" * 40, "local": None})
    assert module._commit_metrics({"hub": "a" * 40, **module._of_the_reference(source)}) == {
        "commits": {"hub": "a" * 40, "reference/hub": "b" * 40}
    }
