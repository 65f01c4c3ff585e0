"""``pleura pipeline run``, ``compile``, ``submit`` and ``schedule``."""

import argparse
import os
import re
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipelines.data.from_folder import InvalidLabels, Selection, build_from_folder
from pipelines.data.store import DatasetStore
from pipelines.object_store import ChangedObject, NoSuchObject
from pipelines.registry.bundle_store import NotStored
from pipelines.registry.mlflow_client import RegistryUnavailable, connect_mlflow
from pipelines.registry.registry import Registry
from pipelines.rollout.target import TargetUnavailable
from pipelines.run.local_run import (
    LocalEnvironment,
    StackNotRunning,
    connect_bundle_store,
    register_first_champion,
    run_locally,
)
from pipelines.run.parameters import DEFAULT_PARAMETERS, InvalidParameters, RunParameters, read_parameters
from pipelines.run.records import ParametersChanged, RunInProgress, RunRecords
from pleura.bundle import InvalidBundle
from pleura.console.output import print_error, print_line
from pleura.errors import StoreUnavailable

if TYPE_CHECKING:
    from kfp.client import Client

_RUN: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_NOT_PROMOTED: Final = 3
_REFUSALS: Final = (
    ChangedObject,
    InvalidBundle,
    InvalidLabels,
    InvalidParameters,
    StackNotRunning,
    NoSuchObject,
    NotStored,
    ParametersChanged,
    RegistryUnavailable,
    StoreUnavailable,
    TargetUnavailable,
    RunInProgress,
)


def run(arguments: argparse.Namespace) -> int:
    """Run the pipeline here: 0 where the challenger is promoted, 3 where it is not, 1 where a step fails."""
    name = arguments.name or time.strftime("run-%Y%m%d-%H%M%S")
    if not _RUN.fullmatch(name):
        return print_error("--name takes small letters, digits, dots and dashes, 63 at most")
    try:
        return _run(arguments, name)
    except _REFUSALS as error:
        return print_error(str(error))


def _run(arguments: argparse.Namespace, name: str) -> int:
    dsn = arguments.journal_dsn
    stack = LocalEnvironment(arguments.state.resolve(), dsn.get_secret_value() if dsn else None)
    environment = stack.step_environment()
    store = connect_bundle_store(environment, "models")
    records = RunRecords(store.objects, name)
    with stack.lock_run(name):
        parameters = _parameters(arguments, store.objects.client)
        records.begin(parameters)
        register_first_champion(
            stack, Registry(connect_mlflow(environment["PLEURA_MLFLOW_URI"]), store), parameters.who
        )
        os.environ.update(environment)
        print_line(f"run {name}, data set {parameters.data_set}")
        run_locally(stack, name, parameters)
    return _tell(stack, records, name)


def _parameters(arguments: argparse.Namespace, client: Any) -> RunParameters:
    path, changes = arguments.parameters or DEFAULT_PARAMETERS, {}
    if arguments.data_set:
        changes["data_set"] = arguments.data_set
    if getattr(arguments, "data", None):
        store = DatasetStore(client, "datasets")
        store.prepare()
        manifest = build_from_folder(store, "chest-xray", arguments.data, Selection())
        store.put(manifest)
        changes["data_set"] = f"{manifest.name}@{manifest.digest}"
    return read_parameters(path, **changes)


def _tell(stack: LocalEnvironment, records: RunRecords, name: str) -> int:
    from pipelines.reports.run_summary import RunSummary, markdown_summary
    from pipelines.run.step_runner import STEPS

    done = [each for each in map(records.read, STEPS) if each]
    summary, folder = RunSummary(name, done, records.read_failure()), stack.work / name
    (folder / "report.md").write_text(markdown_summary(summary))
    print_line(markdown_summary(summary))
    print_line(f"report: {folder / 'report.md'}")
    if summary.outcome.startswith("promoted"):
        return 0
    return 1 if summary.outcome.startswith(("failed", "interrupted", "nothing")) else _NOT_PROMOTED


def compile_to(arguments: argparse.Namespace) -> int:
    """Write the compiled pipeline."""
    _compile(arguments.file)
    print_line(f"wrote {arguments.file}")
    return 0


def _compile(file: Path) -> None:
    from kfp import compiler

    from pipelines.run.pipeline import model_pipeline

    compiler.Compiler().compile(model_pipeline, str(file))


def submit(arguments: argparse.Namespace) -> int:
    """Hand a run to a server, and print where it is."""

    def hand_over(client: "Client", package: str, parameters: RunParameters) -> str:
        run = client.create_run_from_pipeline_package(
            package,
            arguments={"parameters": parameters.to_json(), "run": arguments.name or ""},
            run_name=arguments.name,
            experiment_name=arguments.experiment,
            enable_caching=False,
        )
        return f"run {run.run_id}"

    return _at_server(arguments, hand_over)


def schedule(arguments: argparse.Namespace) -> int:
    """Have a server run it again and again; each run has the name of its job."""

    def hand_over(client: "Client", package: str, parameters: RunParameters) -> str:
        experiment = client.create_experiment(arguments.experiment)
        recurring = client.create_recurring_run(
            experiment_id=experiment.experiment_id,
            job_name=arguments.name,
            cron_expression=arguments.cron,
            max_concurrency=1,
            no_catchup=True,
            pipeline_package_path=package,
            params={"parameters": parameters.to_json(), "run": ""},
            enable_caching=False,
        )
        return f"schedule {recurring.recurring_run_id}"

    return _at_server(arguments, hand_over)


def _at_server(
    arguments: argparse.Namespace, hand_over: Callable[["Client", str, RunParameters], str]
) -> int:
    from kfp.client import Client
    from kfp_server_api import ApiException  # type: ignore[import-untyped]
    from urllib3.exceptions import HTTPError

    changes = {"data_set": arguments.data_set} if arguments.data_set else {}
    try:
        parameters = read_parameters(arguments.parameters or DEFAULT_PARAMETERS, **changes)
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder) / "pipeline.yaml"
            _compile(package)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # that the server must be of version 2
                client = Client(host=arguments.host, existing_token=os.environ.get("PLEURA_KFP_TOKEN"))
            print_line(hand_over(client, str(package), parameters))
    except InvalidParameters as error:
        return print_error(str(error))
    except ApiException as error:
        return print_error(f"{arguments.host} refuses: {error.status} {error.reason}")
    except (HTTPError, OSError) as error:
        return print_error(f"{arguments.host} does not answer: {type(error).__name__}")
    return 0
