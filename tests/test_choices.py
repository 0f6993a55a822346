"""The choices of a parameter are stated once: every registry holds exactly what its parameter takes."""

from typing import get_args

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from mygo.data.formats import FORMATS
from mygo.data.mini_world.pool import SOURCE_SHARES
from mygo.data.mini_world.subjects import SUBJECTS
from mygo.models.config import GatedConfig
from mygo.models.families import FAMILIES
from mygo.models.losses import AVERAGING, QUALITY_LOSSES
from mygo.models.trash import TRASH_EXPERTS
from mygo.params import (
    ClusteringParams,
    ConvertParams,
    PrepareParams,
    QualityLossParams,
    SelectParams,
    WarmupParams,
    choices,
    families,
)
from mygo.selection.clustering.clusters import METHODS
from mygo.selection.clustering.features import FEATURES
from mygo.selection.clustering.projection import PROJECTIONS
from mygo.selection.ranking import ORDERS
from mygo.selection.scores import SCORES
from mygo.selection.scores.combine import SCALES
from mygo.selection.strategies import STRATEGIES
from mygo.training.objectives import OBJECTIVES
from tests.launch.test_inputs import composed

NOT_A_FORMAT = {"auto"}  # of a row is found by looking at it; of features it is a function of its own


@pytest.mark.parametrize(
    ("registry", "choice", "section", "key"),
    [
        (SCORES, choices.ScoreName, SelectParams, "score"),
        (STRATEGIES, choices.StrategyName, SelectParams, "strategy"),
        (ORDERS, choices.Order, SelectParams, "order"),
        (SCALES, choices.CombineBy, SelectParams, "combine_by"),
        (METHODS, choices.ClusterMethod, ClusteringParams, "method"),
        (FEATURES, choices.ClusterFeatures, ClusteringParams, "features"),
        (PROJECTIONS, choices.Projection, ClusteringParams, "projection"),
        (FORMATS, choices.RowFormat, PrepareParams, "format"),
        (FAMILIES, choices.Family, ConvertParams, "family"),
        (TRASH_EXPERTS, choices.TrashExpertMode, ConvertParams, "trash_expert_mode"),
        (QUALITY_LOSSES, choices.QualityLossType, QualityLossParams, "type"),
        (OBJECTIVES, choices.ObjectiveName, WarmupParams, "objective"),
        (AVERAGING, choices.Averaging, QualityLossParams, "averaging"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_registry_holds_exactly_what_its_parameter_takes(registry, choice, section, key):
    assert section.model_fields[key].annotation is choice
    assert set(registry) - NOT_A_FORMAT == set(get_args(choice)) - NOT_A_FORMAT


def test_every_choice_belongs_to_a_registry_or_says_why_not():
    """A new parameter with choices must either get a line above or a name here."""
    walked = {
        "ScoreName",
        "StrategyName",
        "Order",
        "CombineBy",
        "RowFormat",
        "Family",
        "TrashExpertMode",
        "QualityLossType",
        "ClusterMethod",
        "ClusterFeatures",
        "Projection",
    }
    # A switch in one place each.
    no_registry = {"ClusterBackend", "ClusterMetric", "Dtype", "Need", "OverTokens", "Predict", "Tokens"}
    stated = {name for name, value in vars(choices).items() if get_args(value)}
    assert stated == walked | no_registry | {"Averaging", "ObjectiveName"}


def test_what_is_said_of_models_and_scores_before_they_are_imported_is_so():
    assert set(FAMILIES) == set(families.BASE_TYPES) == set(families.RECORDS)
    for family, bases in families.BASE_TYPES.items():
        assert set(bases or ()) <= set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
        config = FAMILIES[family].config
        assert config.model_type == families.selector_type(family, FAMILIES[family].usual)
    assert choices.GATE_SCORES > choices.ALPHA_SCORES
    assert len(SUBJECTS) == choices.MINI_SUBJECTS
    assert tuple(SOURCE_SHARES) == choices.MINI_SOURCES


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"model_type": "select_moe"}, "select_moe"),
        ({"model_type": "quality_gate_qwen3"}, "quality_gate"),
        ({"model_type": "trash_can"}, "trash_can"),
        ({"model_type": "trash_can_mixtral"}, "trash_can"),
        ({"model_type": "olmoe", "selector_family": "stock_moe"}, "stock_moe"),
        ({"model_type": "olmoe"}, None),
        ({"model_type": "quality_gates"}, None),
        ({}, None),
    ],
)
def test_a_selector_is_known_by_its_config(config, family):
    assert families.family_of(config) == family


def test_the_default_quality_loss_is_that_of_conf_and_of_models():
    default = composed()["warmup"]["quality_loss"]["type"]
    assert default == choices.DEFAULT_QUALITY_LOSS == GatedConfig().quality_loss_type


def test_what_is_said_of_some_scores_and_strategies_is_of_ones_that_are_there():
    assert set(SCORES) == set(choices.NEEDS) > choices.GATE_SCORES
    assert set(SCORES) > choices.ANSWER_SCORES
    assert set(STRATEGIES) > choices.BY_SCORE | choices.BY_CHANCE | choices.WITHOUT_BUDGET
    assert choices.BY_SCORE.isdisjoint(choices.BY_CHANCE)
