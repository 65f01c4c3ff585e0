"""``pleura data``: build, merge, validate and show data sets."""

from pathlib import Path
from typing import Annotated

import typer

from pleura.console.context import find_state

app = typer.Typer(help="Build, merge, validate and show data sets. A digest names each data set.")

Name = Annotated[str, typer.Argument(help="Name of the new data set.")]


@app.command()
def build_folder(
    context: typer.Context,
    name: Name,
    folder: Annotated[Path, typer.Argument(help="Folder that holds labels.csv.")],
    source: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Take this source only; may be repeated.")
    ] = None,
    most_per_split: Annotated[
        int | None, typer.Option(metavar="N", help="Radiographs in a split, at most.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice that --most-per-split makes.")] = 1,
) -> None:
    """Build a data set from a folder that holds labels.csv."""
    from pipelines.data.from_folder import Selection
    from pleura.console.data_sets import open_settings, store_folder

    with open_settings(find_state(context)) as settings:
        selection = Selection(None if source is None else tuple(source), most_per_split, seed)
        store_folder(settings, name, folder, selection)


@app.command()
def build_journal(
    context: typer.Context,
    name: Name,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Licence of the radiographs.")],
    days: Annotated[float, typer.Option(metavar="N", help="Days to look back.")] = 365.0,
    patients: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Columns: image_id, patient (a pseudonym).")
    ] = None,
    even_if_seen: Annotated[
        bool, typer.Option("--even-if-seen", help="Count verdicts of radiologists who had seen the answer.")
    ] = False,
) -> None:
    """Build a data set from the journal and the radiologists' verdicts."""
    from pipelines.data.from_journal import JournalRules
    from pipelines.data.patients import read_patients
    from pleura.console.data_sets import open_settings, store_journal

    with open_settings(find_state(context)) as settings:
        pseudonyms = None if patients is None else read_patients(patients)
        rules = JournalRules(licence, patients=pseudonyms, even_if_seen=even_if_seen)
        store_journal(settings, name, days, rules)


@app.command()
def merge(
    context: typer.Context,
    name: Name,
    references: Annotated[list[str], typer.Argument(metavar="DATASET...", help="Digests, or name@digest.")],
) -> None:
    """Merge data sets into a new one."""
    from pleura.console.data_sets import open_settings, store_merged

    with open_settings(find_state(context)) as settings:
        store_merged(settings, name, references)


@app.command()
def validate(
    context: typer.Context,
    reference: Annotated[str, typer.Argument(metavar="DATASET", help="Digest, or name@digest.")],
    against: Annotated[
        str | None, typer.Option(metavar="DATASET", help="Data set to compare it with.")
    ] = None,
    accept: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="A kind of problem to accept; may be repeated.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for validation.json and validation.md.")
    ] = None,
) -> None:
    """Check a data set before its use. The exit code is 1 if it has a serious problem."""
    from pleura.console.data_sets import open_settings, validate_dataset

    with open_settings(find_state(context)) as settings:
        validate_dataset(settings, reference, against, accept or (), report)


@app.command()
def show(
    context: typer.Context,
    reference: Annotated[
        str | None, typer.Argument(metavar="DATASET", help="Digest, or name@digest. Default: list all.")
    ] = None,
) -> None:
    """List the data sets, or print what one holds."""
    from pleura.console.data_sets import open_settings, show_datasets

    with open_settings(find_state(context)) as settings:
        show_datasets(settings, reference)
