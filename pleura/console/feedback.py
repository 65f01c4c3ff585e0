"""``pleura feedback``: store a radiologist's verdicts on an answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from pleura.console.access import find_service
from pleura.console.context import Token, Url, find_state
from pleura.console.output import CommandFailed, print_line

_VERDICTS: Final = ("--present", "--absent", "--unsure")


class _CommandWithLists(TyperCommand):
    """Accept several findings after one option: ``--present Mass Edema``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(repeat_options(args)))


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(cls=_CommandWithLists)(feedback)


def repeat_options(arguments: Sequence[str]) -> Iterator[str]:
    """Write the option of a verdict before each of its findings."""
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in _VERDICTS else ""
            if option:
                continue
        elif option:
            # Typer takes one value after an option, and repeats the option for more
            yield option
        yield argument


def feedback(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(help="Request id of the answer.")],
    seen: Annotated[
        bool, typer.Option("--seen/--blind", help="Whether the radiologist had seen the answer first.")
    ],
    position: Annotated[int, typer.Option(help="Position of the radiograph in the request, from 0.")] = 0,
    answered_to: Annotated[
        str | None,
        typer.Option(metavar="PRINCIPAL", help="Principal that asked for the answer. Default: you."),
    ] = None,
    present: Annotated[
        list[str] | None, typer.Option(metavar="FINDING...", help="Findings that the radiograph shows.")
    ] = None,
    absent: Annotated[
        list[str] | None, typer.Option(metavar="FINDING...", help="Findings that it does not show.")
    ] = None,
    unsure: Annotated[
        list[str] | None, typer.Option(metavar="FINDING...", help="Findings that it leaves open.")
    ] = None,
    feedback_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Id of feedback that you send a second time.")
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Store a radiologist's verdicts on an answer, and print what is stored."""
    import json
    import uuid

    from pleura.client import Client, RequestFailed

    # made here, so that the user can send the same feedback again, and it is stored once
    feedback_id = feedback_id or str(uuid.uuid4())
    answer: dict[str, Any] = {"id": request_id, "position": position}
    if answered_to:
        answer["answered_to"] = answered_to
    verdicts = merge_verdicts(present or (), absent or (), unsure or ())
    document = {**answer, "verdicts": verdicts, "had_seen_answer": seen}
    try:
        with Client(*find_service(find_state(context), url, token)) as client:
            print_line(json.dumps(client.give_feedback(document, feedback_id)))
    except RequestFailed as error:
        raise CommandFailed(f"{error}; to send the same again: --feedback-id {feedback_id}") from error


def merge_verdicts(
    present: Sequence[str], absent: Sequence[str], unsure: Sequence[str]
) -> Mapping[str, bool | None]:
    """Return the verdict on each finding, as ``POST /feedback`` takes it.

    Raises:
        CommandFailed: No finding is named, or one is named twice.
    """
    names = [*present, *absent, *unsure]
    verdicts = dict.fromkeys(present, True) | dict.fromkeys(absent, False) | dict.fromkeys(unsure)
    if not names or len(verdicts) < len(names):
        raise CommandFailed("name each finding once, by --present, --absent or --unsure")
    return verdicts
