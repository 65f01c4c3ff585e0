"""``pleura model import``: a published checkpoint becomes a model source."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from pleura.console.output import print_error


def add_import(commands: Any) -> None:
    """Add the command to those of ``pleura model``."""
    command = commands.add_parser("import", help="make a model source of a published PyTorch DenseNet121")
    command.set_defaults(run="cli_model_import:import_model")
    command.add_argument(
        "file", type=Path, metavar="FILE", help="the .pt, .pth or .pth.tar file as published"
    )
    command.add_argument("--kind", required=True, choices=("torchxrayvision", "chexnet"))
    command.add_argument(
        "--target", type=Path, required=True, metavar="FOLDER", help="model source to make; must not exist"
    )
    command.add_argument(
        "--outputs",
        metavar="RELEASE|NAMES",
        help="which release it is (all, nih, pc, ...), or its outputs' names, separated by commas; known for "
        "torchxrayvision's files by their name, and for CheXNet (the order of ChestX-ray14)",
    )
    command.add_argument(
        "--version", metavar="TEXT", help="of the model (default: kind and digest of the file)"
    )
    fitted = command.add_mutually_exclusive_group(required=True)
    fitted.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="labelled radiographs (labels.csv) to fit calibration and operating points on",
    )
    fitted.add_argument(
        "--uncalibrated",
        action="store_true",
        help="fit nothing: a start for training, marked as such; it calls every finding",
    )


def import_model(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pipelines.imported.densenet import UnsupportedNetwork
    from pipelines.imported.kinds import KINDS, find_release
    from pipelines.imported.provenance import PublishedCheckpoint
    from pipelines.imported.source import UnusableRadiographs, import_calibrated, import_uncalibrated
    from pipelines.imported.unpickle import UnreadableCheckpoint
    from pipelines.training.export import TooFewLabels

    file, target, kind = arguments.file, arguments.target, KINDS[arguments.kind]
    if target.exists():
        return print_error(f"{target} exists: name a folder that does not")
    try:
        release = find_release(kind, file.name, arguments.outputs)
        published = PublishedCheckpoint(file, kind, release, arguments.version)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
            draft = Path(folder) / target.name
            if arguments.uncalibrated:
                description = import_uncalibrated(published, draft)
            else:
                description = import_calibrated(published, arguments.data, draft)
            draft.rename(target)
    except (UnreadableCheckpoint, UnsupportedNetwork, UnusableRadiographs, TooFewLabels) as error:
        return print_error(f"{file.name}: {error}")
    lines = [f"{target}: {description.name} {description.version}", *description.limitations]
    area = description.metrics.get("mean_auroc")
    figure = "unmeasured" if area is None else f"{area:.3f} (near 0.5: wrong kind, or wrong order of outputs)"
    lines.append(f"mean AUROC on the test split: {figure}")
    lines.append(f"make a bundle of it: python -m predictor.build.bundle {target} BUNDLE")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
