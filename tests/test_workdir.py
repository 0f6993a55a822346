"""Files and folders appear complete or not at all; a work folder belongs to its fingerprint."""

import pytest

from mygo.workdir import (
    FINGERPRINT_FILE,
    atomic_folder,
    digest,
    hash_folder,
    open_workdir,
    publish,
    sync_rename,
    write_atomically,
)


def test_a_folder_that_fails_leaves_what_was_there(tmp_path):
    out = tmp_path / "out"
    with atomic_folder(out) as folder:
        (folder / "a").write_text("old")

    def fail() -> None:
        with atomic_folder(out) as folder:
            (folder / "a").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (out / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_that_fails_leaves_nothing(tmp_path):
    def fail() -> None:
        with sync_rename(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert list(tmp_path.iterdir()) == []
    write_atomically(tmp_path / "deep" / "a", b"whole")
    assert (tmp_path / "deep" / "a").read_bytes() == b"whole"


def test_digest_ignores_the_order_of_keys_only():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


def test_hash_folder_sees_names_and_contents(tmp_path):
    hashes = []
    for name, text in (("a", "1"), ("a", "2"), ("b", "2")):
        folder = tmp_path / f"{name}{text}"
        folder.mkdir()
        (folder / name).write_text(text)
        (folder / "ignored").write_text(str(len(hashes)))
        hashes.append(hash_folder(folder, ignore=("ignored",)))
    assert len(set(hashes)) == 3


def test_work_is_found_again_under_its_fingerprint_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    first = open_workdir("collect", {"model": "x"})
    (first / "shard").write_text("done")
    assert (open_workdir("collect", {"model": "x"}) / "shard").exists()
    assert not (open_workdir("collect", {"model": "y"}) / "shard").exists()
    publish(first, tmp_path / "data" / "statistics")
    assert {path.name for path in (tmp_path / "data" / "statistics").iterdir()} == {"shard", FINGERPRINT_FILE}
    assert not first.exists()
