"""The loop of a rollout: this process holds the lease, advances the state and writes it to the ledger.

Any process can resume a rollout whose process died.
"""

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
    """Another rollout of this target is in progress, or its process died and it waits to be resumed."""


def roll_out(parts: RolloutParts, change: ModelChange, run: str = "") -> RolloutOutcome:
    """Give the challenger all of the traffic, or roll it back; resume the same rollout where it stopped.

    Another process counts as dead when the ledger has not changed for ``lease_s`` by our own clock.

    Args:
        parts: Target, observations, ledger, plan and holder.
        change: From which model to which.
        run: Name of the pipeline run. A second call for the same run gives the outcome of the first one.

    Raises:
        RolloutInProgress: Another rollout is in progress or unfinished, or another process holds the lease.
    """
    last = _parse_state(parts.ledger.read())
    # A run of the pipeline that died after its rollout gets the same outcome, and not a second rollout.
    if run and last and last.phase == "ended" and last.run == run and _is_same_change(last.change, change):
        return last.outcome
    state = _take_lease(parts, change, run)
    while state.phase != "ended":
        # If this process slept longer than lease_s, another one may have taken the lease.
        if parts.ledger.read() != _to_document(state):
            raise RolloutInProgress("another process has taken this rollout over")
        before, state = state, _save(parts, state, advance(parts, state))
        if (state.phase, state.step) == (before.phase, before.step):
            parts.target.wait(parts.plan.check_s)
    log.info("rollout_ended", result=state.result, reason=state.reason)
    return state.outcome


def abandon_rollout(parts: RolloutParts) -> RolloutOutcome | None:
    """Roll an unfinished rollout back to its champion; None if there is no unfinished rollout.

    Raises:
        RolloutInProgress: The process that holds the lease is alive.
    """
    unfinished = find_unfinished_rollout(parts.ledger)
    if unfinished is None:
        return None
    state = _take_lease(parts, unfinished.change, unfinished.run)
    _save(parts, state, begin_rollback(state, "abandoned"))
    return roll_out(parts, unfinished.change, unfinished.run)


def find_unfinished_rollout(ledger: Ledger) -> RolloutState | None:
    """Find the rollout that is in progress, or whose process died.

    Raises:
        RolloutInProgress: The ledger cannot be parsed, so that a rollout may be in progress.
    """
    last = _parse_state(ledger.read())
    return None if last is None or last.phase == "ended" else last


def _take_lease(parts: RolloutParts, change: ModelChange, run: str) -> RolloutState:
    """Write into the ledger that this process advances the rollout."""
    document = parts.ledger.read()
    last = _parse_state(document)
    if last is None or last.phase == "ended":
        state = RolloutState(
            holder=parts.holder, beat=0, change=change, run=run, phase="checking", since=utc_now()
        )
        state = record_event(state, "begun", 0)
    elif not _is_same_change(last.change, change):
        raise RolloutInProgress(f"the rollout of {last.change.challenger.version} is not finished")
    else:
        if last.holder != parts.holder:
            _await_end_of_lease(parts, document)
        update = {
            "holder": parts.holder,
            "beat": last.beat + 1,
            "unready_since": None,
            "blind_since": None,
            "change": replace(change, canary_revision=last.change.canary_revision),
        }
        state = record_event(last.model_copy(update=update), "resumed", 0)
    if not parts.ledger.swap(document, _to_document(state)):
        raise RolloutInProgress("another process has just taken this rollout over")
    return state


def _is_same_change(first: ModelChange, second: ModelChange) -> bool:
    # Not the URIs: the process that resumes may have the same bundles in other folders.
    digests = (first.champion.digest, first.challenger.digest)
    return digests == (second.champion.digest, second.challenger.digest)


def _await_end_of_lease(parts: RolloutParts, document: bytes | None) -> None:
    # The clocks of two machines may differ, so only changes of the document count, by our own clock.
    end_s = time.monotonic() + parts.plan.lease_s
    while time.monotonic() < end_s:
        time.sleep(min(parts.plan.check_s, 0.5))
        if parts.ledger.read() != document:
            raise RolloutInProgress("another process advances this rollout")


def _save(parts: RolloutParts, old: RolloutState, new: RolloutState) -> RolloutState:
    new = new.model_copy(update={"beat": old.beat + 1})
    if not parts.ledger.swap(_to_document(old), _to_document(new)):
        raise RolloutInProgress("another process has taken this rollout over")
    return new


def _parse_state(document: bytes | None) -> RolloutState | None:
    try:
        return None if document is None else RolloutState.model_validate_json(document)
    except ValidationError as error:
        raise RolloutInProgress("the ledger holds a document that Pleura did not write") from error


def _to_document(state: RolloutState) -> bytes:
    return state.model_dump_json().encode()
