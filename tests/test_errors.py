"""What a user can mend is one line, whatever raised it."""

import errno
import os

import pytest

from mygo.errors import LAUNCH, UserError, one_sentence


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("select.ratio: got 2"), "error: select.ratio: got 2\n"),
        (PermissionError(errno.EACCES, "Permission denied", "data/pool"), "error: data/pool: Permission denied\n"),
        (OSError(errno.EROFS, "Read-only file system", "metrics/a"), "error: metrics/a: Read-only file system\n"),
        (OSError(errno.EFBIG, "Error writing bytes"), "error: File too large\n"),
        (OSError(errno.ENOSPC, "Error writing bytes"), "error: No space left on device\n"),
    ],
)
def test_an_error_that_a_user_can_mend_is_one_line(error, line, capsys):
    @one_sentence
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        main()
    assert (left.value.code, capsys.readouterr().err) == (1, line)


def test_a_mistake_of_ours_keeps_its_traceback():
    @one_sentence
    def main() -> None:
        raise OSError("no file is named")

    with pytest.raises(OSError, match="no file is named"):
        main()


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "metrics").touch()

    @one_sentence
    def main() -> None:
        from mygo.metrics import write_metrics

        write_metrics(tmp_path / "metrics/prepare.json", {"samples": 1})

    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.count("\n") == 1


def test_a_process_that_cannot_tell_whether_another_has_spoken_speaks(monkeypatch, capsys):
    """The folder of the launch may lie on the disk that is full."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "spoken")

    @one_sentence
    def main() -> None:
        raise UserError("select.ratio: got 2")

    monkeypatch.setenv(LAUNCH, "/launch")
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "error: select.ratio: got 2\n"
