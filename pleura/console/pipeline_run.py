"""Run the pipeline on this machine, against the local stack."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.data.from_folder import Selection, build_from_folder
from pipelines.data.label_files import InvalidLabels
from pipelines.data.sources import NoSuchSource, choose_source, list_sources
from pipelines.data.store import DatasetStore
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
from pipelines.value import InvalidDocument
from pleura.bundle import InvalidBundle, NotStored
from pleura.console.output import CommandFailed, one_line_errors, print_line
from pleura.console.settings import read_settings, reveal
from pleura.environment import set_variables
from pleura.errors import StoreUnavailable
from pleura.object_bucket import ChangedObject, NoSuchObject

_RUN_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_FAILED: Final = 1
_NOT_PROMOTED: Final = 3
_EXPECTED: Final = (
    ChangedObject,
    InvalidBundle,
    InvalidDocument,
    InvalidLabels,
    InvalidParameters,
    StackNotRunning,
    NoSuchObject,
    NoSuchSource,
    NotStored,
    ParametersChanged,
    RegistryUnavailable,
    StoreUnavailable,
    TargetUnavailable,
    RunInProgress,
)


@dataclass(frozen=True)
class RunOptions:
    """The options of ``pleura pipeline run``."""

    parameters: Path | None
    data_set: str | None
    data: Path | None
    name: str | None


def run_on_stack(state: Path, options: RunOptions) -> int:
    """Run the pipeline, print its report, and return the exit code."""
    name = options.name or time.strftime("run-%Y%m%d-%H%M%S")
    if not _RUN_NAME.fullmatch(name):
        raise CommandFailed("--name takes small letters, digits, dots and dashes, 63 at most")
    stack = LocalEnvironment(state, reveal(read_settings().journal_dsn))
    with one_line_errors(*_EXPECTED):
        environment = stack.step_environment()
        store = connect_bundle_store(environment, "models")
        records = RunRecords(store.objects, name)
        with stack.lock_run(name):
            parameters = read_run_parameters(options, store.objects.client)
            # first: a run of this name with other parameters is refused before anything is changed
            records.begin(parameters)
            registry = Registry(connect_mlflow(environment["PLEURA_MLFLOW_URI"]), store)
            register_first_champion(stack, registry, parameters.who)
            # the steps are processes that read their settings from the environment, as on a cluster
            set_variables(os.environ, environment)
            print_line(f"run {name}, data set {parameters.data_set}")
            run_locally(stack, name, parameters)
        return _print_report(stack, records, name)


def read_run_parameters(options: RunOptions, client: Any) -> RunParameters:
    """Read the parameters of a run, and store its folder of radiographs as a data set.

    Raises:
        InvalidParameters: A parameter is missing or invalid.
        NoSuchSource: A split of the data set has no radiograph of the main source.
    """
    changes = {"data_set": options.data_set} if options.data_set else {}
    store = DatasetStore(client, "datasets")
    if options.data:
        store.prepare()
        manifest = build_from_folder(store, "chest-xray", options.data, Selection())
        store.put(manifest)
        changes["data_set"] = f"{manifest.name}@{manifest.digest}"
    parameters = read_parameters(options.parameters or DEFAULT_PARAMETERS, **changes)
    sources = list_sources(store.get(parameters.data_set).records)
    choose_source(sources, parameters.main_source, "main_source in the file of --parameters")
    return parameters


def _print_report(stack: LocalEnvironment, records: RunRecords, name: str) -> int:
    from pipelines.reports.run_summary import RunSummary, markdown_summary
    from pipelines.run.step_runner import STEPS

    done = [record for record in map(records.read, STEPS) if record]
    summary, file = RunSummary(name, done, records.read_failure()), stack.work / name / "report.md"
    file.write_text(markdown_summary(summary))
    print_line(markdown_summary(summary))
    print_line(f"report: {file}")
    if summary.outcome.startswith("promoted"):
        return 0
    return _FAILED if summary.outcome.startswith(("failed", "interrupted", "nothing")) else _NOT_PROMOTED
