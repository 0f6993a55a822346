"""Sentences for users: escaped, short, one line."""

import subprocess
import sys

import pytest

from mygo.errors import escaped, listed, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a plain Über-name 名前", "a plain Über-name 名前"),
        ("\x1b[2J\r\nerror: forged", r"\x1b[2J\r\nerror: forged"),
        ("\u202egnp.exe\u2066\u200b", r"\u202egnp.exe\u2066\u200b"),
        ("\x85\u2028\x9b31m\x00\x7f", r"\x85\u2028\x9b31m\x00\x7f"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_a_terminal_acts_on_is_escaped(text, expected):
    assert escaped(text) == shown(text) == expected


@pytest.mark.parametrize("limit", [10, 80])
def test_long_values_lose_their_middle(limit):
    for text in ("a" * 10**7 + "end", "\n" * 100 + "end", "a" * limit + "b", ["x"] * 1000):
        cut = shown(text, limit)
        assert len(cut) == limit
        assert "..." in cut
    assert shown("a" * limit, limit) == "a" * limit


def test_few_names_are_listed():
    assert listed([]) == "none"
    assert listed(["a", "b\n"]) == r"a, b\n"
    assert listed(range(20_000), most=3) == "0, 1, 2 and 19,997 more"
    assert len(listed("x" * 10**6 for _ in range(10**4))) < 400


def test_a_sentence_is_one_short_line_whatever_it_quotes():
    program = (
        "from mygo.errors import UserError, one_sentence\n"
        "@one_sentence\n"
        "def main():\n"
        "    raise UserError('it is \\x1b[31m red\\nerror: forged' + 'x' * 10**6 + 'the end')\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(r"error: it is \x1b[31m red\nerror: forgedxxx")
    assert done.stderr.endswith("the end\n")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 1_100
