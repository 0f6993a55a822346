"""What `select` asks of the statistics against what `collect` is told to record."""

from pathlib import Path
from typing import Literal

from mygo.errors import UserError, shown
from mygo.launch.base_models import has_routers, what_grades
from mygo.launch.clustering import check_features
from mygo.params import CollectParams, Params, SelectParams
from mygo.params.choices import ALPHA_SCORES, Family, Need
from mygo.params.families import RECORDS
from mygo.params.needs import check_needs

Grader = Family | Literal["plain"]


def check_grading(params: Params, root: Path) -> None:
    """Raise `UserError` for a grader that collect cannot use, and for a score that its statistics will not hold.

    Of a hub model it is not known what it records: nothing is said of it here.
    """
    collect, select = params.collect, params.select
    _check_checkpoint(collect, params.warmup.epochs)
    _check_file(select, root)
    grader = what_grades(params, root)
    if grader is None:
        return
    if grader != "plain" and collect.base_model is not None:
        _check_selector_as_base(collect)
    held = will_hold(params, grader, root)
    if "gates" in held:
        _check_alpha(collect, select)
    where = f"what collect records with {_named(collect, grader)}"
    check_needs(select, held, where)
    check_features(select, held, routed(params, grader, root), where)


def routed(params: Params, grader: Grader, root: Path) -> bool | None:
    """Whether what grades has routers; `None` where that cannot be known before it is loaded."""
    if grader != "plain" and "routers" in RECORDS[grader]:
        return True
    model = params.collect.base_model
    return has_routers(params.convert.base_model if model is None else model, root)


def will_hold(params: Params, grader: Grader, root: Path) -> frozenset[Need]:
    """What scores can be made of in the statistics that collect will write. Routers are taken to be there where it is
    not known whether a model has any: select says so then.
    """
    collect = params.collect
    records = frozenset() if grader == "plain" else RECORDS[grader]
    there: dict[Need, bool] = {
        "gates": "gates" in records,
        "routers": routed(params, grader, root) is not False,
        "trash_experts": "trash_experts" in records,
        "base_nll": grader == "plain" or collect.base_nll,
        "answers_alone": collect.answer_alone,
        "hidden_states": collect.hidden_states,
        "reference": params.prepare.reference.source != "none",
    }
    return frozenset(need for need, is_there in there.items() if is_there)


def _named(collect: CollectParams, grader: str) -> str:
    return f"convert.family={grader}" if collect.base_model is None else f"collect.base_model={collect.base_model}"


def _check_file(select: SelectParams, root: Path) -> None:
    path = select.external.path
    if "external" in select.scores() and path is not None and not (root / path).is_file():
        raise UserError(
            f"select.external.path: got {shown(path)}; takes a file that is there (CSV, TSV, JSONL, Parquet)"
        )


def _check_checkpoint(collect: CollectParams, epochs: int) -> None:
    if collect.base_model is None and collect.checkpoint != "last" and not 1 <= collect.checkpoint <= epochs:
        raise UserError(
            f"collect.checkpoint: got {collect.checkpoint}; takes last, or a number from 1 to warmup.epochs={epochs}"
        )


def _check_selector_as_base(collect: CollectParams) -> None:
    """A selector that `base_model` names is graded by as it is: there is no base beside it."""
    for key in ("base_nll", "answer_alone", "hidden_states"):
        if getattr(collect, key):
            raise UserError(
                f"collect.{key}: got true with collect.base_model={collect.base_model}, a selector, whose base is not "
                "known; takes false, or collect.base_model null with an epoch in collect.checkpoint"
            )


def _check_alpha(collect: CollectParams, select: SelectParams) -> None:
    if ALPHA_SCORES & set(select.scores()) and select.alpha not in (0.0, 1.0) and not collect.tokens:
        raise UserError(
            f"select.alpha: got {select.alpha}, which needs the token level; set collect.tokens to true, or take 0 or 1"
        )
