"""Are these the statistics of the selector that is on disk now?"""

import json
from pathlib import Path

from mygo.errors import UserError
from mygo.params import CollectParams
from mygo.selection.statistics import AGAIN, Statistics


def check_model(statistics: Statistics, digests: Path, params: CollectParams) -> None:
    """Raise `UserError` if the statistics were collected with another model than `collect.base_model` at
    `collect.revision`, or than the warmed checkpoint.

    `digests` is the file that warmup writes beside its checkpoints; where statistics travel without them nothing is
    checked.
    """
    settings, checkpoint = statistics.manifest.fingerprint.get("params", {}), params.checkpoint
    scored_by = settings.get("base_model")
    if scored_by != params.base_model:
        names = [name or "the warmed selector" for name in (scored_by, params.base_model)]
        raise UserError(
            f"{statistics.folder}: was collected with {names[0]}, and collect.base_model asks for {names[1]}; {AGAIN}"
        )
    if scored_by is not None and settings.get("revision") != params.revision:
        names = [revision or "no revision" for revision in (settings.get("revision"), params.revision)]
        raise UserError(
            f"{statistics.folder}: was collected with {names[0]} of {scored_by}, and collect.revision asks for "
            f"{names[1]}; {AGAIN}"
        )
    if params.base_model is not None or not digests.exists():
        return
    known: dict[str, str] = json.loads(digests.read_text())
    epoch = (
        max(known, key=lambda name: int(name.removeprefix("epoch_"))) if checkpoint == "last" else f"epoch_{checkpoint}"
    )
    if epoch not in known:
        raise UserError(f"collect.checkpoint: got {checkpoint}; {digests.parent} holds {', '.join(sorted(known))}")
    if statistics.manifest.fingerprint.get("model") != known[epoch]:
        raise UserError(f"{statistics.folder}: was collected with another model than {digests.parent / epoch}; {AGAIN}")
