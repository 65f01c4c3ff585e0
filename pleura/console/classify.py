"""``pleura classify``: the findings of radiographs as a table or JSON, and a picture of each."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pleura.client import ClassifiedRadiograph, Client, RequestFailed
from pleura.console.access import find_service
from pleura.console.output import print_error, print_line
from pleura.errors import PleuraError
from pleura.local.access import BUCKET
from pleura.local.object_store import store_client
from pleura.local.state_folder import StackRecord, StateFolder
from pleura.radiograph.overlay import draw_overlay, write_png
from pleura.radiograph.reader import read_radiograph

_MAX_PIXELS: Final = 100_000_000


@dataclass(frozen=True)
class _Session:
    client: Client
    recorded: StackRecord | None
    output: Path | None
    as_json: bool


def classify(arguments: argparse.Namespace) -> int:
    """Print the findings of each radiograph, and draw it."""
    recorded = StateFolder(arguments.state.resolve()).read()
    try:
        url, token = find_service(arguments, recorded)
    except RequestFailed as error:
        return print_error(str(error))
    output = None if arguments.no_overlay else arguments.output
    try:
        if output:
            output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return print_error(f"{output}: {error.strerror}")
    with Client(url, token) as client:
        session = _Session(client, recorded, output, arguments.json)
        return max(_classify_one(session, name) for name in arguments.radiographs)


def _classify_one(session: _Session, name: str) -> int:
    """Ask about one radiograph; what goes wrong with it does not concern the others."""
    path = Path(name)
    try:
        if path.is_file():
            file: bytes | None = path.read_bytes()
            reading = session.client.read_file(file or b"")
        else:
            reading = session.client.read_id(name)
            file = _fetched(session.recorded, name) if session.output else None
        overlay = _draw(session.output, name, file, reading)
    except (RequestFailed, PleuraError) as error:
        return print_error(f"{name}: {error}")
    except OSError as error:
        return print_error(f"{name}: {error.strerror or error}")
    print_line(_as_json(name, reading, overlay) if session.as_json else _as_table(name, reading, overlay))
    return 0


def _fetched(recorded: StackRecord | None, name: str) -> bytes | None:
    """The file that an id names, from the local stack's store; None where there is no such stack."""
    if recorded is None:
        return None
    store = recorded.store
    client = store_client(store["url"], store["access_key"], store["secret_key"])
    try:
        response = client.get_object(BUCKET, name)
    except Exception as error:  # minio, urllib3 and the standard library each have their own family
        raise RequestFailed(f"answered, but the object store gives no picture: {error}") from error
    with response:
        content: bytes = response.read()
        return content


def _draw(output: Path | None, name: str, file: bytes | None, reading: ClassifiedRadiograph) -> Path | None:
    if output is None or file is None:
        return None
    overlay = output / f"{Path(name).stem}.overlay.png"
    write_png(overlay, draw_overlay(read_radiograph(file, _MAX_PIXELS).pixels, reading))
    return overlay


def _as_json(name: str, reading: ClassifiedRadiograph, overlay: Path | None) -> str:
    document = {
        "radiograph": name,
        "request_id": reading.request_id,
        "model_version": reading.model_version,
        "model_digest": reading.model_digest,
        "preprocessing_version": reading.preprocessing_version,
        "typicality": round(reading.typicality, 4),
        "cached": reading.cached,
        "journal": reading.journal,
        "findings": [asdict(finding) for finding in reading.findings],
        "overlay": overlay and str(overlay),
    }
    return json.dumps(document)


def _as_table(name: str, reading: ClassifiedRadiograph, overlay: Path | None) -> str:
    head = f"{name}   (typicality {reading.typicality:.2f}, model {reading.model_version}"
    head += f", answer {reading.request_id})"
    rows = [
        f"  {'PRESENT' if finding.present else '':<9}{finding.name:<20}"
        f"{finding.probability:>6.3f}   threshold {finding.threshold:.3f}"
        f"{'   unmeasured' if finding.measured is False else ''}"
        for finding in reading.ranked
    ]
    drawn: Sequence[str] = [f"  picture: {overlay}"] if overlay else []
    return "\n".join([head, *rows, *drawn, ""])
