"""What a score is made of against what there is: the one place where a score is refused for it."""

from collections.abc import Set
from typing import get_args

from mygo.errors import UserError
from mygo.params.choices import BY_SCORE, NEEDS, Need, ScoreName
from mygo.params.schema.select import SelectParams

ALWAYS: frozenset[Need] = frozenset({"length", "text", "file"})  # of every pool, or refused elsewhere
WORDS: dict[Need, str] = {
    "gates": "quality gates",
    "routers": "routers",
    "trash_experts": "trash experts in the routers",
    "base_nll": "the NLL of the base model without gates",
    "answers_alone": "the base's NLL of answers without their instructions",
    "hidden_states": "hidden states",
    "reference": "a reference set",
}
SWITCHES: dict[Need, str] = {  # what makes collect, or prepare, bring it
    "base_nll": "collect.base_nll",
    "answers_alone": "collect.answer_alone",
    "hidden_states": "collect.hidden_states",
    "reference": "prepare.reference.source",
}
TO: dict[Need, str] = {"reference": "benchmark, local or hub"}


def unmet(select: SelectParams, held: Set[Need]) -> dict[ScoreName, list[Need]]:
    """The scores that are asked for and cannot be made of what is held, each with what it lacks."""
    lacking: dict[ScoreName, list[Need]] = {name: sorted(NEEDS[name] - held - ALWAYS) for name in select.scores()}
    return {name: needs for name, needs in lacking.items() if needs}


def does_without(select: SelectParams, held: Set[Need]) -> bool:
    """Whether the score is left empty: the default one is of gates, and not every strategy asks a score."""
    lacking = {need for needs in unmet(select, held).values() for need in needs}
    return bool(lacking) and lacking <= {"gates", "routers"} and select.strategy not in BY_SCORE


def check_needs(select: SelectParams, held: Set[Need], where: str) -> None:
    """Raise `UserError` for a score whose needs are not met, unless the strategy does without it. `where` says what
    holds too little ("data/statistics", "collect.base_model=gpt2").
    """
    lacking = unmet(select, held)
    if not lacking or does_without(select, held):
        return
    name, needs = next(iter(lacking.items()))
    key = "select.combine" if select.score == "combine" else "select.score"
    remedies = [f"set {SWITCHES[need]} to {TO.get(need, 'true')}" for need in needs if need in SWITCHES]
    takes = ", ".join(possible(held))
    raise UserError(
        f"{key}: got {name}, which is made of {' and '.join(WORDS[need] for need in needs)}, and {where} holds none; "
        f"{''.join(f'{remedy}, or ' for remedy in remedies)}take {takes}"
    )


def possible(held: Set[Need]) -> list[ScoreName]:
    """The scores that can be made of what is held."""
    return [name for name in get_args(ScoreName) if NEEDS[name] <= held | ALWAYS]
