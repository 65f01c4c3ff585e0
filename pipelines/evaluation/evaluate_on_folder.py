"""Evaluate a bundle on the test split of a folder, without a run of the pipeline."""

from importlib.metadata import version
from pathlib import Path

from pipelines.data.from_folder import FilesInMemory, Selection, build_from_folder
from pipelines.evaluation.evaluate_bundle import evaluate_bundle, write_report_files
from pipelines.evaluation.evaluation_data import load_evaluation_data
from pipelines.evaluation.report import Dataset


def evaluate_on_folder(bundle: Path, data: Path, source: str, target: Path) -> None:
    """Evaluate a bundle on one source's radiographs; write report, figures and model card."""
    files = FilesInMemory()
    manifest = build_from_folder(files, "test", data, Selection(splits=("test",)))
    dataset = Dataset(name=manifest.name, digest=manifest.digest, split="test", made_from=manifest.made_from)
    radiographs = load_evaluation_data(manifest, source, files.read)
    write_report_files(
        evaluate_bundle(bundle, radiographs, dataset, f"pleura {version('pleura')}"), bundle, target
    )
