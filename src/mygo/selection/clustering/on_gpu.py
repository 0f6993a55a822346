"""K-means with torch and HDBSCAN with cuML: the only file of selection that may import torch.

R rows, D features, K clusters, B rows of a chunk.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mygo.errors import UserError

CHUNK_VALUES = 2**24  # similarities (rows x clusters), or features of rows, that are on the device at once
FREE = 0.8  # share of a GPU's free memory that rows may take; more than that stay on the host and go over in chunks
DRIVERS = ("/dev/nvidiactl", "/dev/kfd")  # asked before torch is imported, which takes seconds


class RowsOnDevice:
    """What `spherical_kmeans` does with all rows, on a device of torch: as `RowsOnHost`, to float32 rounding.

    Rows whose two best centres are closer than that (1e-6 of a cosine) may fall into the other of them; on the CPU as
    device the objective agreed to 1e-6 of it. Sums go through a matrix product, not through scattered adds, so that
    they come out the same each time.
    """

    def __init__(self, x_RD: np.ndarray, device: str) -> None:
        import torch

        self.torch, self.device = torch, device
        fits = device == "cpu" or x_RD.nbytes < FREE * torch.cuda.mem_get_info()[0]
        rows = torch.from_numpy(x_RD)
        self.x_RD = rows.to(device) if fits else rows

    def closest(self, centre_KD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centres_KD = self.torch.from_numpy(centre_KD).to(self.device)
        step = max(1, CHUNK_VALUES // max(centre_KD.shape))
        best = [
            (self.x_RD[start : start + step].to(self.device) @ centres_KD.T).max(dim=1)
            for start in range(0, len(self.x_RD), step)
        ]
        similarity_R = self.torch.cat([part.values for part in best]).cpu().numpy()
        return self.torch.cat([part.indices for part in best]).cpu().numpy().astype(np.int32), similarity_R

    def total(self, label_R: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
        torch = self.torch
        total_KD = torch.zeros(k, self.x_RD.shape[1], dtype=torch.float64, device=self.device)
        step = max(1, CHUNK_VALUES // max(k, self.x_RD.shape[1]))
        for start in range(0, len(rows), step):
            here = torch.from_numpy(rows[start : start + step])
            x_BD = self.x_RD[here.to(self.x_RD.device)].to(self.device)
            label_B = torch.from_numpy(label_R[here.numpy()].astype(np.int64)).to(self.device)
            total_KD += torch.nn.functional.one_hot(label_B, k).T.to(x_BD.dtype) @ x_BD
        return total_KD.cpu().numpy()


def device_of(backend: str) -> str | None:
    """Where torch is to compute; `None`: nowhere (`auto` without a GPU). `torch` without a GPU computes on the CPU."""
    if backend == "auto" and not any(Path(driver).exists() for driver in DRIVERS):
        return None
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "cpu" if backend == "torch" else None


def cuml_hdbscan(needed: bool) -> Callable[..., Any] | None:
    """cuML's HDBSCAN, which takes scikit-learn's names; `None` where it is not installed and not `needed`.

    Raises `UserError` where it is.
    """
    if importlib.util.find_spec("cuml") is None:
        if needed:
            raise UserError(
                "select.clustering.backend: got cuml, and cuml is not installed here (RAPIDS' wheels are cuml-cu12 "
                "and cuml-cu13); takes cpu"
            )
        return None
    from cuml.cluster import HDBSCAN  # pyright: ignore[reportMissingImports]

    return HDBSCAN
