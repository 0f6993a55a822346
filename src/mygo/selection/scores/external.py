"""A score from a file of the user's own, such as a reward model's or a judge's. N samples."""

import numpy as np

from mygo.selection.reading.material import Material


def external(material: Material) -> np.ndarray:
    """The column `select.external.score_column` of the file `select.external.path`, joined by id. The file may have a
    number for a sample that collect rejected, or that is of one token: there is nothing to learn from it.
    """
    return np.where(material.statistics.values("n_tokens") >= 2, material.external.score_N, np.nan)
