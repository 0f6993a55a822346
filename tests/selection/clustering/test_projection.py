"""Samples drawn in two dimensions."""

import sys

import numpy as np
import pytest

from mygo.errors import UserError
from mygo.selection.clustering import projection
from mygo.selection.clustering.projection import project, stratified
from tests.selection.clustering.rows import around_topics, unit_rows


def test_the_draw_has_the_shares_of_the_clusters():
    label = np.repeat([-1, 0, 1], [100, 300, 600])
    drawn = stratified(label, 100, np.random.default_rng(0))
    assert np.abs(np.bincount(label[drawn] + 1) - [10, 30, 60]).max() <= 1
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert stratified(label, 100, np.random.default_rng(1)).tolist() != drawn.tolist()
    assert stratified(label, 1000, np.random.default_rng(0)).tolist() == list(range(1000))


def test_principal_components_part_the_topics(monkeypatch):
    monkeypatch.setattr(projection, "DRAWN_ROWS", 150)
    x, topic = around_topics(400, 2, 16, 0.1)
    rows, placed = project(x, topic, "pca", 0)
    assert placed.shape == (150, 2)
    left = placed[:, 0] < 0
    assert set(topic[rows[left]]) != set(topic[rows[~left]])
    assert len(set(topic[rows[left]])) == 1
    assert placed.tobytes() == project(x, topic, "pca", 0)[1].tobytes()


@pytest.mark.parametrize("name", ["pca", "umap"])
@pytest.mark.parametrize("x", [unit_rows(10), unit_rows(10, 10, 10), np.ones((3, 1), np.float32)])
def test_few_rows_equal_rows_one_feature(name, x):
    rows, placed = project(x, np.zeros(len(x), int), name, 0)
    assert (len(rows), placed.shape) == (len(x), (len(x), 2))
    assert np.isfinite(placed).all()


def test_none_draws_nothing():
    rows, placed = project(unit_rows(1, 2, 3), np.zeros(3, int), "none", 0)
    assert (len(rows), placed.shape) == (0, (0, 2))


def test_umap_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match=r"projection: got umap, and umap is not installed here .*; takes pca or none$"):
        project(unit_rows(*range(9)), np.zeros(9, int), "umap", 0)


@pytest.mark.slow
def test_umap_parts_the_topics():
    x, topic = around_topics(200, 2, 16, 0.1)
    _, placed = project(x, topic, "umap", 0)
    centres = np.stack([placed[topic == t].mean(axis=0) for t in (0, 1)])
    gap = np.linalg.norm(placed[:, None] - centres, axis=2)
    assert (gap.argmin(axis=1) == topic).mean() > 0.99
    assert placed.tobytes() == project(x, topic, "umap", 0)[1].tobytes()
