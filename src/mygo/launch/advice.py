"""What runs, but is hardly what anyone means: said once, by the stage `check`."""

from pathlib import Path

from mygo.errors import shown
from mygo.launch.base_models import of_the_mini_world
from mygo.params import Params
from mygo.params.choices import BY_SCORE, DEFAULT_QUALITY_LOSS, GATE_SCORES
from mygo.params.inputs import is_folder

WITHOUT_GATES = {
    "trash_can": "its loss is the constraint on its routers (trash_can_alpha, trash_can_beta)",
    "stock_moe": "it learns from the language model alone",
}


def advice(params: Params, root: Path) -> list[str]:
    """What to say of these parameters: a sentence each."""
    return [
        *_mini_models_on_real_text(params, root),
        *_gates_of_a_hub_model(params, root),
        *_loss_that_is_not_read(params),
        *_trash_that_is_not_read(params),
        *_truth_taken_out_of_the_mini_world(params),
    ]


def _loss_that_is_not_read(params: Params) -> list[str]:
    """Of families without gates, whose good_ratio a quality loss would be of."""
    kind, instead = params.warmup.quality_loss.type, WITHOUT_GATES.get(params.convert.family)
    silent = params.convert.family == "stock_moe" and params.warmup.quality_loss.debug
    unread = {"type": instead is not None and kind != DEFAULT_QUALITY_LOSS, "debug": silent}
    return [
        f"warmup.quality_loss.{name} is {getattr(params.warmup.quality_loss, name)}, which "
        f"convert.family={params.convert.family} does not read: {instead}"
        for name, is_unread in unread.items()
        if is_unread
    ]


def _trash_that_is_not_read(params: Params) -> list[str]:
    """Of families without gates, which put nothing in a block's place, and of gates, whose routers get no new rows."""
    convert = params.convert
    unread = {
        "trash_expert_mode": convert.trash_expert_mode != "zero" and convert.family in WITHOUT_GATES,
        "trash_experts": convert.trash_experts is not None and convert.family != "trash_can",
    }
    return [
        f"convert.{name} is {getattr(convert, name)}, which convert.family={convert.family} does not read"
        for name, is_unread in unread.items()
        if is_unread
    ]


def _gates_of_a_hub_model(params: Params, root: Path) -> list[str]:
    """Of a folder it is known whether it has gates (mygo.launch.grading)."""
    model, select = params.collect.base_model, params.select
    if (
        model is None
        or is_folder(model, root)
        or not GATE_SCORES & set(select.scores())
        or select.strategy not in BY_SCORE
    ):
        return []
    return [
        f"select.score is {select.score}, a score of gates, and collect.base_model is {shown(model)}: unless that is a "
        "selector, the stage select will refuse it; select=perplexity takes any model"
    ]


def _truth_taken_out_of_the_mini_world(params: Params) -> list[str]:
    prepare = params.prepare
    if not prepare.decontaminate or (prepare.source, prepare.benchmark.source) != ("mini_world", "mini_world"):
        return []
    return [
        "prepare.decontaminate is true, and prepare.source is mini_world, whose pool is there to tell what its test "
        "asks: rows that do so in the test's own words leave"
    ]


def _mini_models_on_real_text(params: Params, root: Path) -> list[str]:
    """A sentence for each base model of the mini world that is to grade, or to learn, real conversations."""
    if params.prepare.source == "mini_world":
        return []
    return [
        f"{section}.base_model is {shown(model)}, a model of the mini world that has never read real text, while "
        f"prepare.source is {params.prepare.source}: what it {says} means nothing; choose another with {group}=..."
        for section, group, model, says in (
            ("convert", "selector", params.convert.base_model, "says of these conversations"),
            ("finetune", "target", params.finetune.base_model, "learns from them"),
        )
        if is_folder(model, root) and of_the_mini_world((root / model).resolve(), root)
    ]
