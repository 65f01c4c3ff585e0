"""``python -m pipelines data``: build, join, validate and show data sets.

``python -m pipelines.data.cli`` is the same, and starts sooner: TensorFlow stays away.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, get_args

from mlflow.tracking import MlflowClient

from pipelines.data.from_folder import InvalidLabels, Selection, build_from_folder
from pipelines.data.from_journal import JournalRules, NothingLabelled, build_from_journal
from pipelines.data.manifest import Manifest
from pipelines.data.merge import ConflictingDatasets, merge_datasets
from pipelines.data.patients import InvalidPatients, read_patients
from pipelines.data.radiograph_cache import RadiographCache
from pipelines.data.registration import RegistrationFailed, register
from pipelines.data.settings import DataSettings
from pipelines.data.store import DatasetStore, read_answered
from pipelines.data.validation import ShiftReference, UnsoundDataset, require_sound, validate
from pipelines.data.validation_report import ProblemKind
from pipelines.journal_reader import JournalUnreadable, Window, read_answers
from pipelines.object_store import ChangedObject, NoSuchObject, ObjectStore, connect_from_settings
from pipelines.value import InvalidDocument
from pleura.errors import StoreUnavailable
from pleura.observability.logs import configure_logging
from pleura.settings import InvalidSettings

_FAILURES: Final = (
    ChangedObject,
    ConflictingDatasets,
    InvalidLabels,
    InvalidDocument,
    InvalidPatients,
    InvalidSettings,
    JournalUnreadable,
    NoSuchObject,
    NothingLabelled,
    RegistrationFailed,
    UnsoundDataset,
    StoreUnavailable,
    ValueError,
)


def main(arguments: Sequence[str]) -> int:
    """Build, join, validate and show data sets, each named by its digest."""
    asked = _parser().parse_args(arguments)
    try:
        settings = DataSettings.read()
        asked.run(asked, settings)
    except _FAILURES as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines data", description=main.__doc__)
    commands = parser.add_subparsers(required=True)
    folder = commands.add_parser("build-folder", help="from a folder that holds labels.csv")
    folder.add_argument("name")
    folder.add_argument("folder", type=Path)
    folder.add_argument("--source", action="append", help="take this source only; may be repeated")
    folder.add_argument("--most-per-split", type=int)
    folder.add_argument("--seed", type=int, default=1)
    folder.set_defaults(run=_build_folder)
    journal = commands.add_parser("build-journal", help="from the journal and what radiologists said")
    journal.add_argument("name")
    journal.add_argument("--days", type=float, default=365.0, help="how far to look back")
    journal.add_argument("--patients", type=Path, help="CSV file: image_id, patient (a pseudonym)")
    journal.add_argument("--licence", required=True)
    journal.add_argument(
        "--even-if-seen", action="store_true", help="count verdicts given after seeing the answer"
    )
    journal.set_defaults(run=_build_journal)
    joined = commands.add_parser("merge", help="join data sets")
    joined.add_argument("name")
    joined.add_argument("references", nargs="+")
    joined.set_defaults(run=_merge)
    judged = commands.add_parser("validate", help="judge a data set before its use")
    judged.add_argument("reference", help="its digest, or name@digest")
    judged.add_argument("--against", help="the data set to compare it with")
    judged.add_argument("--accept", action="append", default=[], choices=get_args(ProblemKind))
    judged.add_argument("--report", type=Path, help="folder for validation.json and validation.md")
    judged.set_defaults(run=_validate)
    shown = commands.add_parser("show", help="list data sets, or tell what one is made of")
    shown.add_argument("reference", nargs="?")
    shown.set_defaults(run=_show)
    return parser


def _store(settings: DataSettings) -> DatasetStore:
    return DatasetStore(connect_from_settings(settings), settings.data_bucket)


def _keep(store: DatasetStore, manifest: Manifest, settings: DataSettings) -> None:
    digest = store.put(manifest)
    _say(f"{manifest.name}@{digest}")
    if settings.mlflow_uri:
        register(MlflowClient(settings.mlflow_uri), manifest, store.uri(manifest))


def _build_folder(asked: argparse.Namespace, settings: DataSettings) -> None:
    store = _store(settings)
    store.prepare()
    sources = None if asked.source is None else tuple(asked.source)
    selection = Selection(sources, asked.most_per_split, asked.seed)
    _keep(store, build_from_folder(store, asked.name, asked.folder, selection), settings)


def _build_journal(asked: argparse.Namespace, settings: DataSettings) -> None:
    store = _store(settings)
    store.prepare()
    now = datetime.now(UTC)
    answers = read_answers(
        settings.journal_dsn.get_secret_value(), Window(now - timedelta(days=asked.days), now)
    )
    patients = None if asked.patients is None else read_patients(asked.patients)
    answered = ObjectStore(connect_from_settings(settings), settings.s3_bucket)
    rules = JournalRules(asked.licence, patients=patients, even_if_seen=asked.even_if_seen)
    manifest = build_from_journal(
        store,
        asked.name,
        answers,
        lambda image_id: read_answered(answered, image_id),
        rules,
    )
    _keep(store, manifest, settings)


def _merge(asked: argparse.Namespace, settings: DataSettings) -> None:
    store = _store(settings)
    _keep(store, merge_datasets(asked.name, [store.get(each) for each in asked.references]), settings)


def _validate(asked: argparse.Namespace, settings: DataSettings) -> None:
    store = _store(settings)
    read = RadiographCache(settings.data_cache, store.read).read
    reference = None if asked.against is None else ShiftReference(store.get(asked.against), read)
    report = validate(store.get(asked.reference), read, reference)
    if asked.report is not None:
        asked.report.mkdir(parents=True, exist_ok=True)
        (asked.report / "validation.json").write_text(report.to_json())
        (asked.report / "validation.md").write_text(report.to_markdown())
    _say(report.to_markdown())
    require_sound(report, asked.accept)


def _show(asked: argparse.Namespace, settings: DataSettings) -> None:
    store = _store(settings)
    if asked.reference is None:
        _say("\n".join(store.references()))
        return
    manifest = store.get(asked.reference)
    splits = {split: len(manifest.records_of_split(split)) for split in ("train", "val", "test")}
    _say(f"{manifest.name}@{manifest.digest}\n{store.uri(manifest)}\nmade at {manifest.made_at.isoformat()}")
    _say("\n".join(manifest.made_from))
    _say(", ".join(f"{split} {count}" for split, count in splits.items()))


def _say(text: str) -> None:
    print(text)  # noqa: T201


if __name__ == "__main__":
    configure_logging("pipelines")
    sys.exit(main(sys.argv[1:]))
