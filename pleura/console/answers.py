"""``pleura answers``: show, find and draw what was answered earlier."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pleura.console.access import find_service
from pleura.console.context import Token, Url, find_state
from pleura.console.output import CommandFailed, print_line

# for annotations only: at run time the import of numpy and httpx would slow down --help
if TYPE_CHECKING:
    from pleura.client import Client

app = typer.Typer(help="Show, find and draw what was answered earlier.")

RequestId = Annotated[str, typer.Argument(help="Request id of the answer.")]
AnsweredTo = Annotated[
    str | None,
    typer.Option(metavar="PRINCIPAL", help="Principal that was answered. Default: you."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer of the REST API.")]


@app.command()
def show(
    context: typer.Context,
    request_id: RequestId,
    answered_to: AnsweredTo = None,
    json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show what was answered to a request."""
    with _connect(context, url, token) as client:
        document = client.show_answer(request_id, answered_to)
    if json:
        _print_json(document)
        return
    for radiograph in document["radiographs"]:
        print_line(format_radiograph(radiograph))


@app.command()
def find(
    context: typer.Context,
    accession_number: Annotated[str | None, typer.Option(metavar="NUMBER", help="Accession number.")] = None,
    study_instance_uid: Annotated[str | None, typer.Option(metavar="UID", help="UID of the study.")] = None,
    sop_instance_uid: Annotated[str | None, typer.Option(metavar="UID", help="UID of the image.")] = None,
    answered_to: Annotated[
        str | None,
        typer.Option(
            metavar="PRINCIPAL", help="Principal that was answered. Default: all that you may read."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="Most answers to print, from 1 to 100.")] = 20,
    cursor: Annotated[str | None, typer.Option(metavar="CURSOR", help="Where the page before ended.")] = None,
    json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Find answers by identifiers of their radiographs, newest first."""
    with _connect(context, url, token) as client:
        document = client.find_answers(
            accession_number=accession_number,
            study_instance_uid=study_instance_uid,
            sop_instance_uid=sop_instance_uid,
            answered_to=answered_to,
            limit=limit,
            cursor=cursor,
        )
    if json:
        _print_json(document)
        return
    for answer in document["answers"]:
        print_line(format_found(answer))
    if not document["complete"]:
        print_line("answers wait to be written to the journal: ask again later")
    if document["next"]:
        print_line(f"there are more: --cursor {document['next']}")


@app.command()
def overlay(
    context: typer.Context,
    request_id: RequestId,
    output: Annotated[Path, typer.Option(metavar="FILE", help="File for the picture, a PNG.")],
    finding: Annotated[
        str | None,
        typer.Option(metavar="FINDING", help="Finding to draw. Default: the first measured one of the list."),
    ] = None,
    position: Annotated[int, typer.Option(help="Position of the radiograph in the request, from 0.")] = 0,
    answered_to: AnsweredTo = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Draw where the model saw a finding of an earlier answer."""
    with _connect(context, url, token) as client:
        png, shown = client.draw_overlay(
            request_id, finding=finding, position=position, answered_to=answered_to
        )
    try:
        output.write_bytes(png)
    except OSError as error:
        raise CommandFailed(f"{output}: {error.strerror}") from error
    print_line(f"{output}: {shown}")


@contextmanager
def _connect(context: typer.Context, url: str | None, token: str | None) -> Iterator["Client"]:
    from pleura.client import Client, RequestFailed

    try:
        with Client(*find_service(find_state(context), url, token)) as client:
            yield client
    except RequestFailed as error:
        raise CommandFailed(str(error)) from error


def _print_json(document: Mapping[str, Any]) -> None:
    import json

    print_line(json.dumps(document))


def format_found(answer: Mapping[str, Any]) -> str:
    """Format an answer of a search as one line: its findings that are present, or why it was refused."""
    name = f"{answer['request_id']} {answer['position']}  {answer['answered_to']}"
    if answer["refusal_reasons"]:
        return f"{answer['answered_at']}  {name}  refused: {', '.join(answer['refusal_reasons'])}"
    present = ", ".join(each["name"] for each in answer["findings"] if each["present"]) or "-"
    return f"{answer['answered_at']}  {name}  model {answer['model']['version']}  {present}"


def format_radiograph(radiograph: Mapping[str, Any]) -> str:
    """Format what was answered about one radiograph: its findings and warnings, or why it was refused."""
    from pleura.classification import Finding, rank_findings

    head = f"{radiograph['position']}: {radiograph['image_id'] or 'a file'}"
    warnings = [f"  warning: {code}" for code in radiograph["warnings"]]
    if radiograph["refusal_reasons"]:
        reasons = ", ".join(radiograph["refusal_reasons"])
        return "\n".join([f"{head}   (refused {radiograph['answered_at']}: {reasons})", *warnings, ""])
    model = f"typicality {radiograph['typicality']:.2f}, model {radiograph['model']['version']}"
    ranked = rank_findings(Finding(**finding) for finding in radiograph["findings"])
    rows = [
        f"  {'PRESENT' if each.present else '':<9}{each.name:<20}"
        f"{each.probability:>6.3f}   threshold {each.threshold:.3f}"
        f"{'   unmeasured' if each.measured is False else ''}"
        for each in ranked
    ]
    return "\n".join([f"{head}   ({model}, answered {radiograph['answered_at']})", *warnings, *rows, ""])
