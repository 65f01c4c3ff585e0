"""Leads a challenger from no traffic to all of it, or back; any process can go on where another died."""

import time
from dataclasses import replace

import structlog
from pydantic import ValidationError

from pipelines.rollout.ledger import Ledger
from pipelines.rollout.phases import advance, begin_rollback, record_event
from pipelines.rollout.state import RolloutOutcome, RolloutParts, RolloutState, utc_now
from pipelines.rollout.target import ModelChange

log = structlog.get_logger()


class RolloutInProgress(Exception):
    """Another rollout of this target is under way, or has died and waits to be resumed."""


def roll_out(parts: RolloutParts, change: ModelChange, run: str = "") -> RolloutOutcome:
    """Lead the challenger to all of the traffic, or back; resume the same rollout where it was left.

    A dead predecessor counts as dead when its ledger has not changed for ``lease_s``, by our own clock.

    Args:
        parts: What to work with.
        change: From which model to which.
        run: Names the pipeline run that asks; asked again by the same run, an ended rollout is not repeated.

    Raises:
        RolloutInProgress: Another rollout is under way or unfinished, or another process leads this one.
    """
    last = _read(parts.ledger.read())
    if (
        run
        and last
        and last.phase == "ended"
        and last.run == run
        and _digests(last.change) == _digests(change)
    ):
        return last.outcome
    state = _take(parts, change, run)
    while state.phase != "ended":
        if parts.ledger.read() != _document(state):  # we were away for so long that we count as dead
            raise RolloutInProgress("another process has taken this rollout over")
        before, state = state, _save(parts, state, advance(parts, state))
        if (state.phase, state.step) == (before.phase, before.step):
            parts.target.wait(parts.plan.check_s)
    log.info("rollout_ended", result=state.result, reason=state.reason)
    return state.outcome


def abandon_rollout(parts: RolloutParts) -> RolloutOutcome | None:
    """Lead whatever rollout is unfinished back to its champion; None where there is none.

    Raises:
        RolloutInProgress: The process that leads it is alive.
    """
    left = find_unfinished_rollout(parts.ledger)
    if left is None:
        return None
    state = _take(parts, left.change, left.run)
    _save(parts, state, begin_rollback(state, "abandoned"))
    return roll_out(parts, left.change, left.run)


def find_unfinished_rollout(ledger: Ledger) -> RolloutState | None:
    """The rollout that is under way, or that died on its way.

    Raises:
        RolloutInProgress: The ledger cannot be understood: who knows what is under way.
    """
    left = _read(ledger.read())
    return None if left is None or left.phase == "ended" else left


def _take(parts: RolloutParts, change: ModelChange, run: str) -> RolloutState:
    """Write into the ledger that this process leads the rollout."""
    document = parts.ledger.read()
    left = _read(document)
    if left is None or left.phase == "ended":
        state = RolloutState(
            holder=parts.holder, beat=0, change=change, run=run, phase="checking", since=utc_now()
        )
        state = record_event(state, "begins", 0)
    elif _digests(left.change) != _digests(change):
        raise RolloutInProgress(f"the rollout of {left.change.challenger.version} is not finished")
    else:
        if left.holder != parts.holder:
            _await_death(parts, document)
        update = {
            "holder": parts.holder,
            "beat": left.beat + 1,
            "unready_since": None,
            "blind_since": None,
            "change": replace(change, canary_revision=left.change.canary_revision),
        }
        state = record_event(left.model_copy(update=update), "resumed", 0)
    if not parts.ledger.swap(document, _document(state)):
        raise RolloutInProgress("another process has just taken it up")
    return state


def _digests(change: ModelChange) -> tuple[str, str]:
    return change.champion.digest, change.challenger.digest


def _read(document: bytes | None) -> RolloutState | None:
    try:
        return None if document is None else RolloutState.model_validate_json(document)
    except ValidationError as error:
        raise RolloutInProgress("the ledger holds what is no rollout of this software") from error


def _await_death(parts: RolloutParts, document: bytes | None) -> None:
    end = time.monotonic() + parts.plan.lease_s
    while time.monotonic() < end:
        time.sleep(min(parts.plan.check_s, 0.5))
        if parts.ledger.read() != document:
            raise RolloutInProgress("another process leads this rollout")


def _save(parts: RolloutParts, old: RolloutState, new: RolloutState) -> RolloutState:
    new = new.model_copy(update={"beat": old.beat + 1})
    if not parts.ledger.swap(_document(old), _document(new)):
        raise RolloutInProgress("another process has taken this rollout over")
    return new


def _document(state: RolloutState) -> bytes:
    return state.model_dump_json().encode()
