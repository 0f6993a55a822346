"""Many selections at once: the bytes of one after the other, what is kept, what fails."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mygo.errors import UserError
from mygo.metrics import write_metrics, write_plot
from mygo.selection.many import Folders, Setting, find_folders, read_settings, run, select_many, settings_of
from mygo.selection.many.command import select_many_command
from mygo.selection.many.settings import name_of, parse_sweep
from mygo.selection.run import select

CONF = Path(__file__).parents[2] / "conf"
SWEEP = [
    {"select": name, "select.ratio": ratio, "seed": seed}
    for name in ("quality", "random", "length")
    for ratio in (0.1, 0.3)
    for seed in (0, 1)
] + [
    {"select": "cluster_kmeans", "select.clusters": 3},
    {"select": "cluster_kmeans", "select.clusters": 3, "select.order": "lowest"},
    {"select": "full", "select.deduplicate": 0.5},
    {"select": "k_center", "select.ratio": 0.2},
    {"select.score": "raw", "select.parquet": True, "select.source_shares": {"set_1": {"min": 0.5}}},
    {"select.score": "combine", "select.combine": [{"score": "length"}, {"score": "raw", "weight": 2.0}]},
    {"select.score": "normalized", "select.ratio": None, "select.token_budget": 60},
    {"select.score": "raw", "select.strategy": "threshold", "select.threshold": 0.5},
]


@pytest.fixture
def folders(write, made):
    samples = made.random_samples(40, labels=["clean", "wrong"])
    for i, sample in enumerate(samples):
        sample.features = [1.0, i % 3, i % 5] if sample.n_tokens > 1 else None
    return write(samples, features="router_probs", shard_rows=20)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def settings(*overrides):
    good, bad = settings_of(overrides, CONF)
    assert bad == {}
    return good


def test_the_bytes_are_those_of_one_after_the_other(folders, tmp_path):
    asked = settings(*SWEEP)
    assert len(asked) == 20
    assert select_many(asked, [Folders(folders.statistics, folders.pool)], tmp_path / "many") == {}
    for setting in asked:
        alone = tmp_path / "alone" / setting.name
        result = select(setting.params, setting.seed, folders.statistics, folders.pool, alone)
        write_metrics(alone / "metrics.json", result.metrics)
        for name, rows in result.plots.items():
            write_plot(alone / "plots" / f"{name}.csv", rows)
        made = files(tmp_path / "many" / setting.name)
        assert json.loads(made.pop("setting.json"))["seed"] == setting.seed
        assert made == files(alone), setting.name


def test_what_is_finished_is_kept_and_what_is_not_is_made(folders, tmp_path, monkeypatch):
    made, whole = [], run.select_from
    monkeypatch.setattr(run, "select_from", lambda *args: made.append(args[3].name) or whole(*args))
    asked, where = settings({"select": "random"}, {"select": "full"}), [Folders(folders.statistics, folders.pool)]
    for expected in (["select=random", "select=full"], []):
        made.clear()
        assert select_many(asked, where, tmp_path / "out") == {}
        assert made == expected
    (tmp_path / "out/select=full/setting.json").unlink()  # killed before it was done
    select_many([*asked, Setting("select=random", asked[0].params, 7)], where, tmp_path / "out")
    assert made == ["select=full", "select=random"]


def test_a_setting_that_fails_is_named_and_stops_no_other(folders, tmp_path):
    asked = settings({"select": "ifd"}, {"select": "random"})
    failed = select_many(asked, [Folders(folders.statistics, folders.pool)], tmp_path / "out")
    assert list(failed) == ["select=ifd"]
    assert failed["select=ifd"].startswith("select.score: got ifd, which is made of ")
    assert (tmp_path / "out/select=random/selected.jsonl").exists()


def test_another_reference_set_is_another_selection(folders, tmp_path, monkeypatch):
    made, whole = [], run.select_from
    monkeypatch.setattr(run, "select_from", lambda *args: made.append(args[3].name) or whole(*args))
    shutil.copytree(folders.pool, folders.pool.with_name("reference"))
    asked, where = settings({"select": "dsir"}), [Folders(folders.statistics, folders.pool)]
    for _ in range(2):
        assert select_many(asked, where, tmp_path / "out") == {}
    assert made == ["select=dsir"]
    (folders.pool.with_name("reference") / "pool-00001.parquet").unlink()
    assert select_many(asked, where, tmp_path / "out") == {}
    assert len(made) == 2


def test_two_at_once_do_not_take_each_others_folders_away(folders, tmp_path):
    where, out = [Folders(folders.statistics, folders.pool)], tmp_path / "out"
    with run._alone(out), pytest.raises(UserError, match=r"out: another select-many writes to it; wait for it, or"):
        select_many(settings({"select": "random"}), where, out)
    assert select_many(settings({"select": "random"}), where, out) == {}


def test_texts_and_names_of_any_letters():
    """Hydra's overrides, which take no letter beyond ASCII and no comma, are only for what is written as such."""
    shares, path = {"a, b": {"min": 0.5}, "数据": {"max": 0.25}}, "数据/it's (1), x=2.csv"
    asked = {"select.score": "external", "select.external.path": path, "select.external.score_column": "null"}
    first, second = settings(asked | {"select.source_shares": shares}, {"name": "x/../" * 90, "select": "full"})
    assert {name: share.model_dump() for name, share in first.params.source_shares.items()} == {
        "a, b": {"min": 0.5, "max": 1.0},
        "数据": {"min": 0.0, "max": 0.25},
    }
    assert (first.params.external.path, first.params.external.score_column) == (path, "null")
    assert len({name_of({"name": "数" * 300 + end}) for end in "ab"}) == 2
    assert all(len(name.encode()) <= 200 and "/" not in name for name in (second.name, name_of({"name": "数" * 300})))
    _, bad = settings_of([{"select": None}], CONF)
    assert "select=null" in bad


def test_several_runs_and_a_folder_of_them(folders, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(folders.statistics, tmp_path / "runs" / name / "statistics")
        shutil.copytree(folders.pool, tmp_path / "runs" / name / "pool")
    (tmp_path / "runs/unfinished/pool").mkdir(parents=True)
    (tmp_path / "runs/two/statistics/manifest.json").unlink()
    found = find_folders([tmp_path / "runs"])
    assert [run.name for run in found] == ["one", "two"]
    assert [run.name for run in find_folders([tmp_path / "runs/one"])] == [""]
    failed = select_many(settings({"select": "random"}), found, tmp_path / "out")
    assert list(failed) == ["two"]
    assert "not found; run collect first" in failed["two"]
    assert (tmp_path / "out/one/select=random/metrics.json").exists()
    with pytest.raises(UserError, match=r"holds no statistics/ and pool/"):
        find_folders([tmp_path / "out"])


def test_settings_are_read_as_lists_and_grids(tmp_path):
    (tmp_path / "grid.yaml").write_text("select: [quality, random]\nselect.ratio: [0.1, 1e-2]\nseed: 3\n")
    (tmp_path / "list.json").write_text('[{"name": "mine", "select": "full"}, {"select.ratio": 0.5}]')
    (tmp_path / "bad.yaml").write_text("[3]\n")
    names = ["select=quality,ratio=0.1,seed=3", "select=quality,ratio=0.01,seed=3"]
    assert [name_of(entry) for entry in read_settings(tmp_path / "grid.yaml")][:2] == names
    assert [name_of(entry) for entry in read_settings(tmp_path / "list.json")] == ["mine", "ratio=0.5"]
    for name, sentence in (("bad.yaml", "takes a list of overrides, or a grid"), ("none.yaml", "not found; takes")):
        with pytest.raises(UserError, match=sentence):
            read_settings(tmp_path / name)
    assert parse_sweep(["a=1,2", "b=choice(x,[y,z])"]) == [
        {"a": "1", "b": "x"}, {"a": "1", "b": "[y,z]"}, {"a": "2", "b": "x"}, {"a": "2", "b": "[y,z]"}
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"^-S: got ratio; takes key=value"):
        parse_sweep(["ratio"])
    with pytest.raises(UserError, match="two settings are named select=full"):
        settings_of([{"select": "full"}, {"select": "full"}], CONF)
    good, bad = settings_of([{"select": "none"}, {"select.ratio": 2}, {"select.ratoi": 1}, {"seed": 4}], CONF)
    assert [setting.seed for setting in good] == [4]
    assert bad["ratio=2"] == "select.ratio: got 2; takes less than or equal to 1"
    assert "ratoi" in bad["ratoi=1"]
    assert "select" in bad["select=none"]


def test_the_command(folders, tmp_path):
    place = folders.pool.parent
    given = [str(place), "--conf", str(CONF), "--out", str(tmp_path / "out"), "-S", "select=random,ifd"]
    done = CliRunner().invoke(select_many_command, [*given, "-S", "select.ratio=0.1,0.2"])
    assert done.exit_code == 1
    assert "error: select=ifd,ratio=0.1: select.score: got ifd" in done.stderr
    kept = pq.read_table(tmp_path / "out/select=random,ratio=0.2/scores.parquet")["selected"]
    assert sum(kept.to_pylist()) == 8
    done = CliRunner().invoke(select_many_command, [*given[:-2], "-S", "select=random"])
    assert (done.exit_code, done.stderr.count("error")) == (0, 0)
    assert "takes a file of them" in CliRunner().invoke(select_many_command, given[:-2]).stderr
