"""Build, merge, validate and show stored data sets, for ``pleura data``."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, get_args

import typer

from pipelines.data.from_folder import Selection, build_from_folder
from pipelines.data.from_journal import JournalRules, NothingLabelled, build_from_journal
from pipelines.data.label_files import InvalidLabels
from pipelines.data.manifest import Manifest
from pipelines.data.merge import ConflictingDatasets, merge_datasets
from pipelines.data.patients import InvalidPatients
from pipelines.data.radiograph_cache import RadiographCache
from pipelines.data.registration import RegistrationFailed, register
from pipelines.data.settings import DataSettings
from pipelines.data.store import DatasetStore, read_answered
from pipelines.data.validation import ShiftReference, UnsoundDataset, require_sound, validate
from pipelines.data.validation_report import ProblemKind
from pipelines.journal_reader import JournalUnreadable, Window, read_answers
from pipelines.value import InvalidDocument
from pleura.console.context import read_settings_with_stack
from pleura.console.output import one_line_errors, print_line
from pleura.errors import StoreUnavailable
from pleura.object_bucket import ChangedObject, NoSuchObject, ObjectBucket, connect_from_settings
from pleura.observability.logs import configure_logging

_EXPECTED: Final = (
    ChangedObject,
    ConflictingDatasets,
    InvalidDocument,
    InvalidLabels,
    InvalidPatients,
    JournalUnreadable,
    NoSuchObject,
    NothingLabelled,
    RegistrationFailed,
    UnsoundDataset,
    StoreUnavailable,
    ValueError,
)


@contextlib.contextmanager
def open_settings(state: Path) -> Iterator[DataSettings]:
    """Read the settings, and report a failure of the command as one line."""
    configure_logging("pipelines")
    with one_line_errors(*_EXPECTED):
        yield read_settings_with_stack(DataSettings, state)


def store_folder(settings: DataSettings, name: str, folder: Path, selection: Selection) -> None:
    """Store the radiographs of a folder as a data set."""
    store = _open_store(settings)
    store.prepare()
    _store_manifest(store, build_from_folder(store, name, folder, selection), settings)


def store_journal(settings: DataSettings, name: str, days: float, rules: JournalRules) -> None:
    """Store the journalled radiographs that have verdicts as a data set."""
    store = _open_store(settings)
    store.prepare()
    now = datetime.now(UTC)
    answers = read_answers(settings.journal_dsn.get_secret_value(), Window(now - timedelta(days=days), now))
    radiographs = ObjectBucket(connect_from_settings(settings), settings.s3_bucket)
    manifest = build_from_journal(
        store, name, answers, lambda image_id: read_answered(radiographs, image_id), rules
    )
    _store_manifest(store, manifest, settings)


def store_merged(settings: DataSettings, name: str, references: Sequence[str]) -> None:
    """Store the union of data sets."""
    store = _open_store(settings)
    manifests = [store.get(reference) for reference in references]
    _store_manifest(store, merge_datasets(name, manifests), settings)


def validate_dataset(
    settings: DataSettings, reference: str, against: str | None, accept: Sequence[str], folder: Path | None
) -> None:
    """Print the validation report, and write it to a folder.

    Raises:
        UnsoundDataset: The data set has a serious problem that the user does not accept.
    """
    kinds = [kind for kind in get_args(ProblemKind) if kind in accept]
    if len(kinds) < len(set(accept)):
        raise typer.BadParameter(f"choose from {', '.join(get_args(ProblemKind))}", param_hint="--accept")
    store = _open_store(settings)
    read = RadiographCache(settings.data_cache, store.read).read
    shift_reference = None if against is None else ShiftReference(store.get(against), read)
    report = validate(store.get(reference), read, shift_reference)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "validation.json").write_text(report.to_json())
        (folder / "validation.md").write_text(report.to_markdown())
    print_line(report.to_markdown())
    require_sound(report, kinds)


def show_datasets(settings: DataSettings, reference: str | None) -> None:
    """Print the names of the data sets, or what one holds."""
    store = _open_store(settings)
    if reference is None:
        print_line("\n".join(store.references()) or "there is no data set")
        return
    manifest = store.get(reference)
    splits = {split: len(manifest.records_of_split(split)) for split in ("train", "val", "test")}
    print_line(
        f"{manifest.name}@{manifest.digest}\n{store.uri(manifest)}\nmade at {manifest.made_at.isoformat()}"
    )
    print_line("\n".join(manifest.made_from))
    print_line(", ".join(f"{split} {count}" for split, count in splits.items()))


def _open_store(settings: DataSettings) -> DatasetStore:
    return DatasetStore(connect_from_settings(settings), settings.data_bucket)


def _store_manifest(store: DatasetStore, manifest: Manifest, settings: DataSettings) -> None:
    digest = store.put(manifest)
    print_line(f"{manifest.name}@{digest}")
    # last: without MLflow the data set is stored all the same, and the same command registers it later
    uri = settings.mlflow_uri.get_secret_value()
    if uri:
        from mlflow.tracking import MlflowClient  # takes seconds to load

        register(MlflowClient(uri), manifest, store.uri(manifest))
