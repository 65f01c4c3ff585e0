"""The one way to train a model: the step of the pipeline and ``pleura train`` both call ``train_model``."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.data.labelled_radiographs import LabelledRadiographs, read_folder_sources, read_split
from pipelines.data.sources import choose_source
from pipelines.evaluation.description import build_description, evaluated_findings, macro_metrics
from pipelines.training.fitted_model import FittedModel, evaluate_model, fit_model, require_enough_labels
from pipelines.training.model_source import read_source_weights, write_source
from pipelines.training.parameters import ModelParameters, TrainingParameters
from pipelines.training.train_network import train_network
from pipelines.training.trained_network import TrainedNetwork, source_arrays
from pipelines.training.training_network import WeightArrays
from pleura.bundle import ModelDescription


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The radiographs that a model is made from. Those of the auxiliary source are in ``training`` only."""

    training: LabelledRadiographs
    validation: LabelledRadiographs


def train_model(
    data: TrainingData, start: WeightArrays | None, parameters: TrainingParameters, work: Path
) -> FittedModel:
    """Train a network, then fit its calibration, operating points, typicality and input check.

    Args:
        data: The radiographs.
        start: Weights of a model source to start from. None starts from random weights.
        parameters: How to train.
        work: Folder that keeps the progress: a call after an interruption resumes the training.

    Raises:
        TooFewLabels: A finding is too rare in the validation split. This is found before the training.
        UnusableWeights: ``start`` belongs to another network.
        TrainingDiverged: The loss or a logit is not finite.
    """
    # Before the training: a finding that is too rare to calibrate was once found hours later.
    require_enough_labels(data.validation.labels)
    network = train_network(data.training, data.validation, parameters, work, start)
    main = data.training.select(data.training.sources != parameters.auxiliary_source)
    return fit_model(TrainedNetwork(source_arrays(network, start)), main, data.validation, data.training)


def train_from_folder(
    folder: Path, start: Path | None, parameters: ModelParameters, work: Path, target: Path
) -> ModelDescription:
    """Train a model on a folder of labelled radiographs, evaluate it, and write the model source.

    Args:
        folder: A folder that ``read_split`` can read.
        start: A model source to start from. None starts from random weights.
        parameters: Everything that decides the model besides the radiographs and the start.
        work: See ``train_model``.
        target: Folder that receives the model source.

    Raises:
        FileNotFoundError, InvalidLabels, UnreadableRadiograph: See ``read_split``.
        NoSuchSource: A split has no radiograph of the main source.
        InvalidSource: ``start`` has no weights.
        TooFewLabels, UnusableWeights, TrainingDiverged: See ``train_model``.
    """
    auxiliary = parameters.training.auxiliary_source
    # all splits before the training: the test split is read after it, hours later
    sources = {(split, source) for split, source in read_folder_sources(folder) if source != auxiliary}
    main = choose_source(sources, parameters.main_source, "main_source in the file of --parameters")
    weights = None if start is None else read_source_weights(start)
    data = TrainingData(read_split(folder, "train", main, auxiliary), read_split(folder, "val", main))
    model = train_model(data, weights, parameters.training, work)
    evaluation = evaluate_model(model, read_split(folder, "test", main), parameters.judgement)
    findings = evaluated_findings(model.fitted.operating_points, evaluation)
    description = build_description(
        parameters.words, findings, macro_metrics(evaluation), model.fitted.check_thresholds
    )
    write_source(target, model, description)
    return description
