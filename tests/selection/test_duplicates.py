"""Near-duplicates: found as a comparison of all pairs finds them, and the best of each group stays."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from mygo.selection.spending.duplicates import bands_of, duplicates_along, read_grams, shared_buckets

WORDS = [f"w{i}" for i in range(200)]


def talk(text, answer=""):
    return [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]


def grams_of(words):
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)} or {tuple(words)}


@pytest.fixture
def related(write, made):
    """Texts of 40 words, most of them an earlier one with some words changed."""
    rng = np.random.default_rng(0)
    texts = []
    for i in range(200):
        words = rng.choice(WORDS, 40).tolist() if i % 5 == 0 else list(texts[int(rng.integers(i))])
        for place in rng.choice(40, int(rng.integers(0, 4)), replace=False):
            words[place] = str(rng.choice(WORDS))
        texts.append(words)
    samples = [made.Sample("a", i, [1.0], np.zeros((2, 2)), messages=talk(" ".join(t))) for i, t in enumerate(texts)]
    return write(samples), texts


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.9])
def test_what_all_pairs_say(related, similarity):
    folders, texts = related
    grams = read_grams(folders.pool)
    sets = [grams_of(words) for words in texts]
    order = np.random.default_rng(1).permutation(200)
    found = duplicates_along(order, grams, shared_buckets(grams, np.arange(200), similarity, 0), similarity)
    expected, stayed = {}, []
    for row in order.tolist():
        alike = [other for other in stayed if len(sets[row] & sets[other]) / len(sets[row] | sets[other]) >= similarity]
        if alike:
            expected[row] = alike[0]
        else:
            stayed.append(row)
    assert found == expected
    assert len(found) > 20


def test_jaccard_of_grams_by_hand(write, made):
    texts = ["a b c d e f", "A  B c d e\nf g", "x", "X", "", "a b c d"]
    samples = [made.Sample("a", i, [1.0], np.zeros((2, 2)), messages=talk(text)) for i, text in enumerate(texts)]
    grams = read_grams(write(samples).pool)
    assert [len(grams.of(i)) for i in range(6)] == [2, 3, 1, 1, 0, 1]
    assert grams.jaccard(0, np.array([5, 1, 4, 0])).tolist() == pytest.approx([0, 2 / 3, 0, 1])
    assert grams.jaccard(2, np.array([3, 4])).tolist() == [1, 0]
    assert grams.jaccard(4, np.array([4, 1])).tolist() == [1, 0]
    assert grams.jaccard(0, np.array([], dtype=np.int64)).tolist() == []


def test_scripts_without_spaces_are_cut_at_letters(write, made):
    """Of one word each, texts that differ in a letter would share nothing."""
    texts = ["机器学习是人工智能", "机器学习是人工的智能", "สวัสดีครับ", "한국어 문장 하나 둘 셋", "où est l'été né"]
    samples = [made.Sample("a", i, [1.0], np.zeros((2, 2)), messages=talk(text)) for i, text in enumerate(texts)]
    grams = read_grams(write(samples).pool)
    assert [len(grams.of(i)) for i in range(5)] == [5, 6, 6, 1, 1]
    assert grams.jaccard(0, np.array([1])) == pytest.approx(3 / 8)


def test_bands_catch_what_they_promise():
    for similarity in (0.3, 0.5, 0.8, 0.95, 1.0):
        width = 128 // bands_of(similarity)
        assert 1 - (1 - similarity**width) ** bands_of(similarity) >= 0.995
    assert bands_of(1.0) == 1


def test_the_best_of_each_group_stays(write, made):
    texts = [
        "one two three four five six",
        "seven eight nine ten",
        "ONE two three four five six",
        "lone",
        "seven eight nine ten",
    ]
    samples = [
        made.Sample("a", i, [1.0], np.full((2, 2), float(i)), messages=talk(text)) for i, text in enumerate(texts)
    ]
    folders = write(samples)
    result, out = made.run(folders, made.params(score="raw", deduplicate=0.8, ratio=1.0))
    rows = pq.read_table(out / "scores.parquet").to_pylist()
    assert [row["reason"] for row in rows] == ["duplicate", "duplicate", "kept", "kept", "kept"]
    assert [row["duplicate_of"] for row in rows] == ["a-2", "a-4", None, None, None]
    assert (result.metrics["duplicates"], result.metrics["selected"]) == (2, 3)
    _, out = made.run(folders, made.params(score="raw", order="lowest", deduplicate=0.8, count=2))
    rows = pq.read_table(out / "scores.parquet").to_pylist()
    assert [row["reason"] for row in rows] == ["kept", "kept", "duplicate", "below_budget", "duplicate"]
    result, out = made.run(folders, made.params(score="raw", count=2))
    assert "duplicates" not in result.metrics
    assert pq.read_table(out / "scores.parquet")["duplicate_of"].null_count == 5


def test_calls_of_tools_are_text_too(write, made):
    def call(name):
        return [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "", "tool_calls": f'["{name}"]'}]

    samples = [made.Sample("a", i, [1.0], np.zeros((2, 2)), messages=call(name)) for i, name in enumerate("aba")]
    _, out = made.run(write(samples), made.params(score="raw", deduplicate=0.8, ratio=1.0))
    assert pq.read_table(out / "scores.parquet")["reason"].to_pylist() == ["kept", "kept", "duplicate"]
