"""What `select` asks of the statistics against what `collect` is told to record."""

from pathlib import Path
from typing import get_args

from mygo.errors import UserError
from mygo.launch.base_models import is_gated
from mygo.params import CollectParams, Params, SelectParams
from mygo.params.choices import ALPHA_SCORES, BY_SCORE, GATE_SCORES, NEEDS, ScoreName


def check_grading(params: Params, root: Path) -> None:
    """Raise `UserError` for a grader that collect cannot use, and for a score that its statistics will not hold.

    Of a hub model it is not known whether it has gates: nothing is said of it here.
    """
    collect, select = params.collect, params.select
    _check_checkpoint(collect, params.warmup.epochs)
    _check_reference(params)
    gated = True if collect.base_model is None else is_gated(collect.base_model, root)
    if gated is None:
        return
    if gated and collect.base_model is not None:
        _check_selector_as_base(collect)
    if gated:
        _check_perplexity(collect, select)
        _check_alpha(collect, select)
    elif select.score in GATE_SCORES and select.strategy in BY_SCORE:
        others = ", ".join(sorted(set(get_args(ScoreName)) - GATE_SCORES))
        raise UserError(
            f"select.score: got {select.score}, but collect.base_model={collect.base_model} has no gates; takes "
            f"{others}"
        )


def _check_reference(params: Params) -> None:
    score, needs = params.select.score, NEEDS[params.select.score]
    if "reference" in needs and params.prepare.reference.source == "none":
        raise UserError(
            f"select.score: {score} compares the pool with a reference set, and prepare.reference.source is none; set "
            "it to benchmark, local or hub"
        )
    if "hidden_states" in needs and not params.collect.hidden_states:
        raise UserError(
            f"select.score: {score} compares hidden states of the base, and collect.hidden_states is false; set it to "
            "true, with collect.base_nll"
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
