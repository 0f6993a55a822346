"""Scores towards a reference set, against plain Python on the same numbers and words."""

import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mygo.data.chat.plain import plain_text
from mygo.data.pool import write_pool
from mygo.data.records import Sample
from mygo.errors import UserError
from mygo.selection.reading.material import Material
from mygo.selection.reading.statistics import open_statistics
from mygo.selection.run import select
from mygo.selection.scores import SCORES
from mygo.selection.scores import reference as scores
from mygo.selection.scores.reference import Ngrams, dsir, rds
from tests.selection import by_hand as made

LARGE = 200_003  # buckets, so that no two of a few hundred n-grams meet
WORDS = ["amber", "brook", "cedar", "dune", "ember", "frost", "glade"]


def chat(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def samples(count, seed, width=4):
    rng = np.random.default_rng(seed)
    for i in range(count):
        asked, told = (" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in "ab")
        yield made.Sample(
            "a", i, [1.0], np.zeros((2, 2)), messages=chat(f"{asked}?", told.title()), features=rng.normal(0, 1, width)
        )


@pytest.fixture
def material(tmp_path):
    """Statistics and pools of seven samples and of three reference samples."""
    pool = made.write_folders(tmp_path / "pool", list(samples(7, 0)), features="base_hidden_weighted")
    reference = made.write_folders(
        tmp_path / "reference", list(samples(3, 1)), shard_rows=2, features="base_hidden_weighted"
    )
    params = made.make_params(score="dsir", dsir={"ngrams": 2, "buckets": LARGE, "gumbel": False})
    return Material(open_statistics(pool.statistics), params, pool.pool, 5, reference.statistics, reference.pool)


def plain_rds(pool, reference):
    return [max(float(x @ y) / math.sqrt(float(x @ x) * float(y @ y)) for y in reference) for x in pool]


@pytest.mark.parametrize("cosines", [1, 6, 10**6])
def test_rds_is_the_largest_cosine_to_a_reference_sample(material, monkeypatch, cosines):
    monkeypatch.setattr(scores, "COSINES", cosines)  # in batches of one row, of two, of all
    expected = plain_rds(*([np.array(s.features) for s in samples(n, seed)] for n, seed in ((7, 0), (3, 1))))
    found = rds(material)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_rds_grades_what_was_graded(tmp_path, material):
    rows = [replace(s, features=None if s.index == 2 else s.features) for s in samples(7, 0)]
    rows[3].features = np.zeros(4)
    pool = made.write_folders(tmp_path / "holes", rows, features="base_hidden_weighted")
    few = [replace(s, features=None if s.index else s.features) for s in samples(3, 1)]
    reference = made.write_folders(tmp_path / "few", few, features="base_hidden_weighted")
    found = rds(replace(material, statistics=open_statistics(pool.statistics), reference=reference.statistics))
    expected = plain_rds([np.array(rows[0].features)], [np.array(few[0].features)])
    assert found[0] == pytest.approx(expected[0], abs=1e-6)
    assert np.flatnonzero(np.isnan(found)).tolist() == [2]
    assert found[3] == 0


def ngrams_of(text, longest=2):
    """As the published package does: WordPunct of the lower-case text, n-grams joined by a space."""
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    return [" ".join(words[i : i + n]) for n in range(1, longest + 1) for i in range(len(words) - n + 1)]


def plain_dsir(pool, reference, longest):
    """log_diff = log(target + 1e-8) - log(raw + 1e-8) and a sum over n-grams, as published, without buckets."""
    counts = [Counter(gram for text in texts for gram in ngrams_of(text, longest)) for texts in (reference, pool)]
    target, raw = ({gram: count / counted.total() for gram, count in counted.items()} for counted in counts)
    difference = {gram: math.log(target.get(gram, 0) + 1e-8) - math.log(raw[gram] + 1e-8) for gram in raw}
    return [sum(difference[gram] for gram in ngrams_of(text, longest)) for text in pool]


@pytest.mark.parametrize("longest", [1, 2, 3])
@pytest.mark.parametrize("batch", [2, 1000])
def test_dsir_is_the_published_formula(material, monkeypatch, longest, batch):
    monkeypatch.setattr(scores, "TEXTS", batch)
    changed = {"ngrams": longest, "buckets": LARGE, "gumbel": False}
    found = dsir(replace(material, params=made.make_params(score="dsir", dsir=changed)))
    texts = [[plain_text(s.messages) for s in samples(n, seed)] for n, seed in ((7, 0), (3, 1))]
    np.testing.assert_allclose(found, plain_dsir(*texts, longest), atol=1e-9)
    together = [text for part in texts for text in part]
    grams = {gram for text in together for gram in ngrams_of(text, longest)}
    assert np.count_nonzero(Ngrams(longest, LARGE).counts(together)) == len(grams)  # no two share a bucket


def test_few_buckets_are_shared_and_all_of_them_used():
    ngrams = Ngrams(2, 10)
    count_K = ngrams.counts([" ".join(f"word{i}" for i in range(500))])
    assert count_K.sum() == 500 + 499
    assert count_K.min() > 50
    assert Ngrams(1, 1).counts(["a b", ""]).tolist() == [2]
    assert Ngrams(2, 3).sums(["", "a"], np.ones(3)).tolist() == [0, 1]


def test_buckets_are_the_same_on_every_machine():
    # Worked out once: blake2b of a word, splitmix64's finaliser, modulo 1000.
    buckets = [bucket.tolist() for bucket, _ in Ngrams(2, 1000)._buckets(["a b", "B"])]
    assert buckets == [[214, 904, 904], [557]]


def test_gumbel_noise_is_the_seeds_and_draws_in_proportion_to_the_weights(material):
    quiet, noisy = (
        replace(material, params=made.make_params(score="dsir", dsir={"ngrams": 1, "buckets": 100, "gumbel": gumbel}))
        for gumbel in (False, True)
    )
    plain, first = dsir(quiet), dsir(noisy)
    np.testing.assert_array_equal(first, dsir(noisy))
    assert (first != dsir(replace(noisy, seed=6))).all()
    # The largest of log w + Gumbel noise is sample i with probability w_i / sum w: two that differ by log 3.
    noise = np.stack([dsir(replace(noisy, seed=seed)) - plain for seed in range(300)])
    wins = ((noise[:, 0] + math.log(3)) > noise[:, 1]).mean()
    assert wins == pytest.approx(0.75, abs=0.08)
    assert noise.mean() == pytest.approx(0.5772, abs=0.1)  # Euler's constant, the mean of Gumbel's distribution
    assert noise.var() == pytest.approx(math.pi**2 / 6, abs=0.3)


def test_a_sample_without_a_token_to_learn_from_is_not_graded(tmp_path, material):
    rows = [replace(s, nll=[], logits=np.zeros((2, 1))) if s.index == 1 else s for s in samples(7, 0)]
    pool = made.write_folders(tmp_path / "short", rows, features="base_hidden_weighted")
    given = replace(material, statistics=open_statistics(pool.statistics), pool=pool.pool)
    for score in (dsir, rds):
        assert np.flatnonzero(np.isnan(score(given))).tolist() == [1]


@pytest.mark.parametrize(("score", "missing"), [(dsir, "reference_pool"), (rds, "reference")])
def test_without_a_reference_set_there_is_one_sentence(material, tmp_path, score, missing):
    (tmp_path / "empty").mkdir()
    for folder in (None, tmp_path / "empty"):
        with pytest.raises(
            UserError, match=r"^select\.score: dsir compares the pool with a reference set, and there is"
        ):
            score(replace(material, **{missing: folder}))


def test_hidden_states_that_are_not_there_or_of_another_model_are_named(material, tmp_path):
    bare = made.write_folders(tmp_path / "bare", list(samples(7, 0)))
    with pytest.raises(
        UserError, match=r"^select\.score: rds compares .*bare/statistics holds none; set collect\.hidd"
    ):
        rds(replace(material, statistics=open_statistics(bare.statistics)))
    narrow = [made.Sample("a", 0, [1.0], np.zeros((2, 2)), features=[1.0])]
    other = made.write_folders(tmp_path / "other", narrow, features="base_hidden_weighted")
    manifest = other.statistics / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fingerprint": {}', '"fingerprint": {"model": "another"}'))
    with pytest.raises(UserError, match=r"other/statistics: was collected with another model than .*; run collect"):
        rds(replace(material, reference=other.statistics))


def test_shards_of_another_width_are_refused(material):
    path = material.statistics.folder / "shard-00001.parquet"
    table = pq.read_table(path)
    column = pa.array([[1.0]] * table.num_rows, pa.list_(pa.float32(), 1))
    place = table.column_names.index("base_hidden_weighted")
    pq.write_table(table.set_column(place, "base_hidden_weighted", column), path)
    with pytest.raises(
        UserError, match=r"shard-00001\.parquet: base_hidden_weighted is fixed_size_list.*not lists of 4"
    ):
        rds(material)


@pytest.mark.parametrize("score", ["dsir", "rds"])
def test_a_selection_by_them(material, tmp_path, score):
    params = material.params.model_copy(update={"score": score, "ratio": 0.3})
    given = (material.statistics.folder, material.pool, tmp_path / "out", material.reference, material.reference_pool)
    result = select(params, 5, *given)
    assert (result.metrics["selected"], result.metrics["graded"]) == (3, 7)
    table = pq.read_table(tmp_path / "out/scores.parquet")
    found = {"dsir": dsir, "rds": rds}[score](replace(material, params=params))
    np.testing.assert_array_equal(table["score"].to_numpy(), found)
    assert SCORES[score] is {"dsir": dsir, "rds": rds}[score]


def test_a_sample_of_the_reference_set_itself_is_nearest(tmp_path, material):
    """A copy of a reference sample among the pool."""
    rows = [*samples(6, 0), replace(next(iter(samples(1, 1))), index=6)]
    pool = made.write_folders(tmp_path / "copy", rows, features="base_hidden_weighted")
    given = replace(material, statistics=open_statistics(pool.statistics), pool=pool.pool)
    assert rds(given).argmax() == 6
    assert rds(given)[6] == pytest.approx(1, abs=1e-6)


def test_texts_with_calls_of_tools_count_too(tmp_path):
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "Zork"}}]}
    messages = [[{"role": "user", "content": "go"}, call], chat("go", "no")]
    write_pool([Sample("s", i, f"s_{i}", row, None) for i, row in enumerate(messages)], tmp_path / "pool")
    assert "zork" in next(iter(scores._texts(tmp_path / "pool")))[0].lower()
