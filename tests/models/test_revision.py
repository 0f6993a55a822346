"""A revision of a hub model is the commit that is loaded under its name, also without a network."""

import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

from mygo.errors import UserError
from mygo.models.base import load_base, resolve_revision

COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def cached(bases, tmp_path, monkeypatch) -> Path:
    """The hub's cache, which holds `some/model` at two commits; `main` is the first."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--some--model"
    for commit in (COMMIT, OTHER):
        shutil.copytree(bases["qwen2"], folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(COMMIT)
    (folder / "refs/v1").write_text(OTHER)
    return folder


def test_a_branch_and_a_tag_are_the_commits_that_the_cache_holds(cached):
    assert [resolve_revision("some/model", name) for name in (None, "main", "v1")] == [COMMIT, COMMIT, OTHER]
    assert resolve_revision("some/model", OTHER) == OTHER
    (cached / "refs/main").write_text(OTHER)  # the branch moved on
    assert resolve_revision("some/model", "main") == OTHER


def test_a_folder_has_no_commit(bases):
    assert resolve_revision(str(bases["qwen2"]), "main") is None


@pytest.mark.parametrize(
    ("base", "revision", "said"),
    [
        ("some/model", "v2", r"^collect\.base_model: got some/model \(no folder here, .* at revision v2: "),
        ("other/model", None, r"^collect\.base_model: got other/model \(no folder here, .* at revision main: "),
        ("./nowhere", None, r"^collect\.base_model: got \./nowhere, which does not exist"),
    ],
)
def test_what_is_not_there_is_refused(cached, base, revision, said):
    with pytest.raises(UserError, match=said) as error:
        resolve_revision(base, revision, "collect.base_model")
    assert "\n" not in str(error.value)


def test_the_commit_loads_what_the_branch_named(cached):
    (cached / "refs/main").unlink()
    assert load_base("some/model", COMMIT).config.model_type == "qwen2"
