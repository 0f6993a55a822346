"""The benchmark: Hendrycks' CSV layout, its mistakes, and the files it becomes."""

import json
import os
from collections import Counter

import pyarrow.parquet as pq
import pytest

from mygo.data.benchmark import MMLU, SPLITS, read_csv_benchmark, write_benchmark
from mygo.errors import UserError


def write_csv(folder, split, subject, text):
    (folder / split).mkdir(parents=True, exist_ok=True)
    (folder / split / f"{subject}_{split}.csv").write_text(text, encoding="utf-8")


def read_back(folder, split):
    return pq.read_table(folder / f"{split}.parquet").to_pylist()


def test_text_stays_text_through_csv_and_parquet(tmp_path):
    write_csv(
        tmp_path / "in",
        "test",
        "odd_words",
        '"Which, of\n""these""?",None,NA,0,nan,D\n\nTrue or false?,TRUE,, 1.0 ,null,A\n',
    )
    write_benchmark(read_csv_benchmark(tmp_path / "in"), MMLU, tmp_path / "out")
    assert read_back(tmp_path / "out", "test") == [
        {"question": 'Which, of\n"these"?', "subject": "odd_words", "choices": ["None", "NA", "0", "nan"], "answer": 3},
        {"question": "True or false?", "subject": "odd_words", "choices": ["TRUE", "", " 1.0 ", "null"], "answer": 0},
    ]
    assert read_back(tmp_path / "out", "dev") == []  # allowed: only few-shot prompts need dev
    assert json.loads((tmp_path / "out" / "benchmark.json").read_text()) == {
        "name": "mmlu",
        "prompt": "mmlu",
        "groups": None,
    }


def test_subjects_are_in_order_of_name_and_questions_in_order_of_file(tmp_path):
    for subject in ("law_2", "law", "art"):  # "law_2_test" sorts before "law_test"
        write_csv(tmp_path, "test", subject, "z?,1,2,3,4,A\na?,1,2,3,4,B\n")
    assert [(row["subject"], row["question"]) for row in read_csv_benchmark(tmp_path)["test"]] == [
        (subject, question) for subject in ("art", "law", "law_2") for question in ("z?", "a?")
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("q,1,2,3,4,A\nq,1,2,3,A\n", "line 2: got 5 fields; takes 6"),
        ('"q\nq",1,2,3,4,A\nq,1,2,3,4,E\n', "line 3: got the answer 'E'; takes A, B, C or D"),
        ("q,1,2,3,4,a\n", "line 1: got the answer 'a'"),
        ("q,1,2,3,4,AB\n", "line 1: got the answer 'AB'"),
        ("question,A,B,C,D,answer\n", "line 1: got the answer 'answer'"),
        ('q,1,2,3,4,A\n"q,1,2,3,4,A\n', "line 2: not readable as CSV"),
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(tmp_path, text, sentence):
    write_csv(tmp_path, "test", "law", text)
    with pytest.raises(UserError, match=f"law_test.csv, {sentence}"):
        read_csv_benchmark(tmp_path)


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    write_csv(tmp_path, "test", "law", "")
    (tmp_path / "test" / "law_test.csv").write_bytes(b"\xff,1,2,3,4,A\n")
    with pytest.raises(UserError, match=r"law_test.csv, line 1: not readable as CSV"):
        read_csv_benchmark(tmp_path)


def test_a_folder_or_a_pipe_in_the_place_of_a_file_is_a_sentence(tmp_path):
    write_csv(tmp_path, "test", "law", "q,1,2,3,4,A\n")
    (tmp_path / "test" / "x_test.csv").mkdir()
    with pytest.raises(UserError, match=r"test/x_test.csv: is not a regular file"):
        read_csv_benchmark(tmp_path)
    (tmp_path / "test" / "x_test.csv").rmdir()
    os.mkfifo(tmp_path / "test" / "x_test.csv")
    with pytest.raises(UserError, match=r"test/x_test.csv: is not a regular file"):
        read_csv_benchmark(tmp_path)


def test_a_file_that_the_system_does_not_hand_out_is_a_sentence(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "x_test.csv").symlink_to("/proc/self/mem")  # regular, and unreadable even for root
    with pytest.raises(UserError, match=r"test/x_test.csv: cannot be read \(Input/output error\)"):
        read_csv_benchmark(tmp_path)


def test_names_and_answers_are_escaped(tmp_path):
    write_csv(tmp_path, "test", "a\x1b[1m\nb", "q,1,2,3,4,A\n")
    assert read_csv_benchmark(tmp_path)["test"][0]["subject"] == r"a\x1b[1m\nb"
    write_csv(tmp_path, "test", "law", f"q,1,2,3,4,\x1b[2J{'x' * 10_000}\n")
    with pytest.raises(UserError, match=r"got the answer '\\x1b\[2Jx+\.\.\.x+'; takes A") as error:
        read_csv_benchmark(tmp_path)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("with_dev", [False, True])
def test_a_folder_without_test_files_is_refused(tmp_path, with_dev):
    if with_dev:
        write_csv(tmp_path, "dev", "law", "q,1,2,3,4,A\n")
    with pytest.raises(UserError, match=r"prepare.benchmark.path: .* has no questions in test/<subject>_test.csv"):
        read_csv_benchmark(tmp_path)


def test_mmlu_is_read_whole_and_gives_the_same_bytes_twice(tmp_path, shared_data):
    questions = read_csv_benchmark(shared_data / "mmlu" / "data")
    assert {split: len(rows) for split, rows in questions.items()} == {"dev": 285, "test": 14_042}
    assert all(len({row["subject"] for row in rows}) == 57 for rows in questions.values())
    assert set(Counter(row["subject"] for row in questions["dev"]).values()) == {5}
    assert questions["test"][0] == {
        "question": "Find the degree for the given field extension Q(sqrt(2), sqrt(3), sqrt(18)) over Q.",
        "subject": "abstract_algebra",
        "choices": ["0", "4", "2", "6"],
        "answer": 1,
    }
    assert any("None" in row["choices"] for row in questions["test"])
    for name in ("one", "two"):
        write_benchmark(questions, MMLU, tmp_path / name)
    for split in SPLITS:
        assert read_back(tmp_path / "one", split) == questions[split]
        assert (tmp_path / "one" / f"{split}.parquet").read_bytes() == (
            tmp_path / "two" / f"{split}.parquet"
        ).read_bytes()
