"""Read `params.yaml` and say in one sentence what is wrong with it."""

import difflib
from pathlib import Path
from typing import Any, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from yaml import YAMLError

from mygo.errors import UserError
from mygo.params.schema import Params


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check all of `params.yaml`, so that a mistake in any stage's key stops the first one.

    Raises `UserError`: `select.ratio: got 1.5; takes less than or equal to 1`.
    """
    try:
        raw = OmegaConf.to_container(
            OmegaConf.load(path), resolve=True
        )  # reads 1e-05 as a number, which plain YAML 1.1 does not
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run stages from the root of the repository") from None
    except RecursionError:
        raise UserError(f"{path}: not readable as YAML (nested too deeply)") from None
    except (YAMLError, OmegaConfBaseException, ValueError, OSError) as error:  # OSError also of a scalar
        raise UserError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from None
    return check_params(raw)


def check_params(raw: Any) -> Params:
    """Check a nested dict of parameters. Raises `UserError` naming the first key that is wrong."""
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise UserError(_sentence(error.errors())) from None


def _sentence(errors: list[ErrorDetails]) -> str:
    """The first wrong key; a key that takes one of several types has an error for each of them."""
    error = errors[0]
    location = _location(error)
    key = ".".join(map(str, location)) or "params.yaml"
    if error["type"] in ("extra_forbidden", "invalid_key"):  # the second: a key that is a number
        return f"{key}: unknown key; {_known_keys(location)}"
    if error["type"] == "missing":
        return f"{key}: missing; conf/ holds its default"
    if error["type"] == "value_error":
        return f"{key}: {error['msg'].removeprefix('Value error, ')}"
    if error["type"] == "model_type":
        return f"{key}: got {error['input']!r}; takes the keys of a section"
    takes = [other["msg"].removeprefix("Input should be ") for other in errors if _location(other) == location]
    return f"{key}: got {error['input']!r}; takes {' or '.join(dict.fromkeys(takes))}"


def _location(error: ErrorDetails) -> list[int | str]:
    """The path of a key, without the branches of unions that pydantic puts between: no key stands below a plain value,
    so that whatever else is called for there (`int`, `literal['last']`) is such a branch.
    """
    kept: list[int | str] = []
    section: Any = Params
    for part in error["loc"]:
        if _is_section(section) or isinstance(part, int) or get_origin(section) is dict:
            kept.append(part)
            section = _below(section, part)
    return kept


def _is_section(annotation: Any) -> bool:
    return hasattr(annotation, "model_fields")


def _below(annotation: Any, part: int | str) -> Any:
    """What a key of a section, or an entry of a list or a dict, may hold; `None` where there is no such key."""
    if not _is_section(annotation):
        return next(reversed(get_args(annotation)), None)
    if part not in annotation.model_fields:
        return None
    inner = annotation.model_fields[part].annotation
    return (
        next((arg for arg in get_args(inner) if _is_section(arg)), inner)
        if get_origin(inner) not in (list, dict)
        else inner
    )


def _known_keys(location: list[int | str]) -> str:
    section: Any = Params
    for part in location[:-1]:
        section = _below(section, part)
    names = sorted(section.model_fields)
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}{'.'.join(map(str, location[:-1])) or 'the top level'} takes {', '.join(names)}"
