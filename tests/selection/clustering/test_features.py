"""What samples are clustered by, against scikit-learn and by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer

from mygo.selection.clustering import features
from mygo.selection.clustering.features import features_of
from mygo.selection.reading.statistics import open_statistics


def asked(made, **changes):
    return made.params(clustering=changes).clustering


def featured(made, folders, rows, seed=0, **changes):
    recorded = open_statistics(folders.statistics)
    return features_of(recorded, np.array(rows), asked(made, **changes), seed, folders.pool)


def add_column(folders, name, values, width):
    first = 0
    for path in sorted(folders.statistics.glob("*.parquet")):
        table = pq.read_table(path)
        lists = pa.array(values[first : first + len(table)], pa.list_(pa.float32(), width))
        pq.write_table(table.append_column(name, lists), path)
        first += len(table)


@pytest.fixture
def pool(made):
    samples = made.random_samples(7)
    for sample in samples:
        sample.features = [3.0 * sample.index, 4.0 * sample.index]
    return samples


def test_the_base_is_asked_before_the_selector(write, made, pool):
    folders = write(pool, features="hidden_mean")
    np.testing.assert_allclose(featured(made, folders, [0, 2, 6]), [[0, 0], [0.6, 0.8], [0.6, 0.8]], rtol=1e-6)
    add_column(folders, "base_hidden_mean", [[0.0, float(i), 0.0] for i in range(7)], 3)
    for name in ("auto", "hidden_mean"):
        np.testing.assert_allclose(featured(made, folders, [0, 2], features=name), [[0, 0, 0], [0, 1, 0]])
    add_column(folders, "router_probs", [[1.0, 0.0]] * 7, 2)
    add_column(folders, "router_logits", [[0.0, -2.0]] * 7, 2)
    assert featured(made, folders, [3]).tolist() == [[1.0, 0.0]]
    assert featured(made, folders, [3], features="hidden_mean").shape == (1, 3)
    assert featured(made, folders, [3], features="router_logits").tolist() == [[0.0, -1.0]]


def test_the_profile_of_gates_is_their_mean_of_each_layer(write, made, pool):
    folders = write(pool)
    rows = [row for row, sample in enumerate(pool) if sample.n_tokens > 1]
    expected = np.array([made.naive_gates(pool[row], 0.0) for row in rows])
    found = featured(made, folders, rows, features="gate_profile")
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5)


@pytest.fixture
def talks(made):
    """Samples about two subjects in turn, the last one without a word."""
    words = [["amber", "brook", "cedar", "dune"], ["ember", "frost", "grove", "heath"]]
    rng = np.random.default_rng(0)
    samples = made.random_samples(21)
    for i, sample in enumerate(samples):
        said = [" ".join(rng.choice(words[i % 2], 5)) for _ in range(2)] if i < 20 else ["?", "!"]
        sample.messages = [{"role": role, "content": c} for role, c in zip(("user", "assistant"), said, strict=True)]
    return samples


def test_text_is_latent_semantic_analysis_of_what_is_said(write, made, talks):
    folders = write(talks)
    x = featured(made, folders, range(20), features="text")
    texts = ["\n".join(message["content"] for message in sample.messages) for sample in talks[:20]]
    tfidf = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    assert x.shape == (20, 7)  # eight words
    np.testing.assert_allclose(x[::2] @ x[1::2].T, 0, atol=1e-5)  # no word in common
    whole = np.linalg.svd(tfidf.toarray())[1]
    loadings = np.linalg.norm(features.text(None, np.arange(20), folders.pool, 0), axis=0)
    np.testing.assert_allclose(loadings, whole[:7], rtol=1e-4)
    assert x.tobytes() == featured(made, folders, range(20), features="text").tobytes()


@pytest.mark.filterwarnings("error")
def test_equal_texts_say_nothing(write, made):
    folders = write([made.Sample("a", i, [1.0], np.zeros((2, 2))) for i in range(6)])
    assert np.ptp(featured(made, folders, range(6), features="text", pca=1)) == 0


def test_text_of_some_rows_and_of_none(write, made, talks, monkeypatch):
    monkeypatch.setattr(features, "BATCH_ROWS", 3)
    folders = write(talks)
    x = featured(made, folders, [1, 2, 7, 20], features="text")
    assert np.linalg.norm(x, axis=1).tolist() == pytest.approx([1, 1, 1, 0])
    assert abs(x[0] @ x[1]) < 1e-5 < x[0] @ x[2]
    assert featured(made, folders, [20], features="text").tolist() == [[0.0]]


def test_principal_components_are_scikit_learns_with_fixed_signs(write, made):
    samples = made.random_samples(200)
    rng = np.random.default_rng(0)
    for sample in samples:
        sample.features = (rng.normal(0, 1, 8) * [9, 7, 5, 3, 1, 1, 1, 1]).tolist()
    folders = write(samples, features="router_probs", shard_rows=50)
    whole = featured(made, folders, range(200))
    expected = PCA(3, svd_solver="full").fit_transform(whole.astype(float))
    found = featured(made, folders, range(200), pca=3)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-3)
    assert found.dtype == np.float32
    assert found.tobytes() == featured(made, folders, range(200), pca=3).tobytes()
