"""`python -m mygo select-many`: the command line of this room."""

import logging
import sys
from pathlib import Path

import click

from mygo.errors import UserError, shown
from mygo.selection.many.run import find_folders, select_many
from mygo.selection.many.settings import parse_sweep, read_settings, settings_of


@click.command(name="select-many")
@click.argument("places", nargs=-1, type=click.Path(path_type=Path))
@click.option("--settings", type=click.Path(path_type=Path), help="YAML or JSON: a list of overrides, or a grid.")
@click.option("-S", "sweep", multiple=True, metavar="KEY=A,B", help="As dvc exp run takes it; every combination.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("work/selections"), show_default=True)
@click.option("--conf", type=click.Path(path_type=Path), default=Path("conf"), show_default=True, help="The presets.")
def select_many_command(
    places: tuple[Path, ...], settings: Path | None, sweep: tuple[str, ...], out: Path, conf: Path
) -> None:
    """Select by many settings from statistics that are there.

    PLACES are folders with statistics/ and pool/ (data, if none is named), or folders of such folders. Each setting's
    folder holds what the stage select would have written, with metrics.json and plots/ in it; what is finished already
    is kept. The exit status is 1 if a setting failed; the others are made.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        failed = _select(places or (Path("data"),), settings, sweep, out, conf)
    except UserError as error:
        failed = {"": str(error)}
    for name, sentence in failed.items():
        print(f"error: {f'{name}: ' if name else ''}{shown(sentence, 1000)}", file=sys.stderr)
    if failed:
        raise SystemExit(1)


def _select(
    places: tuple[Path, ...], file: Path | None, sweep: tuple[str, ...], out: Path, conf: Path
) -> dict[str, str]:
    if not (conf / "config.yaml").is_file():
        raise UserError(f"--conf: {shown(conf)} holds no config.yaml; run it from the root of the repository")
    listed = read_settings(file) if file else [{}]
    swept = parse_sweep(sweep) if sweep else [{}]
    overrides = [{**dict(one), **dict(other)} for one in listed for other in swept] if file or sweep else []
    settings, bad = settings_of(overrides, conf)
    return bad | select_many(settings, find_folders(places), out)
