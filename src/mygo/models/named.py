"""Objects that a user names in the parameters as `package.module:name`."""

import importlib
from typing import Any

from mygo.errors import UserError


def load_named(spec: str | None, key: str) -> Any:
    """Import what `spec` names. Raises `UserError` that starts with `key` if it is not `package.module:name` or cannot
    be imported.
    """
    module_name, _, name = (spec or "").partition(":")
    if not module_name or not name:
        raise UserError(f"{key}: got {spec!r}; takes package.module:name")
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{key}: got {spec!r}, which cannot be imported ({error})") from None
