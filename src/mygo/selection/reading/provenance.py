"""Are these the statistics of the selector that is on disk now?"""

import json
from pathlib import Path

from mygo.errors import UserError
from mygo.params import CollectParams
from mygo.selection.reading.statistics import AGAIN, Statistics


def check_model(statistics: Statistics, digests: Path, params: CollectParams) -> None:
    """Raise `UserError` if the statistics were collected with another model than `collect.base_model` at
    `collect.revision` or the warmed checkpoint.

    `digests` is the file that warmup writes beside its checkpoints; where statistics travel without them nothing is
    checked.
    """
    collected = statistics.manifest.fingerprint.get("params", {})
    scored_by, checkpoint = collected.get("base_model"), params.checkpoint
    if scored_by != params.base_model:
        names = [name or "the warmed selector" for name in (scored_by, params.base_model)]
        raise UserError(
            f"{statistics.folder}: was collected with {names[0]}, and collect.base_model asks for {names[1]}; {AGAIN}"
        )
    if params.base_model is not None:
        _check_revision(statistics, collected.get("revision") or "main", params.revision or "main")
        return
    if not digests.exists():
        return
    known: dict[str, str] = json.loads(digests.read_text())
    epoch = (
        max(known, key=lambda name: int(name.removeprefix("epoch_"))) if checkpoint == "last" else f"epoch_{checkpoint}"
    )
    if epoch not in known:
        raise UserError(f"collect.checkpoint: got {checkpoint}; {digests.parent} holds {', '.join(sorted(known))}")
    if statistics.manifest.fingerprint.get("model") != known[epoch]:
        raise UserError(f"{statistics.folder}: was collected with another model than {digests.parent / epoch}; {AGAIN}")


def _check_revision(statistics: Statistics, collected: str, asked: str) -> None:
    """A branch or tag may also be asked for by the commit that it was."""
    commit = str(statistics.manifest.fingerprint.get("model")).rpartition("@")[2]
    if asked not in (collected, commit):
        raise UserError(
            f"{statistics.folder}: was collected at revision {collected}, and collect.revision asks for {asked}; "
            f"{AGAIN}"
        )
