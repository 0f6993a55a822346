"""Settings of a selection: overrides as `dvc exp run -S` takes them, composed from `conf/`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mygo.errors import UserError, shown
from mygo.params import SelectParams, check_params
from mygo.workdir import digest

Overrides = Mapping[str, Any]  # {"select": "random", "select.ratio": 0.1, "seed": 1}
NAME_BYTES = 200  # of a folder; file systems take 255
PREFIXES = ("+", "~")  # of Hydra's own overrides


class Word(str):
    """A value as Hydra's overrides have it, `[1,2]` or `null`; any other text stands for itself."""


@dataclass(frozen=True)
class Setting:
    """`name`: that of the folder which the selection is written to."""

    name: str
    params: SelectParams
    seed: int


def read_settings(file: Path) -> list[Overrides]:
    """A YAML or JSON file: a list of overrides, or a grid {key: [values]} of which every combination is meant. A list's
    entry may have a `name`.
    """
    try:
        raw = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    except FileNotFoundError:
        raise UserError(f"{shown(file)}: not found; takes a YAML or JSON file of settings") from None
    except (YAMLError, OmegaConfBaseException, ValueError, OSError) as error:
        raise UserError(f"{shown(file)}: not readable as YAML ({' '.join(str(error).split())})") from None
    if isinstance(raw, dict):
        return grid({str(key): value if isinstance(value, list) else [value] for key, value in raw.items()})
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        raise UserError(f"{shown(file)}: takes a list of overrides, or a grid {{key: [values]}}")
    return [{str(key): value for key, value in entry.items()} for entry in raw]


def grid(values: Mapping[str, Sequence[Any]]) -> list[Overrides]:
    """Every combination, the last key changing first."""
    return [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]


def parse_sweep(words: Sequence[str]) -> list[Overrides]:
    """Of `key=a,b` and `key=choice(a,b)` every combination, as `dvc exp run --queue -S` takes them."""
    values: dict[str, list[Any]] = {}
    for word in words:
        key, equals, listed = word.partition("=")
        if not equals or not key:
            raise UserError(f"-S: got {shown(word)}; takes key=value, or key=a,b")
        if listed.startswith("choice(") and listed.endswith(")"):
            listed = listed[len("choice(") : -1]
        values[key] = [*values.get(key, []), *map(Word, _split(listed))]
    return grid(values)


def settings_of(overrides: Sequence[Overrides], conf: Path) -> tuple[list[Setting], dict[str, str]]:
    """The settings that can be composed from the presets in `conf`, and of each other one, by name, what is wrong.

    Raises `UserError` if there is no setting, or two have the same name.
    """
    if not overrides:
        raise UserError("select-many: got no settings; takes a file of them, or -S key=a,b")
    names = [name_of(entry) for entry in overrides]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"select-many: two settings are named {shown(min(twice))}; takes names of their own")
    good, bad = [], {}
    for name, raw, problem in zip(names, *_composed(overrides, conf), strict=True):
        try:
            if problem:
                raise UserError(problem)
            params = check_params(raw)
            good.append(Setting(name, params.select, params.seed))
        except UserError as error:
            bad[name] = str(error)
    return good, bad


def name_of(overrides: Overrides) -> str:
    """Its `name`, or its overrides: `select=random,ratio=0.1`."""
    given = overrides.get("name")
    words = [f"{key.removeprefix('select.')}={_written(value)}" for key, value in overrides.items()]
    name = str(given) if given is not None else ",".join(words)
    safe = "".join(letter if letter.isalnum() or letter in "=,.+-_" else "_" for letter in name).lstrip(".")
    if len(safe.encode()) > NAME_BYTES:
        safe = f"{safe.encode()[: NAME_BYTES - 20].decode(errors='ignore')}-{digest(name)[:16]}"
    return safe or "default"


def _composed(overrides: Sequence[Overrides], conf: Path) -> tuple[list[Any], list[str]]:
    """What comes of each with the presets, and why it does not."""
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    raws: list[Any] = []
    problems: list[str] = []
    with initialize_config_dir(str(conf.resolve()), version_base=None):
        for entry in overrides:
            try:
                raws.append(_compose({key: value for key, value in entry.items() if key != "name"}))
                problems.append("")
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                raws.append(None)
                problems.append(" ".join(str(error).split()))
    return raws, problems


def _compose(entry: Overrides) -> Any:
    """Hydra composes presets and what is written as its overrides are; other values are put in as they are, whatever
    letters their texts have, and names of a user's own in mappings.
    """
    from hydra import compose

    by_hydra = [key for key, value in entry.items() if isinstance(value, Word) or _is_preset(key, value)]
    config = compose("config", overrides=[f"{key}={_written(entry[key])}" for key in by_hydra])
    for key in entry.keys() - set(by_hydra):
        OmegaConf.update(config, key, entry[key], merge=True, force_add=True)
    return OmegaConf.to_container(config, resolve=True)


def _is_preset(key: str, value: Any) -> bool:
    """Also what Hydra has to say about: a key that is none of ours."""
    return key.startswith(PREFIXES) or not key or ("." not in key and isinstance(value, str | None))


def _written(value: Any) -> str:
    """A value as Hydra's overrides have it, in the name of its folder too: JSON, with nothing quoted."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)


def _split(text: str) -> list[str]:
    """At the commas that stand in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{(") - (letter in ")}]")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
