"""``pleura pipeline``: from a data set to a promoted model, or a report of why not."""

from pathlib import Path
from typing import Annotated

import typer

from pleura.console.context import find_state
from pleura.console.output import print_line

app = typer.Typer(help="Run the pipeline: from a data set to a promoted model, or a report of why not.")

Parameters = Annotated[
    Path | None, typer.Option(metavar="YAML", help="Parameters of the run. Default: the shipped file.")
]
DataSet = Annotated[
    str | None, typer.Option("--data-set", metavar="NAME@DIGEST", help="A data set that is stored already.")
]
Host = Annotated[str, typer.Option(metavar="URL", help="The Kubeflow Pipelines API.")]
Image = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Image of the steps: pleura-pipelines of your registry, by digest."),
]
Experiment = Annotated[str, typer.Option(metavar="NAME", help="Experiment on the server.")]


@app.command()
def run(
    context: typer.Context,
    parameters: Parameters = None,
    data_set: DataSet = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Make the data set from labels.csv in this folder.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Name of the run. The same name again continues a run that stopped."
        ),
    ] = None,
) -> None:
    """Run the pipeline on this machine, against the local stack.

    The exit code is 0 if the challenger is promoted, 3 if it is not, and 1 if a step fails.
    """
    from pleura.console.pipeline_run import RunOptions, run_on_stack

    raise typer.Exit(run_on_stack(find_state(context), RunOptions(parameters, data_set, data, name)))


@app.command("compile")
def compile_pipeline(
    file: Annotated[Path, typer.Argument(help="YAML file to write.")], image: Image = None
) -> None:
    """Write the YAML file that a Kubeflow Pipelines server takes."""
    from pleura.console.pipeline_server import write_package

    write_package(file, image)
    print_line(f"wrote {file}")


@app.command()
def submit(
    host: Host,
    parameters: Parameters = None,
    data_set: DataSet = None,
    experiment: Experiment = "chest-xray",
    name: Annotated[str | None, typer.Option(metavar="RUN", help="Name of the run.")] = None,
    image: Image = None,
) -> None:
    """Have a Kubeflow Pipelines server run the pipeline."""
    from pleura.console.pipeline_server import SubmitOptions, submit_run

    submit_run(SubmitOptions(host, parameters, data_set, experiment, image), name)


@app.command()
def schedule(
    host: Host,
    cron: Annotated[str, typer.Option(help="Six fields: second minute hour day month weekday.")],
    name: Annotated[str, typer.Option(help="Name of the schedule.")],
    parameters: Parameters = None,
    data_set: DataSet = None,
    experiment: Experiment = "chest-xray",
    image: Image = None,
) -> None:
    """Have a Kubeflow Pipelines server run the pipeline again and again."""
    from pleura.console.pipeline_server import SubmitOptions, schedule_runs

    schedule_runs(SubmitOptions(host, parameters, data_set, experiment, image), name, cron)
