"""Progress bars are for terminals: in a log file a bar is a line a step."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_bar_says_when_it_is_drawn(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    bars = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "tqdm"]
    assert all("disable" in {keyword.arg for keyword in bar.keywords} for bar in bars)
