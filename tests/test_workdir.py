"""Files and folders appear complete or not at all; a work folder belongs to its fingerprint."""

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from safetensors import SafetensorError

from mygo.errors import UserError
from mygo.workdir import (
    FINGERPRINT_FILE,
    CannotWrite,
    atomic_folder,
    digest,
    first_written,
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


def test_of_many_that_write_first_all_read_the_same(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        for attempt in range(20):
            path = tmp_path / str(attempt)
            answers = list(threads.map(lambda own, path=path: first_written(path, b"%d" % own), range(8)))
            assert len(set(answers)) == 1
            assert path.read_bytes() == answers[0]
    assert len(list(tmp_path.iterdir())) == 20


def test_the_first_one_is_kept_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "link", no_links)
    assert [first_written(tmp_path / "a", content) for content in (b"1", b"2")] == [b"1", b"1"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, r"No space left on device\); free some space and run it again$"),
        (errno.EROFS, r"Read-only file system\); make it writable and run it again$"),
        (errno.EIO, r"Input/output error\); mend that and run it again$"),
    ],
)
def test_a_write_that_the_system_refuses_names_the_file(tmp_path, number, said):
    def refuse() -> None:
        with sync_rename(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise OSError(number, "whatever the library says")

    with pytest.raises(UserError, match=r"/a: cannot be written \(" + said):
        refuse()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match=r"/file/a: cannot be written \((Not a directory|File exists)\)"):
        write_atomically(tmp_path / "file" / "a", b"x")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "Error writing bytes to file"),
        PermissionError(errno.EACCES, "Permission denied", "HERE"),
        *(
            SafetensorError(f"Error while serializing: I/O error: whatever it says (os error {number})")
            for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        ),
    ],
    ids=["full", "not ours to write", "full in Rust", "quota in Rust", "limit in Rust"],
)
def test_a_folder_that_the_system_refuses_is_named(tmp_path, error):
    def refuse() -> None:
        with atomic_folder(tmp_path / "out") as folder:
            if getattr(error, "filename", None):
                error.filename = str(folder / "a")
            raise error

    reason = "(No space left on device|Disk quota exceeded|File too large|Permission denied)"
    with pytest.raises(CannotWrite, match=rf"/out: cannot be written \({reason}\); (free some space|make it writable)"):
        refuse()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "no", "input"),
        PermissionError(errno.EACCES, "no", "/input"),
        OSError(errno.ENOSPC, "no", "/elsewhere/log"),  # names its own file
        OSError("x"),
        SafetensorError("Error while deserializing: I/O error: Permission denied (os error 13)"),
    ],
)
def test_what_the_block_reads_is_not_taken_for_what_it_writes(tmp_path, error):
    def fail() -> None:
        with atomic_folder(tmp_path / "out"):
            raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert raised.value is error


def test_publishing_copies_to_another_file_system_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    work, out = open_workdir("collect", {"model": "x"}), tmp_path / "out"
    (work / "deep").mkdir()
    (work / "deep/shard").write_text("done")
    replace, copy = os.replace, shutil.copy2

    def other_file_system(source, target):
        if source == work:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    def full(*_):
        raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(os, "replace", other_file_system)
    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(CannotWrite, match="/out: cannot be written"):
        publish(work, out)
    assert (work / "deep/shard").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    monkeypatch.setattr(shutil, "copy2", copy)
    publish(work, out)
    assert (out / "deep/shard").read_text() == "done"
    assert not work.exists()


def test_a_second_publisher_does_not_delete_what_the_first_published(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    work = open_workdir("collect", {"model": "x"})
    publish(work, tmp_path / "out")
    with pytest.raises(CannotWrite):
        publish(work, tmp_path / "out")
    assert (tmp_path / "out" / FINGERPRINT_FILE).exists()
