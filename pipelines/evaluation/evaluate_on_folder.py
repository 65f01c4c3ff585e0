"""Evaluate a bundle on the test split of a folder, without a run of the pipeline."""

import hashlib
from importlib.metadata import version
from pathlib import Path

from pipelines.data.from_folder import FilesInMemory, Selection, build_from_folder
from pipelines.data.label_files import read_labels
from pipelines.data.labelled_radiographs import UndecodableFile
from pipelines.data.sources import DEFAULT_SOURCE, choose_source, list_sources
from pipelines.evaluation.evaluate_bundle import evaluate_bundle, write_report_files
from pipelines.evaluation.evaluation_data import load_evaluation_data
from pipelines.evaluation.report import Dataset
from pleura.errors import UnreadableRadiograph


def evaluate_on_folder(bundle: Path, data: Path, source: str | None, target: Path) -> None:
    """Evaluate a bundle on one source's radiographs; write report, figures and model card.

    Without ``source`` it takes ``DEFAULT_SOURCE``, or else the only source of the test split.

    Raises:
        InvalidLabels: The CSV files of the folder are invalid, or the test split is empty.
        NoSuchSource: The test split has no radiograph of the source.
        UnreadableRadiograph: A file cannot be decoded; the text names it.
    """
    files = FilesInMemory()
    manifest = build_from_folder(files, "test", data, Selection(splits=("test",)))
    dataset = Dataset(name=manifest.name, digest=manifest.digest, split="test", made_from=manifest.made_from)
    sources = list_sources(manifest.records)
    if source is None and ("test", DEFAULT_SOURCE) in sources:
        source = DEFAULT_SOURCE
    main_source = choose_source(sources, source, "--source", ("test",))
    try:
        radiographs = load_evaluation_data(manifest, main_source, files.read)
    except UndecodableFile as error:
        path = _find_file(data, error.sha256)
        raise UnreadableRadiograph(f"{path} is not a readable radiograph: {error.reason}") from error
    write_report_files(
        evaluate_bundle(bundle, radiographs, dataset, f"pleura {version('pleura')}"), bundle, target
    )


def _find_file(folder: Path, sha256: str) -> Path:
    paths = (file.path for file in read_labels(folder) if file.record.split == "test")
    return next(path for path in paths if hashlib.sha256(path.read_bytes()).hexdigest() == sha256)
