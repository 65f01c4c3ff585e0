"""What a rollout does next: a look at the target and at both revisions leads from one state to the next."""

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
    """Look once, and do what follows."""
    phases: dict[Phase, Callable[[RolloutParts, RolloutState], RolloutState]] = {
        "checking": _check,
        "starting": _start,
        "watching": _watch,
        "promoting": _promote,
        "returning": _come_back,
    }
    try:
        return phases[state.phase](parts, state).model_copy(update={"blind_since": None})
    except TargetRefused as error:
        if state.phase in ("checking", "starting") and not state.change.canary_revision:
            return _end(state, "refused", str(error))
        return begin_rollback(state, str(error))
    except (TargetUnavailable, ObservationUnavailable) as error:
        return _blind(parts, state, str(error))


def _blind(parts: RolloutParts, state: RolloutState, reason: str) -> RolloutState:
    since = state.blind_since or utc_now()
    state = state.model_copy(update={"blind_since": since})
    if utc_now() - since <= timedelta(seconds=parts.plan.blind_s):
        return state
    if state.phase == "checking":
        return _end(state, "refused", reason)
    if state.phase == "returning":
        return _end(state, "stuck", f"{state.reason}; the roll-back is not confirmed: {reason}")
    return begin_rollback(state, f"nothing could be seen for {parts.plan.blind_s:.0f} s: {reason}")


def _check(parts: RolloutParts, state: RolloutState) -> RolloutState:
    if state.change.champion.digest == state.change.challenger.digest:
        raise TargetRefused("the challenger is the champion")
    parts.target.require_champion(state.change)
    return record_event(_phase(state, "starting"), "the champion alone is served", 0)


def _start(parts: RolloutParts, state: RolloutState) -> RolloutState:
    parts.target.shift(state.change, 0)
    serving = parts.target.read(state.change)
    state = _named(state, serving)
    if serving.failure:
        return begin_rollback(state, f"the canary did not start: {serving.failure}")
    if serving.is_canary_ready:
        watching = _phase(state, "watching").model_copy(update={"first": parts.watcher.count()})
        return record_event(watching, "the canary is ready", 0)
    if _since(state) > parts.plan.start_s:
        return begin_rollback(state, f"the canary was not ready within {parts.plan.start_s:.0f} s")
    return state


def _watch(parts: RolloutParts, state: RolloutState) -> RolloutState:
    step, serving = parts.plan.steps[state.step], parts.target.read(state.change)
    state = _named(state, serving)
    if serving.failure:
        return begin_rollback(state, f"the canary failed: {serving.failure}")
    if invalid := _invalid(parts, state):
        return begin_rollback(state, invalid)
    is_off = state.before is not None and serving.percent != step.percent
    if is_off or not serving.is_canary_ready:
        return _await_canary(parts, state, step)
    state = state.model_copy(update={"unready_since": None})
    if serving.percent != step.percent:
        parts.target.shift(state.change, step.percent)
        if _since(state) > parts.plan.settle_s:
            return begin_rollback(state, f"the traffic did not follow to {step.percent} percent")
        return state
    if state.before is None:
        begun = state.model_copy(update={"before": parts.watcher.count(), "since": utc_now()})
        return record_event(begun, "the share is reached", step.percent)
    return _judge(parts.plan, state, parts.watcher.observe(state.since, state.before))


def _invalid(parts: RolloutParts, state: RolloutState) -> str:
    """Look for answers that cannot be one, apart from all else: the journal may be away meanwhile."""
    count = parts.watcher.count().canary.since(state.first.canary).invalid if state.first else 0
    return f"the canary gave {count} answers that cannot be one (NaN or outside [0, 1])" if count else ""


def _await_canary(parts: RolloutParts, state: RolloutState, step: RolloutStep) -> RolloutState:
    """Be patient with a canary that is not ready, or has lost its share: what serves it may start anew."""
    since = state.unready_since or utc_now()
    if utc_now() - since > timedelta(seconds=parts.plan.unready_s):
        return begin_rollback(state, f"the canary was not ready for {parts.plan.unready_s:.0f} s")
    parts.target.shift(state.change, step.percent)
    return state.model_copy(update={"unready_since": since})


def _judge(plan: RolloutPlan, state: RolloutState, seen: Observation) -> RolloutState:
    step, reason = plan.steps[state.step], find_rollback_reason((*state.observed, seen), plan.guardrails)
    answers = seen.canary.journaled.answers
    if reason:
        return begin_rollback(record_event(state, _summary(seen), step.percent), reason)
    if answers >= step.least_answers and _since(state) >= step.least_s:
        return _next(plan, record_event(state, _summary(seen), step.percent), seen)
    if _since(state) > step.most_s:
        return begin_rollback(state, _too_few(step, answers))
    return state


def _next(plan: RolloutPlan, state: RolloutState, seen: Observation) -> RolloutState:
    update = {"observed": (*state.observed, seen), "before": None, "since": utc_now(), "step": state.step + 1}
    state = state.model_copy(update=update)
    return state if state.step < len(plan.steps) else _phase(state, "promoting")


def _promote(parts: RolloutParts, state: RolloutState) -> RolloutState:
    if invalid := _invalid(parts, state):
        return begin_rollback(state, invalid)
    parts.target.promote(state.change)
    serving = parts.target.read(state.change)
    if serving.is_promoted:
        return _end(state, "promoted", "all steps passed")
    if serving.failure:
        return begin_rollback(state, f"the canary failed: {serving.failure}")
    if _since(state) > parts.plan.settle_s:
        return begin_rollback(state, "the promotion was not confirmed")
    return state


def _come_back(parts: RolloutParts, state: RolloutState) -> RolloutState:
    parts.target.roll_back(state.change)
    if parts.target.read(state.change).is_returned:
        return _end(state, "rolled_back", state.reason)
    if _since(state) > parts.plan.settle_s:
        return _end(state, "stuck", f"{state.reason}; the roll-back is not confirmed")
    return state


def begin_rollback(state: RolloutState, reason: str) -> RolloutState:
    log.warning("rollout_returns", reason=reason)
    return record_event(
        _phase(state, "returning").model_copy(update={"reason": reason}), f"back: {reason}", 0
    )


def _end(state: RolloutState, result: Result, reason: str) -> RolloutState:
    ended = _phase(state, "ended").model_copy(update={"result": result, "reason": reason})
    return record_event(ended, result, 100 if result == "promoted" else 0)


def _phase(state: RolloutState, phase: Phase) -> RolloutState:
    return state.model_copy(update={"phase": phase, "since": utc_now(), "before": None})


def _named(state: RolloutState, serving: TrafficStatus) -> RolloutState:
    known = state.change.canary_revision
    if known or not serving.canary_revision:
        return state
    change = ModelChange(state.change.champion, state.change.challenger, serving.canary_revision)
    return state.model_copy(update={"change": change})


def record_event(state: RolloutState, what: str, percent: int) -> RolloutState:
    log.info("rollout", what=what, percent=percent)
    return state.model_copy(
        update={"history": (*state.history, RolloutEvent(at=utc_now(), percent=percent, what=what))}
    )


def _summary(seen: Observation) -> str:
    arms = {"canary": seen.canary, "stable": seen.stable}
    return "; ".join(
        f"{name}: {arm.journaled.answers} answers; of {arm.counted.requests} requests"
        f" {arm.counted.errors} errors, {arm.counted.refusals} refusals, {arm.counted.invalid} invalid"
        for name, arm in arms.items()
    )


def _too_few(step: RolloutStep, answers: int) -> str:
    return f"timeout: {answers} of {step.least_answers} answers within {step.most_s:.0f} s"


def _since(state: RolloutState) -> float:
    return (utc_now() - state.since).total_seconds()
