"""Every preset passes the checks that come before the first stage, in one process, two and eight."""

from itertools import product

import pytest

from mygo.errors import UserError
from mygo.launch.preflight import preflight
from mygo.params import check_params
from tests.launch.conftest import ROOT
from tests.launch.test_inputs import composed

SELECTORS, TARGETS, SELECTS = (
    sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml") if path.stem != "base")
    for group in ("selector", "target", "select")
)
NEED_ROUTERS = {"expert_logits", "trash_mass"}
WITHOUT_GATES = {"dsir", "rds", "perplexity", "answer_nll", "ifd", "length", *NEED_ROUTERS}
WITHOUT_SCORE = {"random", "random_balanced", "full", "facility_location", "k_center"}


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


@pytest.mark.parametrize("selector", SELECTORS)
def test_every_way_to_select_goes_with_every_selector_or_is_refused_in_a_sentence(selector, monkeypatch):
    monkeypatch.chdir(ROOT)
    for select in SELECTS:
        sentence = _refused(f"selector={selector}", f"select={select}")
        if select == "external":
            assert sentence == (
                "select.external.path: got data/raw/scores.csv; takes a file that is there (CSV, TSV, JSONL, Parquet)"
            )
        elif selector in ("mini_trash_can", "mini_stock_moe") and select not in WITHOUT_GATES | WITHOUT_SCORE:
            assert "which is made of quality gates, and " in sentence, select
        elif selector == "mini_quality_gate" and select in NEED_ROUTERS:
            assert "which is made of routers, and " in sentence, select
        else:  # whether a model of the hub has routers is not known before it is there: select says so then
            assert sentence == "", select


def _refused(*overrides: str) -> str:
    try:
        preflight(check_params(composed(*overrides)), ROOT)
    except UserError as error:
        return str(error)
    return ""
