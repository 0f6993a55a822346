"""Statistics of another model are refused, those that travel without their model are not."""

import json
from pathlib import Path

import pytest
import yaml

from mygo.errors import UserError
from mygo.params import check_params
from mygo.selection.reading.provenance import check_model
from mygo.selection.reading.statistics import Manifest, Statistics

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


def statistics(tmp_path, model, base_model=None, revision=None):
    fingerprint = {"model": model, "params": {"base_model": base_model, "revision": revision}}
    return Statistics(
        tmp_path / "statistics",
        Manifest(fingerprint=fingerprint, layers=1, records=["gates"], selector=True, tokens=True, shards=[]),
    )


def collected(checkpoint, base_model=None, revision=None):
    return check_params(yaml.safe_load(PARAMS.read_text())).collect.model_copy(
        update={"checkpoint": checkpoint, "base_model": base_model, "revision": revision}
    )


def test_the_model_must_be_the_checkpoint_that_params_name(tmp_path):
    digests = tmp_path / "warmed" / "digests.json"
    check_model(statistics(tmp_path, "anything"), digests, collected("last"))
    digests.parent.mkdir()
    digests.write_text(json.dumps({"epoch_2": "two", "epoch_10": "ten"}))
    check_model(statistics(tmp_path, "ten"), digests, collected("last"))
    check_model(statistics(tmp_path, "two"), digests, collected(2))
    with pytest.raises(UserError, match=r"collected with another model than .*epoch_10"):
        check_model(statistics(tmp_path, "two"), digests, collected("last"))
    with pytest.raises(UserError, match=r"collect\.checkpoint: got 3; .* holds epoch_10, epoch_2"):
        check_model(statistics(tmp_path, "two"), digests, collected(3))


def test_the_base_model_must_be_the_one_that_params_name(tmp_path):
    digests = tmp_path / "digests.json"
    check_model(statistics(tmp_path, "x", "some/model"), digests, collected("last", "some/model"))
    with pytest.raises(
        UserError, match=r"was collected with some/model, and collect\.base_model asks for the warmed selector"
    ):
        check_model(statistics(tmp_path, "x", "some/model"), digests, collected("last"))


def test_the_revision_of_the_base_model_counts(tmp_path):
    digests = tmp_path / "digests.json"
    recorded = statistics(tmp_path, "some/model@f00d", "some/model", revision="v2")
    for asked in ("v2", "f00d"):  # by the tag, and by the commit that it was
        check_model(recorded, digests, collected("last", "some/model", revision=asked))
    with pytest.raises(
        UserError, match=r"was collected at revision v2, and collect\.revision asks for main; run collect again$"
    ):
        check_model(recorded, digests, collected("last", "some/model"))
    recorded = statistics(tmp_path, "some/model@f00d", "some/model")
    check_model(recorded, digests, collected("last", "some/model", revision="main"))
    with pytest.raises(UserError, match=r"was collected at revision main, and collect\.revision asks for v2;"):
        check_model(recorded, digests, collected("last", "some/model", revision="v2"))
    # the warmed selector has none: its digest is compared
    check_model(statistics(tmp_path, "x"), digests, collected("last", revision="abc"))
