"""How the tests run the command."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from mygo.errors import UserError
from mygo.selection.agreement.command import agreement
from tests.selection.by_hand import Folders

PARAMS = Path(__file__).parents[3] / "params.yaml"
ROWS = 48


def run(folders: Folders, *arguments: str) -> Result:
    places = ["--statistics", str(folders.statistics), "--pool", str(folders.pool), "--params", str(PARAMS)]
    result = CliRunner().invoke(agreement, [*places, *arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def rows_of(result: Result, label: str) -> dict[str, dict[str, Any]]:
    tables = {table["label"]: table for table in json.loads(result.stdout)}
    return {row["score"]: row for row in tables[label]["scores"]}
