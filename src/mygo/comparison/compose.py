"""Compose `params.yaml` of the repository in which this runs, as `dvc exp run -S` does, for many lists of settings.

`python -m mygo.comparison.compose` reads them as JSON from stdin and writes `[{"text": ..., "params": ...}]` to stdout.
"""

import json
import sys
import tempfile
from pathlib import Path

from dvc.repo import Repo
from dvc.utils.hydra import compose_and_dump
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mygo.errors import UserError, one_sentence
from mygo.params import load_params


@one_sentence
def main() -> None:
    hydra = Repo(".").config["hydra"]
    composed = []
    with tempfile.TemporaryDirectory() as folder:
        for settings in json.load(sys.stdin):
            file = Path(folder) / "params.yaml"
            _compose(file, str(Path(hydra.get("plugins_path", "")).resolve()), settings)
            load_params(file)  # a wrong value stops here, before the first stage of the first cell
            params = OmegaConf.to_container(OmegaConf.load(file))
            composed.append({"text": file.read_text(encoding="utf-8"), "params": params})
    json.dump(composed, sys.stdout)


def _compose(file: Path, plugins: str, settings: list[str]) -> None:
    try:
        compose_and_dump(file, str(Path("conf").resolve()), None, "config", plugins, settings)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"{' '.join(settings)}: {str(error).strip().splitlines()[0]}") from None


if __name__ == "__main__":
    main()
