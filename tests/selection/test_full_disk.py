"""What the system refuses to write is told in one sentence, and nothing half-written is left."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mygo.errors import UserError
from mygo.metrics import write_metrics, write_plot


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel refuses to let a file grow beyond `size` bytes, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [100, 3000])  # not even the card; not the scores of 400 samples
def test_a_full_disk_keeps_the_old_selection(write, made, size):
    folders = write(made.random_samples(400), shard_rows=200)
    _, out = made.run(folders, made.params(score="length"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(UserError, match=r"selected: cannot be written \(.*\); ") as caught, files_of_at_most(size):
        made.run(folders, made.params(score="length", ratio=1.0))
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in out.parent.iterdir()) == ["pool", "selected", "statistics"]


def test_a_full_disk_keeps_the_old_metrics_and_plots(tmp_path):
    write_metrics(tmp_path / "a.json", {"loss": 1})
    write_plot(tmp_path / "a.csv", [{"x": 1}])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for work in (
        lambda: write_metrics(tmp_path / "a.json", {str(i): i for i in range(100)}),
        lambda: write_plot(tmp_path / "a.csv", [{"x": i} for i in range(1000)]),
    ):
        with pytest.raises(UserError, match=r"a\.(json|csv): cannot be written"), files_of_at_most(100):
            work()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_target_that_is_no_folder(scored, made):
    (scored.pool.parent / "selected").write_text("a file of the user's")
    with pytest.raises(UserError, match=r"selected: cannot be written"):
        made.run(scored, made.params(score="raw"))
    assert (scored.pool.parent / "selected").read_text() == "a file of the user's"
