"""Multiple-choice questions in the columns of `cais/mmlu`: read from Hendrycks' CSV folder or the hub, kept as
Parquet.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from mygo.data.hub import load_split, table_rows
from mygo.errors import UserError, escaped, listed, shown
from mygo.params import HubBenchmark
from mygo.workdir import atomic_folder

SPLITS = ("dev", "test")
LETTERS = "ABCD"
BENCHMARK_SCHEMA = pa.schema(
    {"question": pa.string(), "subject": pa.string(), "choices": pa.list_(pa.string()), "answer": pa.int64()}
)


class Question(TypedDict):
    """A row of `cais/mmlu`; `answer` is the index of the right choice."""

    question: str
    subject: str
    choices: list[str]
    answer: int


class BenchmarkMeta(TypedDict):
    """How the questions are asked and grouped; `groups` None stands for lm-eval's own grouping of MMLU's subjects."""

    name: Literal["mmlu", "mini_world"]
    prompt: Literal["mmlu", "continuation"]
    groups: dict[str, list[str]] | None


MMLU: BenchmarkMeta = {"name": "mmlu", "prompt": "mmlu", "groups": None}


def write_benchmark(questions: Mapping[str, Iterable[Question]], meta: BenchmarkMeta, folder: Path) -> None:
    """Write `dev.parquet`, `test.parquet` and `benchmark.json` as the folder, which appears complete or not at all."""
    with atomic_folder(folder) as temporary:
        for split in SPLITS:
            table = pa.Table.from_pylist([dict(question) for question in questions[split]], schema=BENCHMARK_SCHEMA)
            pq.write_table(table, temporary / f"{split}.parquet", compression="zstd")
        (temporary / "benchmark.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def read_csv_benchmark(path: Path) -> dict[str, list[Question]]:
    """Questions of Hendrycks' layout, by split: `<path>/{dev,test}/<subject>_{dev,test}.csv`, no header line, the
    columns question, A, B, C, D and the letter of the answer. All text stays text ("None", "NA", "0").

    A subject may lack its dev file, which only few-shot prompts need.
    Raises `UserError` if there are no test files, or naming file and line of a row that is not of this form.
    """
    questions = {split: _read_split(path / split, f"_{split}.csv") for split in SPLITS}
    if not questions["test"]:
        raise UserError(
            f"prepare.benchmark.path: {shown(path, 200)} has no questions in test/<subject>_test.csv; takes "
            "Hendrycks' folder with dev/ and test/"
        )
    return questions


def read_hub_benchmark(hub: HubBenchmark) -> tuple[dict[str, list[Question]], str | None]:
    """Questions of a hub data set with the columns and the subset `all` of `cais/mmlu`, by split, and the commit they
    are of.

    Raises `UserError` if it cannot be read or has other columns.
    """
    questions: dict[str, list[Question]] = {}
    commit = None
    for split in SPLITS:
        table, commit = load_split(hub.name, hub.revision, "all", split)
        columns = list(Question.__annotations__)
        if missing := sorted(set(columns) - set(table.column_names)):
            raise UserError(
                f"prepare.benchmark.hub.name: {hub.name} lacks the columns {', '.join(missing)}; takes a data set "
                "like cais/mmlu"
            )
        rows = [
            _hub_question(row.value, f"prepare.benchmark.hub.name: {hub.name}, {split}, row {row.line}")
            for row in table_rows(hub.name, table, frozenset(columns))
        ]
        questions[split] = sorted(rows, key=lambda row: row["subject"])
    return questions, commit


def _read_split(folder: Path, ending: str) -> list[Question]:
    subjects = sorted(file.name.removesuffix(ending) for file in folder.glob(f"*{ending}"))
    return [question for subject in subjects for question in _read_subject(folder / f"{subject}{ending}", subject)]


def _read_subject(file: Path, subject: str) -> Iterator[Question]:
    line = 1
    if not os.path.isfile(file):  # a pipe would wait for a writer for ever
        raise UserError(f"{shown(file, 200)}: is not a regular file; takes questions as CSV")
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            for row in reader:
                if row:
                    yield _question(row, escaped(subject), f"{shown(file, 200)}, line {line}")
                line = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{shown(file, 200)}, line {line}: not readable as CSV ({shown(error)})") from None
    except OSError as error:
        raise UserError(f"{shown(file, 200)}: cannot be read ({error.strerror})") from None


def _question(row: list[str], subject: str, place: str) -> Question:
    if len(row) != 6:
        raise UserError(f"{place}: got {len(row)} fields; takes 6 (question, A, B, C, D, answer)")
    question, *choices, answer = row
    if len(answer) != 1 or answer not in LETTERS:
        raise UserError(f"{place}: got the answer '{shown(answer)}'; takes A, B, C or D")
    return {"question": question, "subject": subject, "choices": choices, "answer": LETTERS.index(answer)}


def _hub_question(row: dict[str, Any], place: str) -> Question:
    question, subject, choices, answer = (row[name] for name in Question.__annotations__)
    is_text = isinstance(choices, list) and all(isinstance(text, str) for text in (question, subject, *choices))
    is_index = answer in range(len(LETTERS)) and not isinstance(answer, bool)
    if not is_text or len(choices) != len(LETTERS) or not is_index:
        raise UserError(
            f"{place}: got {listed(f'{name} {value!r}' for name, value in row.items())}; takes a question, a subject "
            "and four choices as text, and the index of the answer, 0 to 3"
        )
    return {"question": question, "subject": escaped(subject), "choices": choices, "answer": answer}
