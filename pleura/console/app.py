"""Assemble the command ``pleura`` from its groups, and run it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pleura.console import answers, classify, data, drift, feedback, model, pipeline, rollout, stack, train
from pleura.console.context import Invocation
from pleura.console.output import CommandFailed, print_error

app = typer.Typer(
    help="Run Pleura on one machine, classify radiographs, and look after the models.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def read_options(
    context: typer.Context,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="State folder of the local stack. Default: PLEURA_HOME, else .pleura in this folder or a "
            "parent, else the stack that you started last.",
        ),
    ] = None,
) -> None:
    """Read the options that come before the command."""
    arguments = context.obj.arguments
    context.obj = Invocation(arguments, state)


for group in (stack, classify, feedback, train, rollout):
    group.add_commands(app)
app.add_typer(answers.app, name="answers")
app.add_typer(model.app, name="model")
app.add_typer(data.app, name="data")
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(drift.app, name="drift")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 for success, 1 for a failure, 2 for wrong usage; some commands have more.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(args=given, prog_name="pleura", obj=Invocation(given))
    except CommandFailed as error:
        print_error(str(error))
        return 1
    # Typer ends every command with it, also one that succeeds
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
