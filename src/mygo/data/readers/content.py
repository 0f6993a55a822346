"""What a file's first bytes say that it is, where that is not what its name says."""

import re

HEAD_BYTES = 1 << 10
# The first bytes of formats that are taken for bad lines of text, by the ending that such files have.
MAGIC = {
    ".parquet": rb"PAR1\x15",
    ".gz": rb"\x1f\x8b",
    ".zst": rb"\x28\xb5\x2f\xfd",
    ".xz": rb"\xfd7zXZ\0",
    ".bz2": rb"BZh[1-9]1AY&SY",
    ".zip": rb"PK\x03\x04",
}
NO_DATA = {
    rb"version https://git-lfs": "a Git LFS pointer, not the file that it stands for; `git lfs pull` fetches that",
    rb"(?i)\s*<(!doctype html|html)": "a web page",
    rb"\xff\xfe|\xfe\xff": "UTF-16 text; takes UTF-8",
}


def check_head(head: bytes, ending: str = "") -> None:
    """Raise `ValueError` if the first bytes are those of another kind of file than one with this ending ("": text)."""
    for pattern, what in NO_DATA.items():
        if re.match(pattern, head):
            raise ValueError(f"it is {what}")
    for other, pattern in MAGIC.items():
        if other != ending and re.match(pattern, head):
            raise ValueError(f"its content is that of a {other} file")
