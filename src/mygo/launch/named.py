"""Objects that a parameter names as `package.module:name`, looked up without importing them."""

import ast
from pathlib import Path

from mygo.errors import UserError
from mygo.params.inputs import find_module


def check_named(key: str, named: str | None, root: Path) -> None:
    """Raise `UserError` that starts with `key` unless the module is there and, where its source says so, the name."""
    module, _, name = (named or "").partition(":")
    if not module or not name:
        raise UserError(f"{key}: got {named!r}; takes package.module:name")
    file = find_module(module, root)
    if file is None:
        raise UserError(f"{key}: got {named!r}, which cannot be imported (there is no module {module})")
    if file.suffix == ".py":
        _check_defined(key, named, name, file)


def _check_defined(key: str, named: str | None, name: str, file: Path) -> None:
    try:
        names = _names(ast.parse(file.read_bytes()))
    except SyntaxError as error:
        raise UserError(f"{key}: got {named!r}, which cannot be imported ({error})") from None
    if names is not None and name not in names:
        raise UserError(f"{key}: got {named!r}, but {file.name} defines no {name}")


def _names(module: ast.Module) -> set[str] | None:
    """Every name that a module could bind, at any depth; `None` where it may bind names that it does not spell."""
    names: set[str] = set()
    for node in ast.walk(module):
        match node:
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                return None
            case ast.FunctionDef(name="__getattr__"):
                return None
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.alias():
                names.add(node.asname or node.name.partition(".")[0])
    return names
