"""Run lm-eval on the base with its adapter, and put the base's own results beside it."""

from functools import partial
from pathlib import Path

from mygo.evaluation.adapter import attach_adapter, check_adapter, check_commit
from mygo.evaluation.baseline import base_commit, baseline_settings, check_baseline, read_baseline
from mygo.evaluation.harness import evaluate_finished
from mygo.evaluation.results import Results
from mygo.params import Params
from mygo.runtime import Runtime


def evaluate_target(
    params: Params, runtime: Runtime, adapter: Path, benchmark: Path, baseline: Path
) -> dict[str, Results] | None:
    """Evaluate `finetune.base_model` with the adapter, as `evaluate_base` does the base alone.

    Returns `{"base": ..., "adapter": ...}`, the former as it lies in `baseline`; `None` in all processes of a launch
    but the first. Raises `UserError` also if the adapter is missing or was trained on another base, and if `baseline`
    does not answer what `eval` asks.
    """
    check_adapter(adapter)
    check_baseline(baseline, baseline_settings(params, runtime, benchmark))
    known = base_commit(params)
    check_baseline(baseline, known)
    check_commit(adapter, *known.values())
    attach = partial(attach_adapter, adapter=adapter, merge=params.eval.merge_adapter)
    adapted = evaluate_finished("base + adapter", params, runtime, benchmark, attach)
    return None if adapted is None else {"base": read_baseline(baseline), "adapter": adapted}
