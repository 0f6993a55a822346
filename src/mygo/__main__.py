"""The command line: `python -m mygo COMMAND`. Stages of the pipeline are `python -m mygo.launch STAGE`, or `dvc repro`.

Commands are imported when they are asked for, so that help is there at once.
"""

from importlib import import_module

import click

from mygo.errors import one_sentence

# Where each command is defined, and what `--help` says of it.
COMMANDS = {
    "agreement": ("mygo.selection.agreement.command:agreement", "Hold scores against labels and published selections."),
    "select-many": ("mygo.selection.many.command:select_many_command", "Select by many settings from statistics."),
}


class Commands(click.Group):
    """The commands of `COMMANDS`, without importing one that is not asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        return getattr(import_module(module), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def mygo() -> None:
    """Choose which instruction data to train on.

    The pipeline itself is DVC's: `dvc repro`, and `python -m mygo.launch STAGE` for one stage.
    """


@one_sentence
def main() -> None:
    mygo(prog_name="python -m mygo")


if __name__ == "__main__":
    main()
