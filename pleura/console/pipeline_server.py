"""Compile the pipeline, and hand it to a Kubeflow Pipelines server."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.run.parameters import DEFAULT_PARAMETERS, InvalidParameters, read_parameters
from pleura.console.output import CommandFailed, one_line_errors, print_line
from pleura.console.settings import read_settings, reveal

if TYPE_CHECKING:
    from kfp.client import Client


@dataclass(frozen=True)
class SubmitOptions:
    """The server, and what it runs."""

    host: str
    parameters: Path | None
    data_set: str | None
    experiment: str
    image: str | None


@dataclass(frozen=True)
class _Package:
    """The compiled pipeline and its parameters, ready for the server."""

    client: "Client"
    file: str
    parameters: str


def write_package(file: Path, image: str | None = None) -> None:
    """Write the compiled pipeline, whose steps run in this image, by default in one without a registry."""
    from kfp import compiler

    from pipelines.run.pipeline import IMAGE, model_pipeline

    compiler.Compiler().compile(model_pipeline, str(file))
    if image:
        # Kubeflow's compiler takes the image of a step from its decorator only
        file.write_text(file.read_text().replace(f"image: {IMAGE}\n", f"image: {image}\n"))


def submit_run(options: SubmitOptions, name: str | None) -> None:
    """Start one run, and print its id."""
    with _prepared(options) as package:
        run = package.client.create_run_from_pipeline_package(
            package.file,
            arguments={"parameters": package.parameters, "run": name or ""},
            run_name=name,
            experiment_name=options.experiment,
            # Kubeflow would skip a step that has run with the same parameters, but steps read stored
            # decisions too (docs/decisions/0029)
            enable_caching=False,
        )
        print_line(f"run {run.run_id}")


def schedule_runs(options: SubmitOptions, name: str, cron: str) -> None:
    """Start a schedule, and print its id; the server gives each run the name of its job."""
    with _prepared(options) as package:
        experiment = package.client.create_experiment(options.experiment)
        recurring = package.client.create_recurring_run(
            experiment_id=experiment.experiment_id,
            job_name=name,
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            pipeline_package_path=package.file,
            params={"parameters": package.parameters, "run": ""},
            enable_caching=False,
        )
        print_line(f"schedule {recurring.recurring_run_id}")


@contextlib.contextmanager
def _prepared(options: SubmitOptions) -> Iterator[_Package]:
    """Compile the pipeline, connect to the server, and report its failures as one line."""
    from kfp.client import Client
    from kfp_server_api import ApiException  # type: ignore[import-untyped]
    from urllib3.exceptions import HTTPError

    changes = {"data_set": options.data_set} if options.data_set else {}
    with one_line_errors(InvalidParameters):
        parameters = read_parameters(options.parameters or DEFAULT_PARAMETERS, **changes)
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.yaml"
            write_package(file, options.image)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # KFP warns that the server must be version 2
                client = Client(host=options.host, existing_token=reveal(read_settings().kfp_token))
            yield _Package(client, str(file), parameters.to_json())
    except ApiException as error:
        raise CommandFailed(f"{options.host} refuses: {error.status} {error.reason}") from error
    except (HTTPError, OSError) as error:
        raise CommandFailed(f"{options.host} does not answer: {type(error).__name__}") from error
