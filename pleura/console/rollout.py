"""``pleura rollout``: give a model a growing share of the traffic, and promote it or roll it back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pleura.console.context import find_state, read_stack_defaults
from pleura.console.output import CommandFailed, print_error, print_line

if TYPE_CHECKING:
    from pipelines.rollout.state import RolloutOutcome, RolloutParts
    from pipelines.rollout.target import ModelChange

_NOT_PROMOTED: Final = 1
_NOT_STARTED: Final = 2


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(rollout)


def rollout(
    context: typer.Context,
    bundle: Annotated[Path, typer.Option(metavar="FOLDER", help="Bundle of the challenger.")],
    digest: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST", help="Digest that the bundle must have. Default: the digest that it has."
        ),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Steps and guardrails. Default: the shipped file.")
    ] = None,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Roll an unfinished rollout back instead.")
    ] = False,
) -> None:
    """Roll a challenger out, and print the outcome as JSON.

    The exit code is 0 if the challenger is promoted, 1 if it is not, and 2 if the rollout cannot start.
    For a stack that was started with --postgres, set PLEURA_JOURNAL_DSN.
    """
    from pipelines.rollout.rollout import RolloutInProgress
    from pipelines.rollout.target import TargetUnavailable
    from pleura.bundle import InvalidBundle
    from pleura.observability.logs import configure_logging

    configure_logging("rollout")
    try:
        outcome = _roll_out(find_state(context), bundle, digest, plan, abandon)
    except (RolloutInProgress, TargetUnavailable, InvalidBundle) as error:
        print_error(str(error))
        raise typer.Exit(_NOT_STARTED) from error
    if outcome:
        print_line(outcome.model_dump_json())
    if outcome is None or outcome.result != "promoted":
        raise typer.Exit(_NOT_PROMOTED)


def _find_journal(state: Path) -> str:
    from pleura.console.settings import read_settings, reveal

    dsn = reveal(read_settings().journal_dsn) or read_stack_defaults(state).get("PLEURA_JOURNAL_DSN")
    if not dsn:
        raise CommandFailed("name the PostgreSQL server of the journal in PLEURA_JOURNAL_DSN")
    return dsn


def _roll_out(
    state: Path, bundle: Path, digest: str | None, plan: Path | None, abandon: bool
) -> "RolloutOutcome | None":
    from pipelines.rollout.ledger import FileLedger
    from pipelines.rollout.local import LocalTarget
    from pipelines.rollout.rollout import abandon_rollout, find_unfinished_rollout, roll_out
    from pipelines.rollout.target import ModelChange, ModelReference
    from pleura.bundle import verify

    target, ledger = LocalTarget(state), FileLedger(state / "rollout.json")
    unfinished = find_unfinished_rollout(ledger)
    # a rollout that was interrupted goes on with the champion that it began with
    champion = unfinished.change.champion if unfinished else target.serving_model()
    description, found = verify(bundle)
    change = ModelChange(champion, ModelReference(str(bundle), digest or found, description.version))
    parts = _rollout_parts(state, change, plan)
    return abandon_rollout(parts) if abandon else roll_out(parts, change)


def _rollout_parts(state: Path, change: "ModelChange", plan: Path | None) -> "RolloutParts":
    from pipelines.rollout.ledger import FileLedger
    from pipelines.rollout.local import LocalCounters, LocalTarget
    from pipelines.rollout.monitor import RolloutMonitor
    from pipelines.rollout.plan import DEFAULT_PLAN, read_plan
    from pipelines.rollout.state import RolloutParts

    counters = LocalCounters(state, change)
    monitor = RolloutMonitor(_find_journal(state), counters, change.challenger.digest, change.champion.digest)
    ledger = FileLedger(state / "rollout.json")
    return RolloutParts(LocalTarget(state), monitor, ledger, read_plan(plan or DEFAULT_PLAN))
