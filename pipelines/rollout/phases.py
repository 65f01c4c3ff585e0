"""The phases of a rollout: each call checks target and revisions once, and gives the next state."""

from collections.abc import Callable
from datetime import timedelta

import structlog

from pipelines.rollout.counters import ObservationUnavailable
from pipelines.rollout.observation import Observation, find_rollback_reason
from pipelines.rollout.plan import RolloutPlan, RolloutStep
from pipelines.rollout.state import Phase, Result, RolloutEvent, RolloutParts, RolloutState, utc_now
from pipelines.rollout.target import ModelChange, TargetRefused, TargetUnavailable, TrafficStatus

log = structlog.get_logger()


def advance(parts: RolloutParts, state: RolloutState) -> RolloutState:
    """Do what the phase of the rollout asks for, once."""
    phases: dict[Phase, Callable[[RolloutParts, RolloutState], RolloutState]] = {
        "checking": _check_champion,
        "starting": _start_canary,
        "watching": _watch_canary,
        "promoting": _promote,
        "returning": _roll_back,
    }
    try:
        return phases[state.phase](parts, state).model_copy(update={"blind_since": None})
    except TargetRefused as error:
        # The target has not changed yet, so there is nothing to roll back.
        if state.phase in ("checking", "starting") and not state.change.canary_revision:
            return _end(state, "refused", str(error))
        return begin_rollback(state, str(error))
    except (TargetUnavailable, ObservationUnavailable) as error:
        return _tolerate_blindness(parts, state, str(error))


def _tolerate_blindness(parts: RolloutParts, state: RolloutState, reason: str) -> RolloutState:
    """Wait while the target, the journal or the counters do not answer, but not longer than ``blind_s``."""
    since = state.blind_since or utc_now()
    state = state.model_copy(update={"blind_since": since})
    if utc_now() - since <= timedelta(seconds=parts.plan.blind_s):
        return state
    if state.phase == "checking":
        return _end(state, "refused", reason)
    if state.phase == "returning":
        return _end(state, "stuck", f"{state.reason}; the rollback is not confirmed: {reason}")
    return begin_rollback(state, f"nothing could be observed for {parts.plan.blind_s:.0f} s: {reason}")


def _check_champion(parts: RolloutParts, state: RolloutState) -> RolloutState:
    if state.change.champion.digest == state.change.challenger.digest:
        raise TargetRefused("the challenger is the champion")
    parts.target.require_champion(state.change)
    return record_event(_enter_phase(state, "starting"), "only the champion is served", 0)


def _start_canary(parts: RolloutParts, state: RolloutState) -> RolloutState:
    parts.target.shift(state.change, 0)
    traffic = parts.target.read(state.change)
    state = _note_canary_revision(state, traffic)
    if traffic.failure:
        return begin_rollback(state, f"the canary did not start: {traffic.failure}")
    if traffic.is_canary_ready:
        watching = _enter_phase(state, "watching").model_copy(update={"first": parts.observations.count()})
        return record_event(watching, "the canary is ready", 0)
    if _seconds_in_phase(state) > parts.plan.start_s:
        return begin_rollback(state, f"the canary was not ready within {parts.plan.start_s:.0f} s")
    return state


def _watch_canary(parts: RolloutParts, state: RolloutState) -> RolloutState:
    step, traffic = parts.plan.steps[state.step], parts.target.read(state.change)
    state = _note_canary_revision(state, traffic)
    if traffic.failure:
        return begin_rollback(state, f"the canary failed: {traffic.failure}")
    if reason := _find_invalid_answers(parts, state):
        return begin_rollback(state, reason)
    has_lost_share = state.before is not None and traffic.percent != step.percent
    if has_lost_share or not traffic.is_canary_ready:
        return _await_canary(parts, state, step)
    state = state.model_copy(update={"unready_since": None})
    if traffic.percent != step.percent:
        parts.target.shift(state.change, step.percent)
        if _seconds_in_phase(state) > parts.plan.settle_s:
            return begin_rollback(state, f"the traffic did not reach {step.percent} percent")
        return state
    if state.before is None:
        begun = state.model_copy(update={"before": parts.observations.count(), "since": utc_now()})
        return record_event(begun, "the canary has its share", step.percent)
    return _judge_step(parts.plan, state, parts.observations.observe(state.since, state.before))


def _find_invalid_answers(parts: RolloutParts, state: RolloutState) -> str:
    """Say how many answers of the canary are invalid; empty if none. This works while the journal is down."""
    if not state.first:
        return ""
    count = parts.observations.count().canary.since(state.first.canary).invalid
    return f"the canary gave {count} invalid answers (NaN or outside [0, 1])" if count else ""


def _await_canary(parts: RolloutParts, state: RolloutState, step: RolloutStep) -> RolloutState:
    """Wait for a canary that is not ready or has lost its share: its server may be restarting."""
    since = state.unready_since or utc_now()
    if utc_now() - since > timedelta(seconds=parts.plan.unready_s):
        return begin_rollback(state, f"the canary was not ready for {parts.plan.unready_s:.0f} s")
    parts.target.shift(state.change, step.percent)
    return state.model_copy(update={"unready_since": since})


def _judge_step(plan: RolloutPlan, state: RolloutState, observation: Observation) -> RolloutState:
    step = plan.steps[state.step]
    answers = observation.canary.journaled.answers
    if reason := find_rollback_reason((*state.observed, observation), plan.guardrails):
        return begin_rollback(record_event(state, _summarise(observation), step.percent), reason)
    if answers >= step.least_answers and _seconds_in_phase(state) >= step.least_s:
        return _finish_step(plan, record_event(state, _summarise(observation), step.percent), observation)
    if _seconds_in_phase(state) > step.most_s:
        reason = f"timeout: {answers} of {step.least_answers} answers within {step.most_s:.0f} s"
        return begin_rollback(state, reason)
    return state


def _finish_step(plan: RolloutPlan, state: RolloutState, observation: Observation) -> RolloutState:
    observed = (*state.observed, observation)
    update = {"observed": observed, "before": None, "since": utc_now(), "step": state.step + 1}
    state = state.model_copy(update=update)
    return state if state.step < len(plan.steps) else _enter_phase(state, "promoting")


def _promote(parts: RolloutParts, state: RolloutState) -> RolloutState:
    # Also after the last step: NaN must be noticed for all of the canary's life.
    if reason := _find_invalid_answers(parts, state):
        return begin_rollback(state, reason)
    parts.target.promote(state.change)
    traffic = parts.target.read(state.change)
    if traffic.is_promoted:
        return _end(state, "promoted", "all steps passed")
    if traffic.failure:
        return begin_rollback(state, f"the canary failed: {traffic.failure}")
    if _seconds_in_phase(state) > parts.plan.settle_s:
        return begin_rollback(state, "the promotion was not confirmed")
    return state


def _roll_back(parts: RolloutParts, state: RolloutState) -> RolloutState:
    parts.target.roll_back(state.change)
    if parts.target.read(state.change).is_rolled_back:
        return _end(state, "rolled_back", state.reason)
    if _seconds_in_phase(state) > parts.plan.settle_s:
        return _end(state, "stuck", f"{state.reason}; the rollback is not confirmed")
    return state


def begin_rollback(state: RolloutState, reason: str) -> RolloutState:
    """Enter the phase that gives all traffic back to the champion."""
    log.warning("rollout_rolling_back", reason=reason)
    rolling_back = _enter_phase(state, "returning").model_copy(update={"reason": reason})
    return record_event(rolling_back, f"rolling back: {reason}", 0)


def _end(state: RolloutState, result: Result, reason: str) -> RolloutState:
    ended = _enter_phase(state, "ended").model_copy(update={"result": result, "reason": reason})
    return record_event(ended, result, 100 if result == "promoted" else 0)


def _enter_phase(state: RolloutState, phase: Phase) -> RolloutState:
    return state.model_copy(update={"phase": phase, "since": utc_now(), "before": None})


def _note_canary_revision(state: RolloutState, traffic: TrafficStatus) -> RolloutState:
    if state.change.canary_revision or not traffic.canary_revision:
        return state
    change = ModelChange(state.change.champion, state.change.challenger, traffic.canary_revision)
    return state.model_copy(update={"change": change})


def record_event(state: RolloutState, what: str, percent: int) -> RolloutState:
    """Add an event to the history of the rollout, and log it."""
    log.info("rollout_progress", what=what, percent=percent)
    event = RolloutEvent(at=utc_now(), percent=percent, what=what)
    return state.model_copy(update={"history": (*state.history, event)})


def _summarise(observation: Observation) -> str:
    revisions = {"canary": observation.canary, "stable": observation.stable}
    return "; ".join(
        f"{name}: {revision.journaled.answers} answers; of {revision.counted.requests} requests"
        f" {revision.counted.errors} errors, {revision.counted.refusals} refusals,"
        f" {revision.counted.invalid} invalid"
        for name, revision in revisions.items()
    )


def _seconds_in_phase(state: RolloutState) -> float:
    return (utc_now() - state.since).total_seconds()
