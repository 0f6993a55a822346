"""params.yaml: wrong values are told in one sentence that names the key, what it got and what it takes."""

from pathlib import Path

import pytest
import yaml

from mygo.errors import UserError
from mygo.params import check_params, load_params

ROOT = Path(__file__).resolve().parents[1]


def params_with(key: str | int, value: object) -> dict:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    *sections, last = key.split(".") if isinstance(key, str) else [key]
    section = raw
    for name in sections:
        section = section[name]
    section[last] = value
    return raw


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("select.ratio", 1.5, "select.ratio: got 1.5; takes less than or equal to 1"),
        ("select.ratio", 0, "select.ratio: got 0; takes greater than 0"),
        ("select.ratio", "a lot", "select.ratio: got 'a lot'; takes a valid number"),
        ("select.ratio", float("nan"), "select.ratio: got nan; takes a finite number"),
        (
            "select.strategy",
            "topk",
            "select.strategy: got 'topk'; takes 'top', 'cluster_round_robin', 'random', ",
        ),
        ("select.clusters", 0, "select.clusters: got 0; takes greater than or equal to 1 or 'auto'"),
        ("select.clusters", "many", "select.clusters: got 'many'; takes a valid integer or 'auto'"),
        ("select.clustering.method", "dbscan", "select.clustering.method: got 'dbscan'; takes 'kmeans', 'hdbscan'"),
        ("select.clustering.k_range", [9], "select.clustering: k_range got [9]; takes two numbers, the smaller"),
        ("select.clustering.k_range", [9, 3], "select.clustering: k_range got [9, 3]; takes two numbers"),
        ("select.clustering.k_range", [0, 3], "select.clustering.k_range.0: got 0; takes greater than or equal to 1"),
        ("select.clustering.min_cluster_size", 1, "select.clustering.min_cluster_size: got 1; takes greater than or"),
        ("select.clustering.backend", "cuml", "select.clustering: backend cuml does hdbscan; with method kmeans takes"),
        ("select.clusters", 2.5, "select.clusters: got 2.5; takes a valid integer"),
        (
            "select.strategy",
            "cluster_round_robin",
            "select: strategy cluster_round_robin needs select.clusters, a number of 1 or more or auto; got null",
        ),
        ("seed", True, "seed: got True; takes a valid integer"),
        (
            "select.ratoi",
            0.1,
            "select.ratoi: unknown key; did you mean ratio? select takes alpha, ceiling, clustering, ",
        ),
        ("collect.checkpoint", "first", "collect.checkpoint: got 'first'; takes a valid integer or 'last'"),
        ("warmup.micro_batch_size", 5, "warmup: batch_size 16 is not a multiple of micro_batch_size 5"),
        ("collect.max_length", 10**6, "collect: max_length 1000000 is more than tokens_per_batch"),
        ("collect.tokens_per_batch", 3, "collect.tokens_per_batch: got 3; takes greater than or equal to 16 or 'auto'"),
        ("warmup.micro_batch_size", 0, "warmup.micro_batch_size: got 0; takes greater than or equal to 1"),
        ("select", None, "select: got None; takes the keys of a section"),
        ("finetune.lora.r", 2.5, "finetune.lora.r: got 2.5; takes a valid integer"),
        ("int", 1, "int: unknown key; "),
        ("str", {"a": 1}, "str: unknown key; "),
        ("a[b]", 1, "a[b]: unknown key; the top level takes collect, convert, "),
        ("select.rat[0]", 1, "select.rat[0]: unknown key; select takes alpha, "),
        (1, 1, "1: unknown key; the top level takes collect, convert, "),
        ("select.float", 1, "select.float: unknown key; select takes "),
        ("finetune.lora.bool", 1, "finetune.lora.bool: unknown key; finetune.lora takes "),
        ("prepare.hub", [{"int": 1}], "prepare.hub.0.name: missing"),
        ("finetune.lora.target_modules", ["a", 1], "finetune.lora.target_modules.1: got 1; takes a valid string"),
        ("collect.base_model", "/a\0b", "collect.base_model: got '/a\\x00b'; takes a name without the character \\0"),
        ("prepare.path", "\0", "prepare.path: got '\\x00'; takes a name without the character \\0"),
    ],
)
def test_a_wrong_value_is_one_sentence(key, value, sentence):
    with pytest.raises(UserError) as error:
        check_params(params_with(key, value))
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_an_unknown_key_of_an_entry_of_a_list_is_named():
    entry = {"name": "a", "revision": "b", "subset": None, "split": "c", "data_files": None, "source_dataset": "d"}
    with pytest.raises(
        UserError, match=r"^prepare\.hub\.0\.int: unknown key; prepare\.hub\.0 takes data_files, name, "
    ):
        check_params(params_with("prepare.hub", [entry | {"int": 1}]))


def test_a_missing_key_is_named():
    raw = params_with("select.ratio", 0.1)
    del raw["select"]["ratio"]
    with pytest.raises(UserError, match=r"^select\.ratio: missing"):
        check_params(raw)


def test_a_number_as_dvc_writes_it_is_a_number(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params_with("select.ratio", 0.1)).replace("\n  ratio: 0.1\n", "\n  ratio: 1e-05\n"))
    assert load_params(path).select.ratio == 1e-5


def test_a_missing_or_broken_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="not found"):
        load_params(tmp_path / "params.yaml")
    for content in (b"seed: [1,", b"\xff\xfeseed"):
        (tmp_path / "params.yaml").write_bytes(content)
        with pytest.raises(UserError, match="not readable as YAML"):
            load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("content", ["3", "[" * 1500 + "]" * 1500, "{a: " * 1500, None])
def test_a_number_a_folder_or_nested_lists_in_place_of_params_are_one_sentence(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.mkdir() if content is None else path.write_text(content)
    with pytest.raises(UserError, match="not readable as YAML") as error:
        load_params(path)
    assert "\n" not in str(error.value)
