"""Statistics of another pool, model or version are refused with one sentence."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mygo.data.pool import open_pool
from mygo.errors import UserError
from mygo.selection.reading.statistics import open_statistics
from mygo.selection.scores.gates import layer_gates


@pytest.fixture
def folders(write, made):
    return write(made.random_samples(10))


def rewrite(path, change):
    table = change(pq.read_table(path))
    pq.write_table(table, path)


def pool_keys(folders):
    return open_pool(folders.pool).to_table(columns=["source_dataset", "source_index"])


def change_manifest(folders, **changes):
    path = folders.statistics / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_rows_of_the_pool_are_accepted(folders):
    open_statistics(folders.statistics).check_rows(pool_keys(folders))


def test_another_order_or_number_of_rows_is_refused(folders):
    recorded = open_statistics(folders.statistics)
    keys = pool_keys(folders)
    with pytest.raises(UserError, match="sample 0 has source_dataset set_0, in the pool set_1"):
        recorded.check_rows(keys.take([1, 0, *range(2, 10)]))
    with pytest.raises(UserError, match="sample 3 has source_index 3, in the pool 6"):
        recorded.check_rows(keys.take([0, 1, 2, 6, 4, 5, 3, 7, 8, 9]))
    with pytest.raises(UserError, match="has 10 samples, the pool 9"):
        recorded.check_rows(keys.slice(1))


def test_a_source_name_does_not_write_to_the_terminal(write, made):
    folders = write(made.random_samples(4))
    keys = pool_keys(folders)
    names = pa.array(["\x1b[31m\nerror: forged", *keys["source_dataset"].to_pylist()[1:]])
    with pytest.raises(UserError, match=r"in the pool \\x1b\[31m\\nerror: forged, so it is of another pool"):
        open_statistics(folders.statistics).check_rows(keys.set_column(0, "source_dataset", names))


def test_no_manifest(tmp_path):
    with pytest.raises(UserError, match=r"manifest\.json: not found; run collect first"):
        open_statistics(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"layers": 3}', "[]"])
def test_manifest_of_another_version(folders, text):
    (folders.statistics / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json: .*another version") as caught:
        open_statistics(folders.statistics)
    assert "\n" not in str(caught.value)


def test_no_shards(folders):
    change_manifest(folders, shards=[])
    with pytest.raises(UserError, match="lists no shards"):
        open_statistics(folders.statistics)


def test_a_missing_shard(folders):
    (folders.statistics / "shard-00002.parquet").unlink()
    with pytest.raises(UserError, match=r"shard-00002\.parquet: not found, although the manifest lists it"):
        open_statistics(folders.statistics).check_rows(pool_keys(folders))


def test_a_broken_shard(folders):
    path = folders.statistics / "shard-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"shard-00001\.parquet: not readable as Parquet"):
        open_statistics(folders.statistics).values("nll")


def test_a_shard_of_other_rows(folders):
    rewrite(folders.statistics / "shard-00001.parquet", lambda table: table.slice(1))
    with pytest.raises(UserError, match=r"shard-00001\.parquet: has 2 rows, the manifest says 3"):
        open_statistics(folders.statistics).values("nll")


def test_a_missing_column(folders):
    rewrite(folders.statistics / "shard-00001.parquet", lambda table: table.drop(["nll"]))
    with pytest.raises(UserError, match=r"shard-00001\.parquet: has no column nll, so another version wrote it"):
        open_statistics(folders.statistics).values("nll")


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_model_of_other_layers(folders, alpha):
    change_manifest(folders, layers=4)
    with pytest.raises(UserError, match=r"shard-0000.\.parquet: .* 4 layers"):
        layer_gates(open_statistics(folders.statistics), alpha, "all")


def test_null_rows_keep_their_place(folders):
    """A null list in the middle of a shard must not shift the ones behind it."""

    def blank_second(table):
        lists = table["gate_mean"].to_pylist()
        return table.set_column(
            table.column_names.index("gate_mean"),
            "gate_mean",
            pa.array([lists[0], None, lists[2]], table.schema.field("gate_mean").type),
        )

    before = open_statistics(folders.statistics).per_layer("gate_mean")
    rewrite(folders.statistics / "shard-00001.parquet", blank_second)
    after = open_statistics(folders.statistics).per_layer("gate_mean")
    assert np.isnan(after[4]).all()
    np.testing.assert_array_equal(np.delete(after, 4, axis=0), np.delete(before, 4, axis=0))


def test_the_token_level_of_another_version_is_refused(folders):
    path = folders.statistics / "shard-00001.parquet"
    whole = pq.read_table(path)
    rewrite(path, lambda table: table.drop(["answer"]))
    with pytest.raises(UserError, match=r"shard-00001\.parquet: has no column answer, so another version wrote it"):
        layer_gates(open_statistics(folders.statistics), 0.5, "answer")
    layer_gates(open_statistics(folders.statistics), 0.5, "all")  # needs no answers
    short = pa.array([blob.as_py()[:-1] for blob in whole["answer"]], pa.binary())
    rewrite(path, lambda table: table.append_column("answer", short))
    with pytest.raises(
        UserError, match=r"shard-00001\.parquet: the token level is not of 3 layers and n_tokens tokens"
    ):
        layer_gates(open_statistics(folders.statistics), 0.5, "answer")


def test_statistics_of_an_older_version_know_no_answers(folders):
    for path in folders.statistics.glob("*.parquet"):
        rewrite(path, lambda table: table.drop(["gate_weighted_answer"]))
    with pytest.raises(UserError, match="has no column gate_weighted_answer, so another version wrote it; run collect"):
        layer_gates(open_statistics(folders.statistics), 1.0, "answer")
