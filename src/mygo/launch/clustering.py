"""What `select.clustering` needs installed, and of the selector."""

from collections.abc import Set
from importlib.util import find_spec

from mygo.errors import UserError
from mygo.params import SelectParams
from mygo.params.choices import BY_FEATURES, ClusterFeatures, Need

EXTRAS = {  # key, value: the module that it needs, how to get it, and what does without
    ("projection", "umap"): ("umap", "pip install 'mygo[umap]'", "pca or none"),
    ("backend", "cuml"): ("cuml", "RAPIDS' wheels are cuml-cu12 and cuml-cu13", "cpu"),
}


def check_features(select: SelectParams, held: Set[Need], routed: bool | None, where: str) -> None:
    """Raise `UserError` for features that the statistics will not hold. `routed`: whether the selector has routers;
    `None` where that is not known: then select says what is missing. `where`: what holds too little.
    """
    if select.clusters is None and select.strategy not in BY_FEATURES:
        return
    routers, hidden = routed is not False, "hidden_states" in held or ("gates" in held and routed is not True)
    there: dict[ClusterFeatures, bool] = {
        "auto": routers or hidden,
        "router_probs": routers,
        "router_logits": routers,
        "hidden_mean": hidden,
        "gate_profile": "gates" in held,
        "text": True,
    }
    asked = select.clustering.features
    if not there[asked]:
        takes = ", ".join(name for name, is_there in there.items() if is_there)
        raise UserError(
            f"select.clustering.features: got {asked}, and {where} holds none; takes {takes}"
            + ("" if hidden else ", or hidden_mean with collect.hidden_states=true")
        )


def check_clustering(select: SelectParams) -> None:
    """Raise `UserError` for a library that is not installed here, where samples are to be clustered."""
    if select.clusters is None:
        return
    for (key, value), (module, how, others) in EXTRAS.items():
        if getattr(select.clustering, key) == value and find_spec(module) is None:
            raise UserError(
                f"select.clustering.{key}: got {value}, and {module} is not installed here ({how}); takes {others}"
            )
