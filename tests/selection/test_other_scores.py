"""Scores of routers, of answers, of files and of other scores, by hand."""

import gzip
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mygo.errors import UserError
from mygo.selection.reading.statistics import open_statistics
from mygo.selection.scores.combine import combined, scaled_ranks, z_scores
from mygo.selection.scores.routers import good_experts
from tests.selection.by_hand import Sample, lists

# two layers of four experts, mean over tokens
LOGITS = np.array([[1, 2, 3, 40, 5, 6, 7, 80], [0.5, 0, 0, 9, 0, 0, 0.25, 9], [-1, 1, 0, 2, 0, 0, 0, 3]])
PROBS = np.array([[0.1, 0.2, 0.3, 0.4, 0.4, 0.3, 0.2, 0.1], [0, 0, 0, 1, 0.5, 0.5, 0, 0], [0.25] * 8])


@pytest.fixture
def routed(write, made):
    samples = [made.Sample("a", i, [1.0] * (i + 1), np.zeros((2, i + 2))) for i in range(3)]
    columns = {"router_logits": lists(LOGITS), "router_probs": lists(PROBS)}
    return write(samples, columns=columns, experts=4)


@pytest.mark.parametrize(
    ("experts", "ratio", "good"),
    [
        (64, 0.125, 56),
        (64, 0.02, 63),
        (64, 0.001, 63),
        (4, 0.3, 3),
        (4, 0.5, 2),
        (4, 1.0, 1),
        (60, 0.05, 57),
        (2, 0.9, 1),
    ],
)
def test_the_last_experts_are_trash(experts, ratio, good):
    assert good_experts(experts, ratio) == good


def test_expert_logits_by_hand(routed, made):
    statistics = open_statistics(routed.statistics)
    # good: the first three of each layer (0.25 of four is one)
    np.testing.assert_allclose(made.score("expert_logits", statistics), [24, 0.75, 0], rtol=1e-6)
    np.testing.assert_allclose(made.score("expert_logits", statistics, trash_expert_ratio=0.5), [14, 0.5, 0], rtol=1e-6)
    # as published, summed over 2, 3 and 4 tokens
    np.testing.assert_allclose(made.score("expert_logits", statistics, over_tokens="sum"), [48, 2.25, 0], rtol=1e-6)


def test_trash_mass_by_hand(routed, made):
    # (0.6 + 0.9) / 2, (0 + 1) / 2, (0.75 + 0.75) / 2
    np.testing.assert_allclose(
        made.score("trash_mass", open_statistics(routed.statistics)), [0.75, 0.5, 0.75], rtol=1e-6
    )


def test_a_trash_can_has_trash_experts_of_its_own(write, made):
    samples = [made.Sample("a", i, [1.0], np.zeros((2, 2))) for i in range(3)]
    columns = {"trash_mass": lists(np.array([[0.5, 1], [0.25, 0.25], [0, 1]])), "router_logits": lists(LOGITS)}
    statistics = open_statistics(write(samples, columns=columns, experts=3, trash_experts=1).statistics)
    np.testing.assert_allclose(made.score("trash_mass", statistics), [0.75, 0.25, 0.5])
    np.testing.assert_allclose(
        made.score("expert_logits", statistics, trash_expert_ratio=1.0), [24, 0.75, 0], rtol=1e-6
    )  # all regular experts, whatever the ratio


def test_answer_nll_is_the_base_models(write, made):
    samples = [made.Sample("a", i, [1.0, 3.0], np.zeros((2, 3)), answer=[False, False, i > 0]) for i in range(3)]
    plain = open_statistics(write(samples, gated=False).statistics)
    np.testing.assert_allclose(made.score("answer_nll", plain), [np.nan, 3, 3])
    base = {"base_nll_answer": pa.array([None, 0.5, 0.25], pa.float32())}
    gated = open_statistics(write(samples, name="gated", columns=base).statistics)
    np.testing.assert_allclose(made.score("answer_nll", gated), [np.nan, 0.5, 0.25])


def test_ifd_is_a_ratio_of_perplexities(write, made):
    nll = {
        "nll_first_answer": pa.array([math.log(2), math.log(3), None], pa.float32()),
        "nll_first_answer_alone": pa.array([math.log(8), math.log(3), None], pa.float32()),
    }
    samples = [made.Sample("a", i, [1.0], np.zeros((2, 2)), answer=[False, i < 2]) for i in range(3)]
    folders = write(samples, columns=nll)
    np.testing.assert_allclose(made.score("ifd", open_statistics(folders.statistics)), [0.25, 1, np.nan], rtol=1e-6)
    _, out = made.run(folders, made.params(score="ifd", ratio=1.0))
    assert pq.read_table(out / "scores.parquet")["reason"].to_pylist() == ["kept", "kept", "no_answer"]


def test_random_knows_the_seed_and_nothing_else(write, made):
    kept = []
    for name, labels in (("first", ["clean", "wrong"]), ("second", ["wrong", "clean"])):
        folders = write(made.random_samples(40, labels=labels), name=name)
        for seed in (0, 1):
            _, out = made.run(folders, made.params(score="random"), seed=seed)
            kept.append(pq.read_table(out / "scores.parquet")["score"].to_pylist())
    assert kept[0] == kept[2] != kept[1] == kept[3]
    drawn = [score for score in kept[0] if score is not None]
    assert kept[0][0] is None
    assert 0 <= min(drawn) < max(drawn) < 1


def test_ranks_and_z_scores_by_hand():
    np.testing.assert_allclose(scaled_ranks(np.array([3.0, 1, 3, 7])), [0.5, 0, 0.5, 1])
    np.testing.assert_allclose(scaled_ranks(np.array([5.0])), [0.5])
    np.testing.assert_allclose(z_scores(np.array([1.0, 3, 5])), np.array([-1, 0, 1]) * math.sqrt(1.5))
    for equal in (np.array([2.0, 2]), np.full(3, 0.1)):  # three times 0.1 is not quite 0.3
        assert set(z_scores(equal).tolist()) == {0.0}
    assert len(scaled_ranks(np.array([]))) == len(z_scores(np.array([]))) == 0
    # the third lacks one part, so that neither part's ranks know it
    first, second = np.array([10.0, 20, 99, 30]), np.array([1.0, 4, np.nan, 2])
    got = combined([(first, 1.0, "highest"), (second, 3.0, "lowest")], "ranks")
    np.testing.assert_allclose(got, [(0 + 3 * 1) / 4, 0.5 / 4, np.nan, (1 + 3 * 0.5) / 4])
    got = combined([(first, 1.0, "highest"), (second, 1.0, "middle")], "z_scores")  # 1, 4, 2: median 2
    spread, near = np.array([-1, 0, 1]) * math.sqrt(1.5), np.array([-1.0, -2, 0])
    np.testing.assert_allclose(got[[0, 1, 3]], (spread + (near - near.mean()) / near.std()) / 2)


def test_a_combined_score_says_which_part_a_sample_lacks(write, made, tmp_path):
    samples = [made.Sample("a", i, [1.0], np.full((2, 2), float(i)), answer=[False, i != 1]) for i in range(4)]
    (tmp_path / "own.csv").write_text("id,score\na-0,1\na-1,2\na-3,0\n")
    given = {"path": str(tmp_path / "own.csv"), "id_column": "id", "score_column": "score"}
    parts = [{"score": "raw"}, {"score": "external", "weight": 3.0}, {"score": "answer_nll", "order": "lowest"}]
    folders = write(samples, gated=True, columns={"base_nll_answer": pa.array([1.0, None, 2, 3], pa.float32()),
                                                  "base_nll": pa.array([1.0] * 4, pa.float32())})  # fmt: skip
    result, out = made.run(folders, made.params(score="combine", combine=parts, external=given, ratio=1.0))
    table = pq.read_table(out / "scores.parquet")
    assert table["reason"].to_pylist() == ["kept", "no_answer", "not_in_file", "kept"]
    np.testing.assert_allclose(table["score"].to_pylist()[::3], [(0 + 3 + 1) / 5, (1 + 0 + 0) / 5])
    assert result.metrics["not_in_file"] == 1


SCORED = [{"id": f"a-{i}", "judge": float(i * i)} for i in (3, 1, 0)] + [{"id": "elsewhere", "judge": 7.0}]


def write_own(path, rows=SCORED):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ".jsonl" in path.name:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        lines = [mark.join(rows[0]), *(mark.join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return {"path": str(path), "id_column": "id", "score_column": "judge"}


@pytest.mark.parametrize("name", ["own.csv", "own.tsv", "own.jsonl", "own.jsonl.gz", "own.parquet"])
def test_a_file_is_joined_by_id(write, made, tmp_path, name):
    samples = [made.Sample("a", i, [1.0], np.zeros((2, 2))) for i in range(4)]
    given = write_own(tmp_path / name)
    result, out = made.run(write(samples), made.params(score="external", external=given, ratio=0.5))
    table = pq.read_table(out / "scores.parquet")
    assert table["score"].to_pylist() == [0, 1, None, 9]
    assert table["reason"].to_pylist() == ["below_budget", "kept", "not_in_file", "kept"]
    assert (result.metrics["not_in_file"], result.metrics["graded"]) == (1, 3)


def test_a_sample_without_a_token_to_learn_from_is_not_kept_for_its_number(write, made, tmp_path):
    samples = [made.Sample("a", i, [1.0] * (i == 3), np.zeros((2, tokens))) for i, tokens in ((0, 0), (1, 1), (3, 2))]
    given = write_own(tmp_path / "own.csv")
    _, out = made.run(write(samples), made.params(score="external", external=given, ratio=1.0))
    assert pq.read_table(out / "scores.parquet")["reason"].to_pylist() == ["rejected", "too_short", "kept"]


class Named(Sample):
    @property
    def key(self) -> str:
        return ["007", "7"][self.index]


def test_ids_of_a_csv_stay_the_text_they_are(write, made, tmp_path):
    folders = write([Named("a", i, [1.0], np.zeros((2, 2))) for i in range(2)])
    given = write_own(tmp_path / "own.csv", [{"id": "007", "judge": 1.0}, {"id": "7", "judge": "n/a"}])
    _, out = made.run(folders, made.params(score="external", external=given))
    assert pq.read_table(out / "scores.parquet")["score"].to_pylist() == [1, None]


@pytest.mark.parametrize(
    ("rows", "changes", "sentence"),
    [
        (SCORED, {"score_column": "score"}, "select.external.score_column: got score; own.jsonl has id, judge"),
        (SCORED, {"id_column": "key"}, "select.external.id_column: got key; own.jsonl has id, judge"),
        (SCORED, {"path": "none.csv"}, "select.external.path: none.csv does not exist; takes a CSV, TSV, JSONL or"),
        (SCORED, {"path": "own.txt"}, "select.external.path: got own.txt; takes a file that ends in .csv, .tsv, "),
        (SCORED[:1] * 2, {}, "select.external.path: own.jsonl has the id a-3 more than once; takes it once"),
        (SCORED[3:], {}, "select.external.path: own.jsonl has a number for none of the pool's 4 ids"),
        (
            [{"id": "a-1", "judge": "good"}],
            {},
            "select.external.score_column: judge of own.jsonl is good at id a-1; takes",
        ),
        ([{"id": "a-1", "judge": [1]}], {}, "select.external.score_column: judge of own.jsonl is [1] at id a-1; takes"),
        (None, {}, "select.external.path: own.jsonl cannot be read ("),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(write, made, tmp_path, monkeypatch, rows, changes, sentence):
    monkeypatch.chdir(tmp_path)
    write_own(tmp_path / "own.jsonl", rows or SCORED)
    if rows is None:
        (tmp_path / "own.jsonl").write_text("{broken\n")
    given = {"path": "own.jsonl", "id_column": "id", "score_column": "judge"} | changes
    folders = write([made.Sample("a", i, [1.0], np.zeros((2, 2))) for i in range(4)])
    with pytest.raises(UserError) as error:
        made.run(folders, made.params(score="external", external=given))
    assert str(error.value).startswith(sentence)
