"""Make a model source of a published checkpoint, for ``pleura model import``."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipelines.imported.densenet import UnsupportedNetwork
from pipelines.imported.kinds import KINDS, find_release
from pipelines.imported.provenance import PublishedCheckpoint
from pipelines.imported.source import UnusableRadiographs, import_calibrated, import_uncalibrated
from pipelines.imported.unpickle import UnreadableCheckpoint
from pipelines.training.fitted_model import TooFewLabels
from pleura.bundle import ModelDescription
from pleura.console.output import CommandFailed, print_line


@dataclass(frozen=True)
class ImportOptions:
    """The options of ``pleura model import``; without ``data`` nothing is calibrated."""

    file: Path
    kind: str
    target: Path
    outputs: str | None
    version: str | None
    data: Path | None


def import_source(options: ImportOptions) -> None:
    """Make the model source, and print what it is; the target appears whole or not at all."""
    target = options.target
    if target.exists():
        raise CommandFailed(f"{target} exists: name a folder that does not")
    try:
        kind = KINDS[options.kind]
        release = find_release(kind, options.file.name, options.outputs)
        # nothing of the checkpoint is run, and PyTorch is not needed (docs/decisions/0035)
        publication = PublishedCheckpoint(options.file, kind, release, options.version)
        target.parent.mkdir(parents=True, exist_ok=True)
        # in the file system of the target, because only there the rename is atomic
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
            draft = Path(folder) / target.name
            if options.data is None:
                description = import_uncalibrated(publication, draft)
            else:
                description = import_calibrated(publication, options.data, draft)
            draft.rename(target)
    except (UnreadableCheckpoint, UnsupportedNetwork, UnusableRadiographs, TooFewLabels) as error:
        raise CommandFailed(f"{options.file.name}: {error}") from error
    _print_source(target, description)


def _print_source(target: Path, description: ModelDescription) -> None:
    auroc = description.metrics.get("mean_auroc")
    figure = (
        "unmeasured" if auroc is None else f"{auroc:.3f} (near 0.5: wrong kind, or wrong order of outputs)"
    )
    print_line(f"{target}: {description.name} {description.version}")
    for limitation in description.limitations:
        print_line(limitation)
    print_line(f"mean AUROC on the test split: {figure}")
    print_line(f"make a bundle of it: pleura model build {target} BUNDLE")
