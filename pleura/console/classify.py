"""``pleura classify``: print the findings of radiographs, and draw a picture of each."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pleura.console.access import find_service
from pleura.console.context import Token, Url, find_state
from pleura.console.output import CommandFailed, print_error, print_line

# for annotations only: at run time the import of numpy and httpx would slow down --help
if TYPE_CHECKING:
    from pleura.client import ClassifiedRadiograph, Client

_MAX_PIXELS: Final = 100_000_000  # the default of the transformer
_FILE_SUFFIXES: Final = frozenset({".dcm", ".dicom", ".dic", ".ima", ".png", ".jpg", ".jpeg"})


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(classify)


@dataclass(frozen=True)
class _Named:
    """A radiograph as the user names it: a file, or the id of an object."""

    name: str
    is_file: bool

    def read_file(self) -> bytes | None:
        """Read the file; None for an id."""
        return Path(self.name).read_bytes() if self.is_file else None


@dataclass(frozen=True)
class _Session:
    """One connection, and what to do with its answers."""

    client: "Client"
    state: Path
    as_json: bool
    pictures: Path | None


def classify(
    context: typer.Context,
    radiographs: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE_OR_ID", help="A file, or the id of a radiograph in S3."),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="An id that looks like a file name. May be repeated."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print each answer of the REST API as one line. Draw no pictures.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for the pictures. Default: the current folder."),
    ] = None,
    no_overlay: Annotated[bool, typer.Option("--no-overlay", help="Draw no pictures.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print the findings of radiographs, and draw a picture of where they are."""
    # the answers of REST have no activation maps, and without them there is nothing to draw
    if json and output:
        raise typer.BadParameter("--json draws no pictures", param_hint="--output")
    named = [_Named(name, Path(name).is_file()) for name in radiographs or ()]
    _require_files(named)
    named += [_Named(image_id, is_file=False) for image_id in ids or ()]
    if not named:
        raise typer.BadParameter("name a file or an id", param_hint="FILE_OR_ID")
    pictures = None if json or no_overlay else output or Path()
    state = find_state(context)
    if not _classify_all(state, find_service(state, url, token), named, json, pictures):
        raise typer.Exit(1)


def _require_files(named: Sequence[_Named]) -> None:
    """Require that names which look like files are files: a missing file's name must not be sent."""
    missing = [each.name for each in named if not each.is_file and _looks_like_file(each.name)]
    if missing:
        ids = " ".join(f"--id {shlex.quote(name)}" for name in missing)
        print_error(f"there is no file {', '.join(missing)}; the id of a radiograph in S3 needs {ids}")
        raise typer.Exit(2)


def _looks_like_file(name: str) -> bool:
    return "/" in name or "\\" in name or Path(name).suffix.lower() in _FILE_SUFFIXES


def classify_on_stack(state: Path, image_ids: Sequence[str], pictures: Path) -> None:
    """Classify radiographs of the local stack, and draw them; a failure is printed."""
    try:
        named = [_Named(image_id, is_file=False) for image_id in image_ids]
        _classify_all(state, find_service(state, None, None), named, False, pictures)
    # a failed sample must not end pleura up
    except CommandFailed as error:
        print_error(str(error))


def _classify_all(
    state: Path, service: tuple[str, str], named: Sequence[_Named], as_json: bool, pictures: Path | None
) -> bool:
    """Classify all radiographs, and say whether all succeeded."""
    from pleura.client import Client

    try:
        if pictures:
            pictures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"{pictures}: {error.strerror}") from error
    with Client(*service) as client:
        session = _Session(client, state, as_json, pictures)
        succeeded = [_classify_one(session, each) for each in named]
    return all(succeeded)


def _classify_one(session: _Session, named: _Named) -> bool:
    """Classify one radiograph; its failure does not stop the others."""
    from pleura.client import RequestFailed
    from pleura.errors import PleuraError

    name = named.name
    try:
        file = named.read_file()
        print_line(_rest_answer(session, name, file) if session.as_json else _table(session, name, file))
    except (RequestFailed, CommandFailed, PleuraError) as error:
        print_error(f"{name}: {error}")
    except OSError as error:
        print_error(f"{name}: {error.strerror or error}")
    else:
        return True
    return False


def _rest_answer(session: _Session, name: str, file: bytes | None) -> str:
    client = session.client
    return client.classify_id(name) if file is None else client.classify_file(file)


def _table(session: _Session, name: str, file: bytes | None) -> str:
    client = session.client
    answer = client.read_id(name) if file is None else client.read_file(file)
    picture = _draw(session, name, file, answer) if session.pictures else None
    head = f"{name}   (typicality {answer.typicality:.2f}, model {answer.model_version}"
    rows = [
        f"  {'PRESENT' if finding.present else '':<9}{finding.name:<20}"
        f"{finding.probability:>6.3f}   threshold {finding.threshold:.3f}"
        f"{'   unmeasured' if finding.measured is False else ''}"
        for finding in answer.ranked
    ]
    warnings = [f"  warning: {warning.text} ({warning.code})" for warning in answer.warnings]
    drawn = [f"  picture: {picture}"] if picture else []
    return "\n".join([f"{head}, answer {answer.request_id})", *warnings, *rows, *drawn, ""])


def _draw(session: _Session, name: str, file: bytes | None, answer: "ClassifiedRadiograph") -> Path | None:
    """Draw the findings; a remote Pleura gives no file for an id, and then there is no picture."""
    from pleura.classification import make_overlay_content
    from pleura.radiograph.overlay import draw_overlay, write_png
    from pleura.radiograph.reader import read_radiograph

    file = _fetch_file(session.state, name) if file is None else file
    if file is None or session.pictures is None:
        return None
    # the stem only: the id of an object may hold slashes
    picture = session.pictures / f"{Path(name).stem}.overlay.png"
    content = make_overlay_content(
        answer.findings,
        answer.activation_map,
        answer.typicality,
        answer.model_version,
        warnings=[warning.code for warning in answer.warnings],
    )
    write_png(picture, draw_overlay(read_radiograph(file, _MAX_PIXELS).pixels, content))
    return picture


def _fetch_file(state: Path, image_id: str) -> bytes | None:
    """Fetch the file from the object store of the local stack; None where there is no such stack."""
    from pleura.local.access import BUCKET
    from pleura.local.object_store import build_store_client
    from pleura.local.state_folder import StateFolder

    record = StateFolder(state).read()
    if record is None:
        return None
    store = record.store
    client = build_store_client(store["url"], store["access_key"], store["secret_key"])
    try:
        response = client.get_object(BUCKET, image_id)
    except Exception as error:  # minio, urllib3 and the standard library each have their own family
        raise CommandFailed(f"answered, but the object store gives no picture: {error}") from error
    with response:
        content: bytes = response.read()
        return content
