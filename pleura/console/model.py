"""``pleura model``: registered models, and the folders that models are made of."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from pleura.console.context import find_state
from pleura.console.output import hold_standard_error, one_line_errors, print_line

app = typer.Typer(help="List, compare, promote, roll back, import, build and upload models.")

VersionName = Annotated[
    str, typer.Argument(metavar="VERSION", help="Number, champion, challenger, or digest (8 digits or more).")
]
Mlflow = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="Registry: an MLflow server or sqlite:///FILE. Default: mlflow.db in the state folder.",
    ),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why you do this; the audit trail keeps it.")]
Who = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides this. Default: your user name.")]
S3 = Annotated[
    str | None, typer.Option("--s3", metavar="URL", help="S3 server of the models. Default: the local stack.")
]
AccessKey = Annotated[str | None, typer.Option("--s3-access-key", metavar="KEY", help="Access key of --s3.")]
SecretKey = Annotated[str | None, typer.Option("--s3-secret-key", metavar="KEY", help="Secret key of --s3.")]
Bucket = Annotated[str | None, typer.Option(metavar="NAME", help="Bucket of the models. Default: models.")]


@app.command("list")
def list_versions(context: typer.Context, mlflow: Mlflow = None) -> None:
    """List the registered versions."""
    from pleura.console.model_registry import open_catalogue, registry_errors
    from pleura.console.model_tables import list_lines

    with registry_errors():
        print_line("\n".join(list_lines(open_catalogue(find_state(context), mlflow).versions())))


@app.command()
def show(context: typer.Context, version: VersionName, mlflow: Mlflow = None) -> None:
    """Print everything about one version."""
    from pleura.console.model_registry import open_catalogue, registry_errors
    from pleura.console.model_tables import detail_lines

    with registry_errors():
        catalogue = open_catalogue(find_state(context), mlflow)
        print_line("\n".join(detail_lines(catalogue.version(version), catalogue.moves())))


@app.command()
def compare(context: typer.Context, first: VersionName, second: VersionName, mlflow: Mlflow = None) -> None:
    """Print the figures of two versions side by side."""
    from pleura.console.model_registry import open_catalogue, registry_errors
    from pleura.console.model_tables import comparison_lines

    with registry_errors():
        catalogue = open_catalogue(find_state(context), mlflow)
        print_line("\n".join(comparison_lines(catalogue.version(first), catalogue.version(second))))


@app.command()
def promote(
    context: typer.Context,
    version: VersionName,
    reason: Reason,
    who: Who = None,
    override: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Promote although the gate did not pass it; this is recorded."),
    ] = None,
    mlflow: Mlflow = None,
    s3: S3 = None,
    s3_access_key: AccessKey = None,
    s3_secret_key: SecretKey = None,
    bucket: Bucket = None,
) -> None:
    """Make a version the champion."""
    from pleura.console.model_registry import StoreOptions, open_registry, promote_version, registry_errors

    with registry_errors():
        store = StoreOptions(s3, s3_access_key, s3_secret_key, bucket)
        promote_version(open_registry(find_state(context), mlflow, store), version, who, reason, override)


@app.command()
def rollback(
    context: typer.Context,
    reason: Reason,
    who: Who = None,
    mlflow: Mlflow = None,
    s3: S3 = None,
    s3_access_key: AccessKey = None,
    s3_secret_key: SecretKey = None,
    bucket: Bucket = None,
) -> None:
    """Make the previous champion the champion again. A local stack that runs serves it first."""
    from pleura.console.model_registry import StoreOptions, open_registry, registry_errors, roll_back

    with registry_errors():
        state, store = find_state(context), StoreOptions(s3, s3_access_key, s3_secret_key, bucket)
        roll_back(open_registry(state, mlflow, store), state, who, reason)


@app.command("import")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="The .pt, .pth or .pth.tar file as published.")],
    kind: Annotated[Literal["torchxrayvision", "chexnet"], typer.Option(help="Who published it.")],
    target: Annotated[Path, typer.Option(metavar="FOLDER", help="Model source to make; must not exist.")],
    outputs: Annotated[
        str | None,
        typer.Option(
            metavar="RELEASE|NAMES",
            help="The release (all, nih, pc, ...), or the names of the outputs, separated by commas. "
            "Default: by the name of a torchxrayvision file; the order of ChestX-ray14 for CheXNet.",
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Version of the model. Default: kind and digest of the file."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Labelled radiographs (labels.csv) to fit calibration and operating points on.",
        ),
    ] = None,
    uncalibrated: Annotated[
        bool,
        typer.Option(
            "--uncalibrated",
            help="Fit nothing: a start for training, marked as such; it calls every finding.",
        ),
    ] = False,
) -> None:
    """Make a model source of a published PyTorch DenseNet121."""
    from pleura.console.model_import import ImportOptions, import_source

    if (data is None) is not uncalibrated:
        raise typer.BadParameter("give one of --data and --uncalibrated", param_hint="--data")
    import_source(ImportOptions(file, kind, target, outputs, version, data))


@app.command()
def build(
    source: Annotated[Path, typer.Argument(help="Folder with source.json and weights.npz.")],
    target: Annotated[Path, typer.Argument(help="Bundle to make; it replaces a bundle that exists.")],
) -> None:
    """Make the bundle that the predictor serves of a model source, and print its digest."""
    from pleura.observability.logs import configure_logging

    # TensorFlow reports each step of the conversion, which hides the one line that matters
    configure_logging("build", "ERROR")
    with hold_standard_error():
        from predictor.build.bundle import build_bundle
        from predictor.build.weights import InvalidSource
        from predictor.engines.agreement import DifferentGraphs

        logging.getLogger("absl").setLevel("ERROR")
        logging.getLogger("tensorflow").setLevel("ERROR")
        with one_line_errors(InvalidSource, DifferentGraphs):
            digest = build_bundle(source, target)
    print_line(f"{target}: {digest}")


@app.command()
def upload(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="Bundle to store, as build makes it.")],
    s3: S3 = None,
    s3_access_key: AccessKey = None,
    s3_secret_key: SecretKey = None,
    bucket: Bucket = None,
) -> None:
    """Store a bundle in S3, and print the settings of a predictor that serves it."""
    from pleura.console.model_registry import StoreOptions, registry_errors, upload_bundle

    with registry_errors():
        upload_bundle(find_state(context), bundle, StoreOptions(s3, s3_access_key, s3_secret_key, bucket))
