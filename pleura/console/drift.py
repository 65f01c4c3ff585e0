"""``pleura drift``: look for drift in the journal, make a reference, list audits."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pleura.console.context import find_state, read_settings_with_stack
from pleura.console.output import CommandFailed, print_line

if TYPE_CHECKING:
    from pipelines.drift.settings import DriftSettings
    from pipelines.journal_reader import Window

app = typer.Typer(help="Look for drift in the journal, make a reference, list audits.")
EXIT_CODES: Final[Mapping[str, int]] = {"no drift seen": 0, "drift": 3, "cannot be shown": 4}

Days = Annotated[float, typer.Option(metavar="N", help="Days of the window.")]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="End of the window (ISO 8601). Default: last midnight (UTC)."),
]


@app.command()
def check(context: typer.Context, days: Days = 7.0, until: Until = None) -> None:
    """Compare the window with the reference.

    The exit code is 0 if no drift is seen, 3 for drift, 4 if drift cannot be shown, and 1 for a failure.
    """
    from pipelines.drift.run import run_drift

    with _drift_errors():
        settings = _read_drift_settings(context)
        report = run_drift(settings, read_window(days, until, datetime.now(UTC)))
        _print_json({"word": report.word, "kinds": report.kinds, "audit": report.audit})
    # outside the block above, which would take Exit for a failure
    raise typer.Exit(EXIT_CODES[report.word])


@app.command()
def reference(
    context: typer.Context,
    model_digest: Annotated[str, typer.Option(metavar="DIGEST", help="Digest of the model.")],
    days: Days = 7.0,
    until: Until = None,
) -> None:
    """Make the reference of a model from a window in which the model worked well."""
    from pipelines.drift.run import make_reference

    with _drift_errors():
        settings = _read_drift_settings(context)
        made = make_reference(settings, read_window(days, until, datetime.now(UTC)), model_digest)
        _print_json({"made_from": made.made_from, "radiographs": made.n})


@app.command()
def audits(context: typer.Context) -> None:
    """List audit requests, and which verdicts have arrived."""
    from dataclasses import asdict

    from pipelines.drift.run import list_audits

    with _drift_errors():
        found = list_audits(_read_drift_settings(context))
        _print_json([{**asdict(audit), "outstanding": audit.outstanding} for audit in found])


def read_window(days: float, until: str | None, now: datetime) -> "Window":
    """Return the window that ends at ``until``, or else at the last midnight (UTC): the same all day long.

    Raises:
        CommandFailed: ``until`` is not a time.
    """
    from pipelines.journal_reader import Window

    try:
        end = datetime.fromisoformat(until) if until else now.astimezone(UTC)
    except ValueError as error:
        raise CommandFailed(f"--until: {until} is not a time in ISO 8601") from error
    if not until:
        end = end.replace(hour=0, minute=0, second=0, microsecond=0)
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    return Window(end - timedelta(days=days), end)


def _read_drift_settings(context: typer.Context) -> "DriftSettings":
    from pipelines.drift.settings import DriftSettings

    return read_settings_with_stack(DriftSettings, find_state(context))


@contextlib.contextmanager
def _drift_errors() -> Iterator[None]:
    """Report a failure as one line; an unexpected one only by its kind: its text may quote a journal row."""
    from pipelines.drift.metrics import DriftMetricsNotWritten
    from pipelines.drift.reference import NoRadiographs
    from pipelines.journal_reader import JournalUnreadable
    from pipelines.value import InvalidDocument
    from pleura.errors import PleuraError
    from pleura.object_bucket import NoSuchObject
    from pleura.observability.logs import configure_logging

    configure_logging("drift")
    try:
        yield
    except CommandFailed:
        raise
    except (
        InvalidDocument,
        JournalUnreadable,
        DriftMetricsNotWritten,
        NoSuchObject,
        NoRadiographs,
        PleuraError,
    ) as error:
        raise CommandFailed(str(error)) from error
    except Exception as error:
        raise CommandFailed(f"drift: {type(error).__name__}") from error


def _print_json(document: Any) -> None:
    import json

    print_line(json.dumps(document, default=lambda value: value.model_dump()))
