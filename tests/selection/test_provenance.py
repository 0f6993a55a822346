"""Statistics of another model are refused, those that travel without their model are not."""

import json

import pytest

from mygo.errors import UserError
from mygo.selection.provenance import check_model
from mygo.selection.statistics import Manifest, Statistics


def statistics(tmp_path, model):
    return Statistics(tmp_path / "statistics", Manifest(fingerprint={"model": model}, layers=1, gated=True, tokens=True, shards=[]))


def test_the_model_must_be_the_checkpoint_that_params_name(tmp_path):
    digests = tmp_path / "warmed" / "digests.json"
    check_model(statistics(tmp_path, "anything"), digests, "last")
    digests.parent.mkdir()
    digests.write_text(json.dumps({"epoch_2": "two", "epoch_10": "ten"}))
    check_model(statistics(tmp_path, "ten"), digests, "last")
    check_model(statistics(tmp_path, "two"), digests, 2)
    with pytest.raises(UserError, match=r"collected with another model than .*epoch_10"):
        check_model(statistics(tmp_path, "two"), digests, "last")
    with pytest.raises(UserError, match=r"collect\.checkpoint: got 3; .* holds epoch_10, epoch_2"):
        check_model(statistics(tmp_path, "two"), digests, 3)
