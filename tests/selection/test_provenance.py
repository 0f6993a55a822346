"""Statistics of another model are refused, those that travel without their model are not."""

import json
from pathlib import Path

import pytest
import yaml

from mygo.errors import UserError
from mygo.params import check_params
from mygo.selection.provenance import check_model
from mygo.selection.statistics import Manifest, Statistics

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


def statistics(tmp_path, model, base_model=None):
    fingerprint = {"model": model, "params": {"base_model": base_model}}
    return Statistics(
        tmp_path / "statistics", Manifest(fingerprint=fingerprint, layers=1, gated=True, tokens=True, shards=[])
    )


def collected(checkpoint, base_model=None):
    return check_params(yaml.safe_load(PARAMS.read_text())).collect.model_copy(
        update={"checkpoint": checkpoint, "base_model": base_model}
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
