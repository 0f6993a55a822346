"""The command line of a stage's script."""

import argparse
import sys


def parse_arguments(description: str | None, **flags: str) -> argparse.Namespace:
    """`--help`, which prints the script's docstring, and the script's own flags (`dry_run="what it does"`)."""
    spec = sys.modules["__main__"].__spec__
    parser = argparse.ArgumentParser(
        prog=f"python -m {spec.name}" if spec else None,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for name, help_text in flags.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=help_text)
    return parser.parse_args()
