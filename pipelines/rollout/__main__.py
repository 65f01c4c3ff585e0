"""``python -m pipelines.rollout``: roll a bundle out on the stack of this machine."""

import argparse
import os
import sys
from pathlib import Path

from pipelines.rollout.ledger import FileLedger
from pipelines.rollout.local import LocalCounters, LocalTarget
from pipelines.rollout.monitor import RolloutMonitor
from pipelines.rollout.plan import DEFAULT_PLAN, read_plan
from pipelines.rollout.rollout import RolloutInProgress, abandon_rollout, find_unfinished_rollout, roll_out
from pipelines.rollout.state import RolloutOutcome, RolloutParts
from pipelines.rollout.target import ModelChange, ModelReference, TargetUnavailable
from pleura.bundle import InvalidBundle, verify
from pleura.observability.logs import configure_logging


def main() -> int:
    """Roll out, print the outcome as JSON; the exit code is 0 where the challenger was promoted.

    PLEURA_JOURNAL_DSN names the journal's PostgreSQL: a command line may be read by anybody.
    """
    parser = argparse.ArgumentParser(prog="python -m pipelines.rollout", description=main.__doc__)
    parser.add_argument("--state", type=Path, required=True, help="state folder of the stack")
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the challenger")
    parser.add_argument("--digest", help="digest that the challenger must have (that which it has)")
    parser.add_argument("--plan", type=Path, default=DEFAULT_PLAN)
    parser.add_argument("--abandon", action="store_true", help="lead an unfinished rollout back instead")
    arguments = parser.parse_args()
    configure_logging("rollout")
    try:
        outcome = _roll_out(arguments)
    except (RolloutInProgress, TargetUnavailable, InvalidBundle) as error:
        sys.stderr.write(f"rollout: {error}\n")
        return 2
    if outcome:
        sys.stdout.write(outcome.model_dump_json() + "\n")
    return 0 if outcome and outcome.result == "promoted" else 1


def _roll_out(arguments: argparse.Namespace) -> RolloutOutcome | None:
    target, ledger = LocalTarget(arguments.state), FileLedger(arguments.state / "rollout.json")
    unfinished = find_unfinished_rollout(ledger)
    champion = unfinished.change.champion if unfinished else target.serving_model()
    description, digest = verify(arguments.bundle)
    challenger = ModelReference(str(arguments.bundle), arguments.digest or digest, description.version)
    change = ModelChange(champion, challenger)
    counters = LocalCounters(arguments.state, change)
    monitor = RolloutMonitor(
        os.environ["PLEURA_JOURNAL_DSN"], counters, change.challenger.digest, change.champion.digest
    )
    parts = RolloutParts(target, monitor, ledger, read_plan(arguments.plan))
    return abandon_rollout(parts) if arguments.abandon else roll_out(parts, change)


if __name__ == "__main__":
    sys.exit(main())
