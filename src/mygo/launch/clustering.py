"""What `select.clustering` needs installed, and of the selector."""

from importlib.util import find_spec

from mygo.errors import UserError
from mygo.params import SelectParams

EXTRAS = {  # key, value: the module that it needs, how to get it, and what does without
    ("projection", "umap"): ("umap", "pip install 'mygo[umap]'", "pca or none"),
    ("backend", "cuml"): ("cuml", "RAPIDS' wheels are cuml-cu12 and cuml-cu13", "cpu"),
}


def check_clustering(select: SelectParams) -> None:
    """Raise `UserError` for a library that is not installed here, where samples are to be clustered."""
    if select.clusters is None:
        return
    for (key, value), (module, how, others) in EXTRAS.items():
        if getattr(select.clustering, key) == value and find_spec(module) is None:
            raise UserError(
                f"select.clustering.{key}: got {value}, and {module} is not installed here ({how}); takes {others}"
            )
