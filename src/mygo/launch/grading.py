"""What `select` asks of the statistics against what `collect` is told to record."""

from pathlib import Path
from typing import get_args

from mygo.errors import UserError
from mygo.launch.base_models import what_grades
from mygo.params import CollectParams, Params, SelectParams
from mygo.params.choices import ALPHA_SCORES, BY_SCORE, GATE_SCORES, ScoreName
from mygo.params.families import RECORDS


def check_grading(params: Params, root: Path) -> None:
    """Raise `UserError` for a grader that collect cannot use, and for a score that its statistics will not hold.

    Of a hub model it is not known whether it has gates: nothing is said of it here.
    """
    collect, select = params.collect, params.select
    _check_checkpoint(collect, params.warmup.epochs)
    grader = what_grades(params, root)
    if grader is None:
        return
    if grader != "plain" and collect.base_model is not None:
        _check_selector_as_base(collect)
    if grader != "plain":
        _check_perplexity(collect, select)
    if grader != "plain" and "gates" in RECORDS[grader]:
        _check_alpha(collect, select)
    elif select.score in GATE_SCORES and select.strategy in BY_SCORE:
        others = ", ".join(sorted(set(get_args(ScoreName)) - GATE_SCORES))
        raise UserError(f"select.score: got {select.score}, but {_named(collect, grader)} has no gates; takes {others}")


def _named(collect: CollectParams, grader: str) -> str:
    return f"convert.family={grader}" if collect.base_model is None else f"collect.base_model={collect.base_model}"


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


def _check_perplexity(collect: CollectParams, select: SelectParams) -> None:
    if select.score == "perplexity" and not collect.base_nll:
        raise UserError(
            "select.score: perplexity is that of the base model, and with collect.base_nll=false collect records that "
            "of the pass with gates only; set collect.base_nll to true"
        )


def _check_alpha(collect: CollectParams, select: SelectParams) -> None:
    if select.score in ALPHA_SCORES and select.alpha not in (0.0, 1.0) and not collect.tokens:
        raise UserError(
            f"select.alpha: got {select.alpha}, which needs the token level; set collect.tokens to true, or take 0 or 1"
        )
