"""``python -m pipelines train``, ``export``, ``ablate``, ``judge`` and ``data``."""

import argparse
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.atomic_file import write_atomically
from pipelines.data import cli as data_cli
from pipelines.data.from_folder import FilesInMemory, Selection, build_from_folder
from pipelines.data.labelled_radiographs import read_split
from pipelines.evaluation.description import build_description, evaluated_findings, macro_metrics
from pipelines.evaluation.evaluate_bundle import evaluate_bundle, write_report_files
from pipelines.evaluation.evaluation_data import load_evaluation_data
from pipelines.evaluation.report import Dataset
from pipelines.parameters import Parameters, read_parameters
from pipelines.training.ablation import read_ablation, run_ablation
from pipelines.training.export import evaluate_fitted, fit, reader_of, source_weights, write_source
from pipelines.training.train import train_network
from pleura.observability.logs import configure_logging
from predictor.build.weights import WEIGHTS_FILE

CHEST_XRAY: Final = Path(__file__).with_name("chest_xray.yaml")
_ABLATION: Final = Path(__file__).with_name("training") / "ablation.yaml"


def _train(parameters: Parameters, data: Path, run: Path, start: Path | None) -> None:
    main, auxiliary = parameters.main_source, parameters.training.auxiliary_source
    training, validation = read_split(data, "train", main, auxiliary), read_split(data, "val", main)
    weights = None if start is None else _read_weights(start)
    network = train_network(training, validation, parameters.training, run, weights)
    with write_atomically(run / WEIGHTS_FILE) as draft:
        np.savez(draft, **source_weights(network, weights))  # type: ignore[arg-type]


def _read_weights(folder: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        sys.exit(f"there is no {WEIGHTS_FILE} in {folder}")


def _export(parameters: Parameters, data: Path, run: Path, target: Path) -> None:
    weights = _read_weights(run)
    training, validation, test = (
        read_split(data, split, parameters.main_source) for split in ("train", "val", "test")
    )
    see = reader_of(weights)
    fitted = fit(see(training.tensors), see(validation.tensors), validation.labels)
    judgement = evaluate_fitted(fitted, see(test.tensors), test, parameters.bootstrap_seed)
    judged = evaluated_findings(fitted.operating_points, judgement)
    description = build_description(parameters.words, judged, macro_metrics(judgement))
    write_source(target, weights, fitted, description)


def _judge(bundle: Path, data: Path, source: str, target: Path) -> None:
    kept = FilesInMemory()
    manifest = build_from_folder(kept, "test", data, Selection(splits=("test",)))
    dataset = Dataset(name=manifest.name, digest=manifest.digest, split="test", made_from=manifest.made_from)
    material = load_evaluation_data(manifest, source, kept.read)
    write_report_files(
        evaluate_bundle(bundle, material, dataset, f"pleura {version('pleura')}"), bundle, target
    )


def main() -> None:
    """Train a network, make a model source of it, compare trainings, judge a bundle, or look after data."""
    if sys.argv[1:2] == ["data"]:
        configure_logging("pipelines")
        sys.exit(data_cli.main(sys.argv[2:]))
    asked = _parser().parse_args()
    configure_logging("pipelines")
    if asked.step == "train":
        _train(read_parameters(asked.parameters), asked.data, asked.run, asked.start)
    elif asked.step == "export":
        _export(read_parameters(asked.parameters), asked.data, asked.run, asked.target)
    elif asked.step == "judge":
        _judge(asked.bundle, asked.data, asked.source, asked.target)
    else:
        sys.stdout.write(f"{run_ablation(asked.data, asked.run, read_ablation(asked.parameters))}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines", description=main.__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("data", help="data sets: see its own --help", add_help=False)
    of_data = argparse.ArgumentParser(add_help=False)
    of_data.add_argument("--data", type=Path, required=True, help="folder that holds labels.csv")
    of_run = argparse.ArgumentParser(add_help=False, parents=[of_data])
    of_run.add_argument("--run", type=Path, required=True, help="folder of the training run")
    train_step = steps.add_parser("train", parents=[of_run], help="train; goes on where it was stopped")
    train_step.add_argument("--parameters", type=Path, default=CHEST_XRAY)
    train_step.add_argument("--start", type=Path, help="a model source to train on from: predictor/default")
    export_step = steps.add_parser("export", parents=[of_run], help="calibrate and judge a trained network")
    export_step.add_argument("--parameters", type=Path, default=CHEST_XRAY)
    export_step.add_argument("--target", type=Path, default=Path("predictor/default"))
    ablate_step = steps.add_parser("ablate", parents=[of_run], help="compare trainings on held-out patients")
    ablate_step.add_argument("--parameters", type=Path, default=_ABLATION)
    judge_step = steps.add_parser("judge", parents=[of_data], help="judge a bundle on the test split")
    judge_step.add_argument("--bundle", type=Path, default=Path("build/bundle"))
    judge_step.add_argument("--source", default="nih_cxr14", help="whose radiographs it is judged on")
    judge_step.add_argument("--target", type=Path, required=True, help="folder for report, figures and card")
    return parser


if __name__ == "__main__":
    main()
