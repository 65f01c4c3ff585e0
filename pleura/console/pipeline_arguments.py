"""The arguments of ``pleura pipeline``; what runs it is imported when it runs."""

import argparse
from pathlib import Path
from typing import Any

from pleura.console.settings import Settings

_NAME = "letters, digits, dots and dashes"


def add_pipeline(commands: Any, settings: Settings) -> None:
    """Add ``pleura pipeline`` and its subcommands."""
    pipeline = commands.add_parser(
        "pipeline", help="from a data set to a promoted model, or a report why not"
    )
    actions = pipeline.add_subparsers(required=True, metavar="ACTION")
    run = actions.add_parser("run", help="run it on this machine, against the stack that runs here")
    run.set_defaults(run="cli_pipeline:run", journal_dsn=settings.journal_dsn)
    _add_parameters(run)
    run.add_argument("--data", type=Path, metavar="FOLDER", help="make the data set from labels.csv in it")
    run.add_argument("--name", metavar="RUN", help="name of the run; the same again goes on where it stopped")
    compiled = actions.add_parser("compile", help="write the YAML that a Kubeflow Pipelines server takes")
    compiled.set_defaults(run="cli_pipeline:compile_to")
    compiled.add_argument("file", type=Path)
    submit = actions.add_parser("submit", help="have a Kubeflow Pipelines server run it")
    submit.set_defaults(run="cli_pipeline:submit")
    _add_server(submit)
    submit.add_argument("--name", metavar="RUN", help="name of the run")
    schedule = actions.add_parser("schedule", help="have a Kubeflow Pipelines server run it again and again")
    schedule.set_defaults(run="cli_pipeline:schedule")
    _add_server(schedule)
    schedule.add_argument(
        "--cron", required=True, help="when, in six fields: second minute hour day month weekday"
    )
    schedule.add_argument("--name", required=True, help="name of the schedule")


def _add_server(parser: argparse.ArgumentParser) -> None:
    _add_parameters(parser)
    parser.add_argument("--host", required=True, metavar="URL", help="the Kubeflow Pipelines API")
    parser.add_argument("--experiment", default="chest-xray", help="(default %(default)s)")


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parameters", type=Path, metavar="YAML", help="what decides the run (the shipped file)"
    )
    parser.add_argument("--data-set", metavar="NAME@DIGEST", help="a data set that is stored already")
