"""Which modules a file imports, and which files of ours it reaches through them."""

import ast
from collections.abc import Callable
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src"


def imported(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, at its top or inside a function: `from a import b` may name the
    module a.b.
    """
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            plain |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return plain


def reached(start: Path, follow: Callable[[Path], bool] = lambda _: True) -> set[Path]:
    """The files of the package that are imported from `start` on, through such as `follow` says."""
    found: set[Path] = set()
    queue = [start]
    while queue:
        new = {
            file for name in imported(queue.pop()) if (file := _file_of(name)) and file not in found and follow(file)
        }
        found |= new
        queue += new
    return found


def _file_of(name: str) -> Path | None:
    if not name.startswith("mygo."):
        return None
    path = SRC.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)
