"""``python -m pipelines train``, ``export``, ``ablate`` and ``data``."""

import argparse
import sys
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.data import cli as data_cli
from pipelines.data.radiographs import read_split
from pipelines.model.description import describe, judged_findings, macro_metrics
from pipelines.model.export import fit, half_precision_weights, judge_fitted, reader_of, write_source
from pipelines.parameters import Parameters, read_parameters
from pipelines.training.ablation import ablate, read_ablation
from pipelines.training.train import train, training_network
from pleura.logs import configure_logging
from predictor.weights import WEIGHTS_FILE

_DEFAULTS: Final = {
    "train": Path(__file__).with_name("chest_xray.yaml"),
    "export": Path(__file__).with_name("chest_xray.yaml"),
    "ablate": Path(__file__).with_name("training") / "ablation.yaml",
}


def _train(parameters: Parameters, data: Path, run: Path, start: Path | None) -> None:
    sources = (parameters.main_source, parameters.training.auxiliary_source)
    training = read_split(data, "train").of_source(*sources)
    validation = read_split(data, "val").of_source(parameters.main_source)
    weights = None
    if start is not None:
        with np.load(start / WEIGHTS_FILE, allow_pickle=False) as file:
            weights = dict(file)
    train(training, validation, parameters.training, run, weights)


def _export(parameters: Parameters, data: Path, run: Path, target: Path) -> None:
    network = training_network(parameters.training)
    network.load_weights(run / f"stage{len(parameters.training.stages) - 1}.weights.h5")
    weights = half_precision_weights(network)
    training, validation, test = (
        read_split(data, split).of_source(parameters.main_source) for split in ("train", "val", "test")
    )
    see = reader_of(weights)
    fitted = fit(see(training.tensors), see(validation.tensors), validation.labels)
    judgement = judge_fitted(fitted, see(test.tensors), test, parameters.bootstrap_seed)
    judged = judged_findings(fitted.operating_points, judgement)
    description = describe(parameters.words, judged, macro_metrics(judgement))
    write_source(target, weights, fitted, description)


def main() -> None:
    """Train a network into ``--run``, export a finished run as a model source, or compare trainings."""
    if sys.argv[1:2] == ["data"]:
        configure_logging("pipelines")
        sys.exit(data_cli.main(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="python -m pipelines", description=main.__doc__)
    parser.add_argument("step", choices=tuple(_DEFAULTS))
    parser.add_argument("--parameters", type=Path, help="chest_xray.yaml, or ablation.yaml, beside this file")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds labels.csv")
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--start", type=Path, help="a model source to train on from: predictor/default")
    parser.add_argument("--target", type=Path, default=Path("predictor/default"))
    arguments = parser.parse_args()
    configure_logging("pipelines")
    path = arguments.parameters or _DEFAULTS[arguments.step]
    if arguments.step == "ablate":
        sys.stdout.write(ablate(arguments.data, arguments.run, read_ablation(path)).read_text())
        return
    parameters = read_parameters(path)
    if arguments.step == "train":
        _train(parameters, arguments.data, arguments.run, arguments.start)
    else:
        _export(parameters, arguments.data, arguments.run, arguments.target)


if __name__ == "__main__":
    main()
