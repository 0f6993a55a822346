"""Every preset passes the checks that come before the first stage, in one process, two and eight."""

from itertools import product

import pytest

from mygo.errors import UserError
from mygo.launch.preflight import preflight
from mygo.params import check_params
from tests.launch.conftest import ROOT
from tests.launch.test_inputs import composed

SELECTORS, TARGETS = (
    sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml") if path.stem != "base")
    for group in ("selector", "target")
)


@pytest.mark.parametrize(("selector", "target"), product(SELECTORS, TARGETS))
def test_presets_fit_one_process_two_and_eight(selector, target, monkeypatch):
    """But for Select-MoE's published warm-up: batches of 4 have work for four processes."""
    monkeypatch.chdir(ROOT)
    for processes in (1, 2, 4, 8):
        launch = ["launch=ddp_cpu", f"launch.num_processes={processes}"]
        if selector in ("mini_trash_can", "mini_stock_moe"):
            launch.append("select=trash_mass")  # they have no gates
        params = check_params(composed(f"selector={selector}", f"target={target}", *launch))
        if (selector, processes) == ("olmoe_1b_7b", 8):
            with pytest.raises(
                UserError, match=r"^warmup\.batch_size: got 4; takes a multiple of launch\.num_processes=8"
            ):
                preflight(params, ROOT)
        else:
            preflight(params, ROOT)
