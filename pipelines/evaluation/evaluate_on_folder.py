"""Evaluate a bundle on the test split of a folder, without a run of the pipeline."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pipelines.data.from_folder import FilesInMemory, Selection, build_from_folder
from pipelines.data.label_files import read_labels
from pipelines.data.labelled_radiographs import UndecodableFile
from pipelines.data.not_chest import read_not_chest
from pipelines.data.sources import DEFAULT_SOURCE, choose_source, list_sources
from pipelines.evaluation.evaluate_bundle import evaluate_bundle, write_report_files
from pipelines.evaluation.evaluation_data import EvaluationData, load_evaluation_data
from pipelines.evaluation.report import Dataset, EvaluationReport
from pleura.errors import UnreadableRadiograph


@dataclass(frozen=True)
class EvaluationFolder:
    """A folder with ``labels.csv``, the source to evaluate on, and a folder with ``images.csv`` of no chests.

    Without ``source`` it is ``DEFAULT_SOURCE``, or else the only source of the test split.
    """

    data: Path
    source: str | None = None
    not_chest: Path | None = None


def read_evaluation_folder(folder: EvaluationFolder) -> tuple[EvaluationData, Dataset]:
    """Read the test split of a folder, and everything else that a bundle is evaluated on.

    Raises:
        InvalidLabels: The CSV files of a folder are invalid, or the test split is empty.
        FileNotFoundError: There is no ``images.csv``, or no file that it names.
        NoSuchSource: The test split has no radiograph of the source.
        UnreadableRadiograph: A file cannot be decoded; the text names it.
    """
    data, source = folder.data, folder.source
    files = FilesInMemory()
    manifest = build_from_folder(files, "test", data, Selection(splits=("test",)))
    dataset = Dataset(name=manifest.name, digest=manifest.digest, split="test", made_from=manifest.made_from)
    sources = list_sources(manifest.records)
    if source is None and ("test", DEFAULT_SOURCE) in sources:
        source = DEFAULT_SOURCE
    main_source = choose_source(sources, source, "--source", ("test",))
    not_chest = read_not_chest(folder.not_chest, "test") if folder.not_chest else None
    try:
        return load_evaluation_data(manifest, main_source, files.read, not_chest), dataset
    except UndecodableFile as error:
        path = _find_file(data, error.sha256)
        raise UnreadableRadiograph(f"{path} is not a readable radiograph: {error.reason}") from error


def evaluate_on_folder(bundle: Path, folder: EvaluationFolder, target: Path) -> EvaluationReport:
    """Evaluate a bundle on one source's radiographs; write report, figures and model card.

    Raises:
        InvalidLabels, FileNotFoundError, NoSuchSource, UnreadableRadiograph: See ``read_evaluation_folder``.
    """
    radiographs, dataset = read_evaluation_folder(folder)
    report = evaluate_bundle(bundle, radiographs, dataset, f"pleura {version('pleura')}")
    write_report_files(report, bundle, target)
    return report


def _find_file(folder: Path, sha256: str) -> Path:
    paths = (file.path for file in read_labels(folder) if file.record.split == "test")
    return next(path for path in paths if hashlib.sha256(path.read_bytes()).hexdigest() == sha256)
