"""Draw the plots of `dvc.yaml` as PNG files, without a browser: `make pictures`.

They go to dvc_plots/pictures, which git ignores. Those of the README are drawn by `python docs/draw_pictures.py
docs/pictures` from a run with the defaults.
"""

import argparse
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import vl_convert

PICTURES = Path("dvc_plots/pictures")


def specifications() -> dict[str, str]:
    """Vega-Lite text of every plot that `dvc plots show` draws, by the plot's name."""
    shown = subprocess.run(["dvc", "plots", "show", "--json"], capture_output=True, text=True, check=True).stdout
    plots: dict[str, list[dict[str, Any]]] = json.loads(shown)["data"]
    return {name: _filled(drawings[0]) for name, drawings in plots.items() if drawings}


def _filled(drawing: dict[str, Any]) -> str:
    """DVC hands out the template and the values of its anchors apart."""
    content = drawing["content"]
    text = content if isinstance(content, str) else json.dumps(content)
    for anchor, value in drawing.get("anchor_definitions", {}).items():
        text = text.replace(json.dumps(anchor), json.dumps(value))
        text = text.replace(anchor, value) if isinstance(value, str) else text
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=PICTURES)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in specifications().items():
        path = folder / f"{re.sub(r'[^a-z0-9]+', '_', Path(name).stem.lower())}.png"
        path.write_bytes(vl_convert.vegalite_to_png(text, scale=1.5))
        print(path)


if __name__ == "__main__":
    main()
