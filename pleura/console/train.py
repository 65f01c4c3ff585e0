"""``pleura train``, ``ablate`` and ``evaluate``: make and judge networks on a folder of radiographs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pleura.console.output import CommandFailed, print_line

Data = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder that holds labels.csv.")]
Run = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the training run.")]
Parameters = Annotated[
    Path | None, typer.Option(metavar="YAML", help="Parameters of the training. Default: the shipped file.")
]

NotChest = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Pictures that show no chest film, with images.csv. Default: none."),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (train, ablate, evaluate, fit_input_check):
        app.command()(command)


def train(
    data: Data,
    run: Run,
    parameters: Parameters = None,
    start: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Model source to start from, such as predictor/default."),
    ] = None,
    target: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Model source to write. Default: source in --run.")
    ] = None,
) -> None:
    """Train a model, evaluate it and write its source. The same command continues a stopped training."""
    from pipelines.training.parameters import CHEST_XRAY, read_model_parameters
    from pipelines.training.train_model import train_from_folder

    with training_errors():
        model_parameters = read_model_parameters(parameters or CHEST_XRAY)
        source = target or run / "source"
        description = train_from_folder(data, start, model_parameters, run, source)
        print_line(f"{source}: {description.name} {description.version}")


def ablate(data: Data, run: Run, parameters: Parameters = None) -> None:
    """Compare trainings that differ in one parameter, on held-out patients."""
    from pipelines.training.ablation import ABLATION, read_ablation
    from pipelines.training.run_ablation import run_ablation

    with training_errors():
        print_line(str(run_ablation(data, run, read_ablation(parameters or ABLATION))))


def evaluate(
    data: Data,
    target: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for report, figures and model card.")
    ],
    bundle: Annotated[Path, typer.Option(metavar="FOLDER", help="Bundle to evaluate.")] = Path(
        "build/bundle"
    ),
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Source of the radiographs to evaluate on. Default: nih_cxr14, or else the only source.",
        ),
    ] = None,
    not_chest: NotChest = None,
) -> None:
    """Evaluate a bundle on the test split of a folder, and print what its input check refuses."""
    from pipelines.evaluation.evaluate_on_folder import EvaluationFolder, evaluate_on_folder
    from pipelines.reports.formats import checked_lines

    with training_errors():
        report = evaluate_on_folder(bundle, EvaluationFolder(data, source, not_chest), target)
        checked = report.refusals.checked if report.refusals else ()
        print_line("\n".join(checked_lines(checked)))


def fit_input_check(
    source: Annotated[Path, typer.Argument(help="Model source, such as predictor/default.")],
    data: Data,
    target: Annotated[Path, typer.Option(metavar="FOLDER", help="Model source to write.")],
    version: Annotated[str, typer.Option(metavar="TEXT", help="Version of the model with its check.")],
    not_chest: NotChest = None,
) -> None:
    """Fit the input check of a model, and print what it refuses. The rest of the model stays as it is."""
    from pipelines.reports.formats import checked_lines
    from pipelines.training.add_input_check import CheckFolders, add_input_check

    with training_errors():
        description = add_input_check(source, CheckFolders(data, not_chest), version, target)
        checked = description.input_check.figures if description.input_check else ()
        print_line("\n".join(checked_lines(checked)))


@contextlib.contextmanager
def training_errors() -> Iterator[None]:
    """Log as the pipelines do, and report what a user can correct as one line."""
    from pydantic import ValidationError
    from yaml import YAMLError

    from pipelines.data.label_files import InvalidLabels
    from pipelines.data.sources import NoSuchSource
    from pipelines.evaluation.scoring import UnusableOutputs
    from pipelines.training.add_input_check import TooFewFilms
    from pipelines.training.fitted_model import TooFewLabels
    from pipelines.training.run_ablation import ArmFailed, DifferentArm
    from pipelines.training.train_network import TrainingDiverged
    from pipelines.training.training_network import UnusableWeights
    from pleura.bundle import InvalidBundle
    from pleura.errors import UnreadableRadiograph
    from pleura.observability.logs import configure_logging
    from predictor.build.weights import InvalidSource

    configure_logging("pipelines")
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        raise CommandFailed(f"parameters: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except YAMLError as error:
        raise CommandFailed("parameters: the file is not YAML") from error
    except FileNotFoundError as error:
        raise CommandFailed(f"there is no {error.filename}") from error
    except (
        ArmFailed,
        TrainingDiverged,
        InvalidBundle,
        InvalidLabels,
        InvalidSource,
        DifferentArm,
        NoSuchSource,
        TooFewFilms,
        TooFewLabels,
        UnreadableRadiograph,
        UnusableWeights,
        UnusableOutputs,
    ) as error:
        raise CommandFailed(str(error)) from error
