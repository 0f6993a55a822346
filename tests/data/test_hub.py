"""Hub data sets without a network: local folders, and caches laid out as a download leaves them."""

import json
import shutil
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mygo.data.benchmark import read_hub_benchmark
from mygo.data.hub import read_hub
from mygo.data.records import Rejected, Row, Sample
from mygo.data.sources import read_pool_source
from mygo.errors import UserError
from mygo.params import HubBenchmark, HubDataset, load_params

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"
COMMIT = "c0ffee" + "0" * 34
LINES = [
    {
        "messages": [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": f"a{number}"}],
        "id": None,
    }
    for number in range(5)
]


def dataset(name, **changes):
    fields = {
        "name": str(name),
        "revision": "main",
        "subset": None,
        "split": "train",
        "data_files": None,
        "source_dataset": "mine",
    }
    return HubDataset(**(fields | changes))


@pytest.fixture(autouse=True)
def no_network(tmp_path, monkeypatch):
    """Offline, with empty caches of its own."""
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return folder


@pytest.fixture
def cached_archive(tmp_path):
    """An archive in LESS's layout in the hub's cache, as at the revisions `main` and `v1.0`, which are COMMIT."""
    repository = tmp_path / "hub" / "datasets--some--less"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    for revision in ("main", "v1.0"):
        (repository / "refs" / revision).write_text(COMMIT)
    with zipfile.ZipFile(snapshot / "less-data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "data/train/processed/cot/cot_data.jsonl", "{\n" + "".join(json.dumps(line) + "\n" for line in LINES)
        )
    return snapshot / "less-data.zip"


def test_rows_of_a_split_come_through_datasets(folder):
    hub = read_hub(dataset(folder))
    assert hub.commit is None
    assert [(file, list(rows)) for file, rows in hub.files] == [
        (str(folder), [Row(number, line) for number, line in enumerate(LINES, 1)])
    ]


@pytest.mark.parametrize("changes", [{"split": "nowhere"}, {"subset": "nowhere"}, {"data_files": "nowhere*.jsonl"}])
def test_what_is_not_there_is_a_sentence(folder, changes):
    with pytest.raises(UserError, match=r"hub data set .*folder at revision main: cannot be read \(.*nowhere"):
        read_hub(dataset(folder, **changes))


def test_files_of_a_data_set_are_read_by_pattern_and_indexed_across_files(folder):
    (folder / "more.jsonl").write_text('{"text": "t"}\n\n{"text": ""}\n')
    prepare = load_params(PARAMS).prepare.model_copy(
        update={"source": "hub", "hub": [dataset(folder, data_files="*.jsonl")]}
    )
    rows = list(read_pool_source(prepare))
    assert [(type(row), row.source_dataset, row.source_index) for row in rows[:3]] == [
        (Sample, "mine", 0),
        (Rejected, "mine", 1),
        (Sample, "mine", 2),
    ]
    assert rows[1].file == f"{folder}/more.jsonl"
    assert rows[1].line == 3
    assert [row.id for row in rows[2:]] == [f"mine_{index}" for index in range(2, 7)]


@pytest.mark.usefixtures("cached_archive")
@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT])
def test_a_member_of_a_cached_archive_is_read_offline(revision):
    member = "zip://data/train/processed/cot/cot_data.jsonl::less-data.zip"
    hub = dataset("some/less", revision=revision, data_files=member, source_dataset="cot")
    source = read_pool_source(load_params(PARAMS).prepare.model_copy(update={"source": "hub", "hub": [hub]}))
    rows = list(source)
    assert source.commits == {"cot": COMMIT}
    assert [row.messages for row in rows if isinstance(row, Sample)] == [line["messages"] for line in LINES]
    assert [(row.file, row.line) for row in rows if isinstance(row, Rejected)] == [("some/less/less-data.zip", 1)]


def test_an_archive_without_the_member_or_damaged_is_named(cached_archive):
    with pytest.raises(UserError, match=r"less-data.zip: holds no file nowhere.jsonl"):
        list(read_hub(dataset("some/less", data_files="zip://nowhere.jsonl::less-data.zip")).files[0][1])
    cached_archive.write_bytes(cached_archive.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"less-data.zip: data/x.jsonl: cannot be read"):
        list(read_hub(dataset("some/less", data_files="zip://data/x.jsonl::less-data.zip")).files[0][1])


def test_a_member_that_is_damaged_is_named(cached_archive):
    content = bytearray(cached_archive.read_bytes())
    content[30 + len("data/train/processed/cot/cot_data.jsonl")] = 0xFF  # the first byte behind the member's header
    cached_archive.write_bytes(content)
    member = "zip://data/train/processed/cot/cot_data.jsonl::less-data.zip"
    with pytest.raises(UserError, match=r"cot_data.jsonl: cannot be read \(Error -3 while decompressing data"):
        list(read_hub(dataset("some/less", data_files=member)).files[0][1])


@pytest.mark.parametrize("data_files", [None, "a.jsonl", "zip://a.jsonl::b.zip"])
def test_a_data_set_that_cannot_be_reached_is_a_sentence(data_files):
    with pytest.raises(UserError, match=r"^hub data set some/other at revision main: cannot be read \(.*\)$"):
        read_hub(dataset("some/other", data_files=data_files))


QUESTIONS = [
    {"question": "q1?", "subject": "law", "choices": ["None", "NA", "0", "1"], "answer": 0},
    {"question": "q2?", "subject": "art", "choices": ["a", "b", "c", "d"], "answer": 3},
    {"question": "q3?", "subject": "law", "choices": ["e", "f", "g", "h"], "answer": 1},
]


def mmlu_folder(folder, rows=QUESTIONS):
    (folder / "all").mkdir(parents=True)
    for split in ("test", "dev"):
        pq.write_table(pa.Table.from_pylist(rows), folder / "all" / f"{split}-00000-of-00001.parquet")
    splits = "".join(f"  - split: {split}\n    path: all/{split}-*\n" for split in ("test", "dev"))
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: all\n  data_files:\n{splits}---\n")
    return folder


def test_questions_are_sorted_by_subject(tmp_path):
    questions, commit = read_hub_benchmark(HubBenchmark(name=str(mmlu_folder(tmp_path / "mmlu")), revision="main"))
    assert questions == {split: [QUESTIONS[1], QUESTIONS[0], QUESTIONS[2]] for split in ("dev", "test")}
    assert commit is None


def test_a_data_set_with_other_columns_is_no_benchmark(tmp_path):
    folder = mmlu_folder(tmp_path / "mmlu", [{"question": "q", "options": ["a"]}])
    with pytest.raises(UserError, match=r"lacks the columns answer, choices, subject"):
        read_hub_benchmark(HubBenchmark(name=str(folder), revision="main"))


@pytest.fixture
def cached_benchmark(tmp_path):
    """The cache that `datasets` leaves behind for `some/mmlu` at COMMIT."""
    read_hub_benchmark(HubBenchmark(name=str(mmlu_folder(tmp_path / "mmlu")), revision="main"))
    prepared = next((tmp_path / "datasets" / "mmlu" / "all" / "0.0.0").glob("*/dataset_info.json")).parent
    shutil.copytree(prepared, tmp_path / "datasets" / "some___mmlu" / "all" / "0.0.0" / COMMIT)


@pytest.mark.usefixtures("cached_benchmark")
@pytest.mark.parametrize("revision", ["main", COMMIT, COMMIT[:7]])
def test_a_cached_data_set_is_read_offline(revision):
    questions, commit = read_hub_benchmark(HubBenchmark(name="some/mmlu", revision=revision))
    assert (len(questions["test"]), commit) == (3, COMMIT)


@pytest.mark.usefixtures("cached_benchmark")
def test_another_revision_in_the_cache_is_not_taken_for_the_pinned_one():
    # Without the check `datasets` would hand out whatever revision it prepared last.
    with pytest.raises(
        UserError,
        match=(
            f"at revision {'1' * 40}: cannot be read .the hub cannot be reached and the cache holds revision {COMMIT}"
        ),
    ):
        read_hub_benchmark(HubBenchmark(name="some/mmlu", revision="1" * 40))


@pytest.mark.usefixtures("cached_benchmark")
def test_a_tag_that_stands_for_another_commit_is_not_taken_for_the_one_in_the_cache(tmp_path):
    refs = tmp_path / "hub" / "datasets--some--mmlu" / "refs"
    refs.mkdir(parents=True)
    (refs / "v1.0").write_text(COMMIT)
    (refs / "v2.0").write_text("2" * 40)
    assert read_hub_benchmark(HubBenchmark(name="some/mmlu", revision="v1.0"))[1] == COMMIT
    with pytest.raises(UserError, match=f"at revision v2.0: cannot be read .* the cache holds revision {COMMIT}"):
        read_hub_benchmark(HubBenchmark(name="some/mmlu", revision="v2.0"))


def test_a_hub_data_set_without_a_sample_stops_the_run_beside_good_ones(folder, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "train.jsonl").write_text('{"q": 1}\n')
    hub = [dataset(folder), dataset(tmp_path / "bad", source_dataset="other")]
    prepare = load_params(PARAMS).prepare.model_copy(update={"source": "hub", "hub": hub})
    with pytest.raises(UserError, match=r"bad: none of its rows can be read; the first is line 1: its columns \(q\)"):
        list(read_pool_source(prepare))


def test_columns_that_nobody_asks_for_are_not_read(tmp_path):
    (tmp_path / "dates").mkdir()
    far = pa.array([2**50, 0], pa.timestamp("s"))
    pq.write_table(pa.table({"text": ["a", "b"], "when": far}), tmp_path / "dates" / "train.parquet")
    prepare = load_params(PARAMS).prepare.model_copy(update={"source": "hub", "hub": [dataset(tmp_path / "dates")]})
    assert [row.messages[0]["content"] for row in read_pool_source(prepare)] == ["a", "b"]


@pytest.mark.parametrize(
    "wrong", [{"choices": ["a", "b"]}, {"answer": 4}, {"answer": True}, {"question": None}, {"subject": None}]
)
def test_a_question_that_is_none_is_named(tmp_path, wrong):
    folder = mmlu_folder(tmp_path / "mmlu", [QUESTIONS[1] | wrong])
    with pytest.raises(UserError, match=r"prepare.benchmark.hub.name: .*mmlu, dev, row 1: got question .*; takes a "):
        read_hub_benchmark(HubBenchmark(name=str(folder), revision="main"))


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_of_the_library_are_drawn_on_terminals_alone(folder, monkeypatch, terminal):
    import datasets

    datasets.enable_progress_bars()
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    read_hub(dataset(folder))
    assert datasets.are_progress_bars_disabled() is not terminal


def test_formats_that_could_carry_code_are_refused(tmp_path):
    (tmp_path / "web").mkdir()
    shutil.make_archive(str(tmp_path / "web" / "train"), "tar", mmlu_folder(tmp_path / "mmlu"))
    with pytest.raises(UserError, match=r"its files are of type webdataset; takes arrow, cache"):
        read_hub(dataset(tmp_path / "web"))
