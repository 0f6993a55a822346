"""The whole stage: the pool, and after it the reference set where there is one, by the same model, loaded once."""

import shutil
import sys
from pathlib import Path
from typing import Any

from mygo.collection.collect import Loaded, collect
from mygo.data.pool import holds_samples
from mygo.params import CollectParams
from mygo.runtime import Runtime


def collect_with_reference(params: CollectParams, runtime: Runtime, data: Path) -> dict[str, Any]:
    """Write `data/statistics` of `data/pool` and `data/reference_statistics` of `data/reference`, an empty folder where
    that holds no sample. Returns the pool's metrics, empty in all processes but the first.

    All processes of a launch take part in both. The reference set has claims, a fingerprint and a manifest of its own,
    as any pool, so that it needs no rule of its own to be shared or resumed; who finds no shard of the pool left begins
    with it while others still compute. Of the few hundred samples that it has one process does most.
    """
    warmed, selector, loaded = data / "warmed", data / "selector", Loaded()
    metrics = collect(params, runtime, warmed, data / "pool", data / "statistics", selector, loaded)
    reference, out = data / "reference", data / "reference_statistics"
    if not holds_samples(reference):
        if runtime.is_main:
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
        return metrics
    if runtime.is_main:
        print(f"collect: the reference set, {reference}", file=sys.stderr)
    collect(params, runtime, warmed, reference, out, selector, loaded)
    return metrics
